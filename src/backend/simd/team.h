/* team.h: threads that share out numbered pieces of work.
 *
 * am_team_run calls work(arg, item, worker) once for each item of 0 .. items-1, on the calling thread
 * and its helpers; worker (0 .. threads-1) names the thread, for scratch memory.  Items go to
 * whoever is free, so which thread computes what is chance: a piece of work may depend on its item
 * and on nothing else, and results are then the same bytes for any number of threads.
 *
 * Why not OpenMP: its idle threads spin for a long time unless the environment forbids it before
 * the program starts, and a static schedule waits for the core that somebody else is using. */
#ifndef AM_TEAM_H
#define AM_TEAM_H

typedef struct am_team am_team;
typedef void am_team_work(const void *arg, int item, int worker);

am_team *am_team_open(int threads);           /* NULL when memory is out; fewer threads where the system gives fewer */
int   am_team_size(const am_team *);
void  am_team_run(am_team *, int items, am_team_work *work, const void *arg);
void  am_team_close(am_team *);

#endif
