/* space.h: backend memory for the activations of a step, laid out before the first step.
 *
 * While a method is set up, it pushes what it will need and releases it in brackets, in the order
 * of the step, as on a stack; only offsets are decided.  commit then takes one block of the
 * highest mark.  So every address is fixed before training starts, `automix net` knows the memory
 * without taking it, and a step allocates nothing. */
#ifndef AM_SPACE_H
#define AM_SPACE_H
#include "backend.h"

typedef struct am_space { am_backend *be; am_dev block; size_t now, high; } am_space;
typedef struct am_place { size_t at; } am_place;        /* where in the block */

static inline am_place am_space_push(am_space *s, size_t floats)
{
    am_place p = {s->now};
    s->now += (floats + 15) & ~(size_t)15;              /* 64-byte lines */
    if (s->now > s->high) s->high = s->now;
    return p;
}
static inline size_t am_space_mark(const am_space *s) { return s->now; }
static inline void   am_space_release(am_space *s, size_t mark) { s->now = mark; }
static inline am_dev am_here(const am_space *s, am_place p) { return am_at(s->block, p.at); }

static inline am_status am_space_commit(am_space *s, am_err *e)
{
    if (!s->high) return AM_OK;
    s->block = s->be->ops->alloc(s->be, s->high);
    if (am_is(s->block)) return AM_OK;
    return am_fail(e, AM_ENOMEM, AM_NOPLACE, "the activations of a step take %.0f MB, which this machine does not have%s%s; "
                   "use a smaller batch=, or more subdivisions=", (double)s->high * 4 / 1048576, s->be->note[0] ? ": " : "", s->be->note);
}
static inline void am_space_close(am_space *s)
{
    if (am_is(s->block)) s->be->ops->free(s->be, s->block);
    s->block = AM_NOWHERE;
}

#endif
