/* program.h: what the program's files share: one command line, the screen, the commands.
 *
 * automix.c     which command
 * flags.c       what stands after it
 * screen.c      what the library has to say while it works
 * classifier.c  train, valid, predict, sheet, masks, replay
 * tools.c       net, bench, data shapes, help, reference
 *
 * Results go to standard output, chatter to standard error; the exit status is 0 only on success,
 * 1 for bad input or a fault, 2 for wrong usage. */
#ifndef AM_PROGRAM_H
#define AM_PROGRAM_H
#include "automix.h"

enum { MAX_WORDS = 4096 };

/* The commands, as bits: a flag says which of them know it. */
enum {
    TRAIN = 1, VALID = 2, PREDICT = 4, SHEET = 8, MASKS = 16, REPLAY = 32, NET = 64, BENCH = 128,
    SHAPES = 256, HELP = 512,
    MODEL = TRAIN | VALID | PREDICT | SHEET | MASKS | REPLAY | NET | BENCH
};

/* A command line: what was given, as words; a flag that was not given is NULL. */
typedef struct line {
    const char *word[MAX_WORDS];
    int words;
    am_run run;
    const char *net, *head, *bins, *lambda, *top, *pairs, *steps, *train, *valid, *size;
    const char *epochs, *batch, *threads, *seed;
} line;

/* Splits the words after a command; flags may stand anywhere. */
am_status line_read(line *l, int argc, char **argv, int command, am_err *e);

/* *out is the whole number that text spells, or untouched where text is NULL. */
am_status line_whole(const char *flag, const char *text, long least, long most, long *out,
                     am_err *e);

/* AM_EUSAGE; text takes one %s. */
am_status line_wrong(am_err *e, const char *text, const char *word);

typedef struct screen {
    int terminal, open; /* a line that is drawn over stands open */
    double drawn;
} screen;

am_watch screen_watch(screen *s);
void screen_clear(screen *s);

/* From now on an interrupt ends a training after its step; a second one ends it at once. */
void screen_catch_interrupts(void);

am_status do_train(line *l, am_err *e);
am_status do_valid(line *l, am_err *e);
am_status do_predict(line *l, am_err *e);
am_status do_sheet(line *l, am_err *e);
am_status do_masks(line *l, am_err *e);
am_status do_replay(line *l, am_err *e);
am_status do_net(line *l, am_err *e);
am_status do_bench(line *l, am_err *e);
am_status do_shapes(line *l, am_err *e);
am_status do_help(line *l, am_err *e);
am_status do_reference(line *l, am_err *e);

#endif
