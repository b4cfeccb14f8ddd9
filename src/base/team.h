/* The thread team. A parallel region runs the same function on every thread (the caller is thread 0); inside
   it the threads meet at barriers and take tiles of work from a counter. Which thread computes a tile never
   changes the tile's result, so thread count and timing do not change a bit of the output. */
#ifndef KVASIR_BASE_TEAM_H
#define KVASIR_BASE_TEAM_H

#include "base/status.h"

typedef struct team team;

/* Starts n-1 threads (n >= 1); they spin for a short while after a region and then sleep. Freed by team_free,
   which joins them. */
kvasir_status team_create(int n, team **out);
void team_free(team *t);
int team_size(const team *t); /* how many threads it has, the caller included */

/* Runs fn(arg, tid) for tid 0..n-1 and returns when all have returned. Not reentrant. */
void team_run(team *t, void (*fn)(void *arg, int tid), void *arg);

/* Inside a region: every thread waits until all have arrived. Also sets the counters of tiles back to 0. */
void team_barrier(team *t);

/* Inside a region: takes the next tile number, counting from 0 since the last barrier. */
int team_next(team *t);

/* Inside a region: takes the next of `owner`'s tiles 0..n-1 since the last barrier, or returns -1 when all are taken. A
   thread first takes its own tiles, which lie behind each other in memory, then what is left of the others'. All
   threads pass the same n. */
int team_take(team *t, int owner, int n);

/* The number that team_next would return now. It is a guess at the tile that this thread takes next, good enough for
   fetching its memory. */
int team_peek(const team *t);

#endif
