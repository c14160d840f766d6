/* losses.c: rows of logits, probabilities and soft labels. */
#include "cuda.h"

static void softmax(am_backend *be, int n, int k, float temperature, am_dev x, am_dev q, am_dev prob, am_dev loss)
{
    BEGIN("softmax", n, k, temperature, x, q, prob, loss);
    am_gpu_softmax(st->stream, n, k, temperature, x.p, q.p, prob.p, loss.p);
    END;
}

static void softmax_back(am_backend *be, int n, int k, float temperature, float scale, am_dev prob, am_dev q, am_grad dx)
{
    BEGIN("softmax_back", n, k, temperature, scale, prob, q, dx);
    if (am_is(dx.d)) am_gpu_softmax_back(st->stream, n, k, temperature, scale, st->scale, prob.p, q.p, am_cuda_sum(dx));
    END;
}

static void score(am_backend *be, int n, int k, int top, am_dev prob, am_dev labels, am_dev loss, am_dev tally)
{
    BEGIN("score", n, k, top, prob, labels, loss, tally);
    am_gpu_score(st->stream, n, k, top, prob.p, am_cuda_ints(labels), loss.p, tally.p, am_cuda_trouble(be, IN_SCORE));
    END;
}

static void onehot(am_backend *be, int n, int k, float smooth, am_dev labels, am_dev q)
{
    BEGIN("onehot", n, k, smooth, labels, q);
    am_gpu_onehot(st->stream, n, k, smooth, am_cuda_ints(labels), q.p, am_cuda_trouble(be, IN_ONEHOT));
    END;
}

static void labels_mix(am_backend *be, int n, int k, am_dev q, am_dev perm, am_dev lam, am_dev out)
{
    BEGIN("labels_mix", n, k, q, perm, lam, out);
    am_gpu_labels_mix(st->stream, n, k, q.p, am_cuda_ints(perm), lam.p, out.p, am_cuda_trouble(be, IN_LABELS_MIX));
    END;
}

static void jsd(am_backend *be, int n, int k, float weight, am_dev prob, am_dev labels, am_dev q, am_dev cross, am_dev loss)
{
    BEGIN("jsd", n, k, weight, prob, labels, q, cross, loss);
    am_gpu_jsd(st->stream, n, k, weight, prob.p, labels.p, q.p, cross.p, loss.p);
    END;
}

static void cells(am_backend *be, am_shape s, const am_cells *k, am_dev x, am_dev loss)
{
    BEGIN("cells", s, k->grid, k->partner, k->labels, k->perm, x, loss);
    am_gpu_cells(st->stream, k->grid, am_cuda_view(be, s, x), k->partner.p, am_cuda_ints(k->labels), am_cuda_ints(k->perm), loss.p,
                 am_cuda_trouble(be, IN_CELLS));
    END;
}

static void cells_back(am_backend *be, am_shape s, const am_cells *k, float scale, am_dev x, am_grad dx)
{
    BEGIN("cells_back", s, k->grid, k->partner, k->labels, k->perm, scale, x, dx);
    if (am_is(dx.d))
        am_gpu_cells_back(st->stream, k->grid, scale, st->scale, am_cuda_view(be, s, x), k->partner.p, am_cuda_ints(k->labels),
                          am_cuda_ints(k->perm), am_cuda_view_grad(be, s, dx), am_cuda_trouble(be, IN_CELLS));
    END;
}

void am_cuda_fill_losses(am_ops *t)
{
    t->softmax = softmax, t->softmax_back = softmax_back, t->score = score, t->jsd = jsd;
    t->cells = cells, t->cells_back = cells_back;
    t->onehot = onehot, t->labels_mix = labels_mix;
}
