/* transport.h: which places of one map correspond to which of another.  Plain C on the host. */
#ifndef AM_TRANSPORT_H
#define AM_TRANSPORT_H

enum { AM_TRANSPORT_PLACES = 256 };

/* a, b: features [channels][places].  plan [places][places]: the assignment from a's places to b's,
 * every row and column adding up to 1 in the limit. */
void am_transport_plan(int places, int channels, const float *a, const float *b, double eps, int rounds, float *plan);

#endif
