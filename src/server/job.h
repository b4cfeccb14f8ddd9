/* What the server's parts share: the server itself and the answers that it computes. */
#ifndef KVASIR_SERVER_JOB_H
#define KVASIR_SERVER_JOB_H

#include "server/exchange.h"
#include "server/keys.h"
#include "server/metrics.h"
#include "server/request.h"
#include "server/server.h"

enum { JOB_ID_BYTES = 48, KEPT_MOST = 256 };

/* An answer: first it waits in the queue, then it reads its prompt, then it generates. */
typedef struct job {
    struct job *next; /* in the queue */
    exchange *x;      /* never NULL; the client may be gone */
    request q;
    char id[JOB_ID_BYTES];
    int64_t created; /* seconds since 1970 */
    kvasir_seq *seq; /* NULL: it waits */
    kvasir_sampler *sampler;
    kvasir_detokenizer *text;
    uint64_t kv_bytes; /* at its longest */
    int cached, generated;
    int decoding;
    int32_t token;      /* while decoding: chosen, and not in the sequence yet */
    uint64_t read_turn; /* when a piece of its prompt was last computed */
    double arrived, started, prompt_read, first, last, told;
    const char *finish; /* "stop", "length"; NULL: goes on */
} job;

/* The sequence of a request that has been answered, kept for the next one that begins in the same way. */
typedef struct kept {
    kvasir_seq *seq;
    int tenant;
    uint64_t used; /* the turn in which it was last used */
} kept;

typedef struct server {
    const server_options *o;
    struct event_base *base;
    struct evhttp *http;
    struct evhttp_bound_socket *socket;
    exchange_owner owner;
    request_rules rules;
    keys keys;
    metrics metrics;
    job *queue, **queue_end;
    int n_queued;
    job *running[SERVER_MAX_SLOTS];
    int n_running;
    kept kept[KEPT_MOST];
    int n_kept;
    uint64_t turn, kv_budget;
    double prefill_tps; /* the last speed measured; 0: not known */
    int64_t began;      /* seconds since 1970 */
    int signals;
    int unsent; /* answers that are still in buffers */
    int n_seen; /* connections since they were last counted (server.c) */
} server;

/* ---- schedule.c ---- */

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

/* ---- kept.c ---- */

/* The sequence of this tenant (kept, or of a running job) that begins with the most of these ids, at most n - 1 of
   them. *common says with how many. NULL: none has enough in common. */
kvasir_seq *kept_find(const server *s, int tenant, const int32_t *ids, int n, int *common);
/* A sequence that holds the first `common` ids. A kept sequence `from` is taken over where little of it would be lost,
   else forked. Without `from` it is empty. */
kvasir_status kept_begin(server *s, kvasir_seq *from, int common, kvasir_seq **out);
/* Keeps the sequence, which no longer belongs to the caller. */
void kept_add(server *s, kvasir_seq *seq, int tenant);
/* Frees the kept sequence that was used longest ago, but not `spare`; 0: there is none. */
int kept_evict(server *s, const kvasir_seq *spare);
uint64_t kept_bytes(const server *s); /* KV of all kept sequences */
void kept_free(server *s);            /* frees all of them */

/* ---- answer.c: the JSON of answers ---- */

/* An answer that is not streamed. */
json_t *answer_whole(const server *s, const job *j);
/* A part of a stream: some text, or a role, or the reason for the end; each may be NULL. */
json_t *answer_chunk(const server *s, const job *j, const char *role, const char *text, const char *finish);
json_t *answer_usage_chunk(const server *s, const job *j); /* its last part: counts of tokens */
json_t *answer_models(const server *s);                    /* the list of models */

/* ---- routes.c ---- */

/* evhttp's callback; the server is `user`. */
void routes_request(struct evhttp_request *req, void *user);

#endif
