/* err.h: how a function says no.
 *
 * A function that can fail because of its input takes an am_err last and returns an am_status;
 * zero is success.  It never prints and never exits: only a program's main() does.  The message
 * is written once, where the fault is understood, and carries the line of the file that caused it. */
#ifndef AM_ERR_H
#define AM_ERR_H

typedef enum am_status {
    AM_OK = 0,
    AM_EUSAGE,      /* the command line is wrong: exit status 2 */
    AM_EINPUT,      /* a cfg, an image, a list, a weight file is wrong */
    AM_EIO,         /* the system would not read or write */
    AM_ENOMEM,
    AM_EDEVICE,     /* the backend's device failed */
    AM_EBUG         /* our own mistake */
} am_status;

typedef struct am_loc { const char *file; int line; } am_loc;   /* file may be NULL, line may be 0 */

typedef struct am_err {
    am_status status;
    char place[200];            /* "cfg/x.cfg:5", copied, so that it outlives the cfg; or empty */
    char text[560];
} am_err;

/* Fill e (which may be NULL) and return s, so that a caller can write: return am_fail(e, ...); */
am_status am_fail(am_err *e, am_status s, am_loc where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#define AM_NOPLACE ((am_loc){0, 0})

/* Pass a failure up.  Safe anywhere: arenas own the memory, so nothing leaks. */
#define AM_TRY(call)                                                                               \
    do {                                                                                           \
        am_status am_s_ = (call);                                                                  \
        if (am_s_) return am_s_;                                                                   \
    } while (0)

#endif
