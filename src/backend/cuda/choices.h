/* choices.h: which engine serves which convolution, kept in a text file.
 *
 * What a clock chooses may differ from run to run, and with it the last bits of the results; so what was
 * measured once is written down and used again.  The file belongs to one device and one version of cuDNN,
 * which its head names; another one's is refused.
 *
 *     automix plans 1
 *     device NVIDIA H200
 *     cudnn 91900
 *     y bf16 n 100 c 64 32 32 f 64 32 32 k 3 1 1 g 1 : engine 62 knobs 0=2 3=1 : 9.84 us */
#ifndef AM_CUDA_CHOICES_H
#define AM_CUDA_CHOICES_H
#include "graph.h"
#include <stdint.h>

enum { CHOICE_KNOBS = 24 };

typedef struct am_choice_key { am_graph_kind kind; am_precision precision; int n; am_conv conv; } am_choice_key;

typedef struct am_choice {
    am_choice_key key;
    int64_t engine, knob[CHOICE_KNOBS], value[CHOICE_KNOBS];
    int knobs;
    double us;                  /* as measured */
} am_choice;

typedef struct am_choices {
    char path[1000], device[128];
    long version;               /* of cuDNN */
    am_choice *at;
    int count, room, changed;
} am_choices;

am_choice_key am_choice_key_of(am_graph_kind, am_precision, const am_conv *, int n);
int am_choice_same(const am_choice_key *, const am_choice_key *);

/* Where the file of this device and version lies when nobody names one: in the folder automix of
 * $XDG_CACHE_HOME, else of ~/.cache, made where it is not there.  0: no file can be written there. */
int am_choices_place(char *path, size_t size, const char *device, long version);

/* What the file holds for this device and version; a file that is not there is empty.  A file that is
 * not ours, of another device or version, or damaged, is a fault. */
am_status am_choices_open(am_choices *, const char *path, const char *device, long version, am_err *);
const am_choice *am_choices_find(const am_choices *, const am_choice_key *);
am_status am_choices_add(am_choices *, const am_choice *, am_err *);
/* Where something changed; aside, synced, renamed.  What another run has written there meanwhile is
 * taken in, and for a convolution that both have measured its line stays. */
am_status am_choices_write(am_choices *, am_err *);
void      am_choices_close(am_choices *);
#endif
