/* What a step does with jobs (jobs.c). A place is one in `running`; those behind it move up when it becomes free. */
#ifndef KVASIR_SERVER_SCHEDULE_JOBS_H
#define KVASIR_SERVER_SCHEDULE_JOBS_H

#include "server/state.h"

/* Starts waiting jobs in their order, as long as there are slots and memory. */
void admit(server *s);
/* The job is over. Its sequence is kept for requests that begin in the same way. */
void finish(server *s, int place);
/* The job cannot go on: its client is told why. */
void fail_running(server *s, int place, kvasir_status status);
/* Ends the jobs whose clients are gone, running or waiting. */
void drop_gone(server *s);

#endif
