/* Whose tokens the next step computes, and what becomes of a request on the way (jobs.c, step.c). */
#ifndef KVASIR_SERVER_SCHEDULE_SCHEDULE_H
#define KVASIR_SERVER_SCHEDULE_SCHEDULE_H

#include "server/state.h"

/* Takes a request that has been read, which then belongs to the job. On failure *e says why, and the exchange is still
   the caller's to answer. */
int schedule_add(server *s, exchange *x, request *q, http_error *e);
int schedule_busy(const server *s); /* is a job waiting or running? */
/* One step of the engine, and what follows from it. */
void schedule_turn(server *s);
/* Refuses the jobs that wait, since the server is stopping. */
void schedule_refuse_queue(server *s);
/* Ends everything at once. */
void schedule_free(server *s);
/* Once a second: tells streaming clients how far their prompts are. */
void schedule_comment(server *s);

#endif
