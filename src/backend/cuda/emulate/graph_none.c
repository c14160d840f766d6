/* graph_none.c: graph.h without cuDNN: there is never a plan, so our own products serve everything. */
#include "../graph.h"

am_status am_graphs_open(am_graphs **g, am_precision precision, void *stream, am_err *e)
{
    (void)precision, (void)stream, (void)e;
    *g = NULL;
    return AM_OK;
}
am_status am_graphs_open_for(am_graphs **g, am_precision precision, const char *json, am_err *e)
{
    (void)json;
    return am_graphs_open(g, precision, NULL, e);
}
am_status am_graphs_remember(am_graphs *g, const char *path, const char *device, am_err *e)
{
    (void)g, (void)path, (void)device, (void)e;
    return AM_OK;
}
am_status am_graphs_keep(am_graphs *g, am_err *e)
{
    (void)g, (void)e;
    return AM_OK;
}
void am_graphs_close(am_graphs *g) { (void)g; }
const char *am_graphs_about(void) { return "no cuDNN"; }
const am_graph *am_graph_find(am_graphs *g, am_graph_kind kind, const am_conv *c, int n)
{
    (void)g, (void)kind, (void)c, (void)n;
    return NULL;
}
const char *am_graph_run(am_graphs *g, const am_graph *x, const void *a, const void *b, void *out, void *workspace)
{
    (void)g, (void)x, (void)a, (void)b, (void)out, (void)workspace;
    return "there is no cuDNN";
}
