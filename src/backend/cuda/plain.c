/* plain.c: operations over plain memory: parameters, and sums. */
#include "cuda.h"

static void fill(am_backend *be, size_t n, float value, am_dev y)
{
    BEGIN("fill", n, value, y);
    am_gpu_fill(st->stream, n, value, y.p);
    END;
}

static void sgd(am_backend *be, size_t n, am_dev w, am_dev g, am_dev v, am_dev teacher, am_dev hyper, am_dev guard)
{
    BEGIN("sgd", n, w, g, v, teacher, hyper, guard);
    am_gpu_sgd(st->stream, n, w.p, g.p, v.p, teacher.p, hyper.p, guard.p);
    END;
}

static void clip(am_backend *be, size_t n, am_dev limit, am_dev scratch, am_dev g)
{
    BEGIN("clip", n, limit, scratch, g);
    am_gpu_clip(st->stream, n, limit.p, scratch.p, g.p);
    END;
}

static void guard(am_backend *be, size_t n, am_dev x, am_dev flag)
{
    BEGIN("guard", n, x, flag);
    am_gpu_guard(st->stream, n, x.p, flag.p);
    END;
}

static void mean(am_backend *be, int n, float scale, am_dev x, am_grad out)
{
    BEGIN("mean", n, scale, x, out);
    if (am_is(out.d)) am_gpu_mean(st->stream, (size_t)n, scale, x.p, am_cuda_sum(out));
    END;
}

static void copy(am_backend *be, size_t n, am_dev x, am_dev y)
{
    BEGIN("copy", n, x, y);
    cudaMemcpyAsync(y.p, x.p, n * sizeof(float), cudaMemcpyDeviceToDevice, st->stream);
    END;
}

void am_cuda_fill_plain(am_ops *t)
{
    t->fill = fill, t->copy = copy, t->sgd = sgd, t->clip = clip, t->guard = guard, t->mean = mean;
}
