/* What the server's parts share: the server itself. */
#ifndef KVASIR_SERVER_STATE_H
#define KVASIR_SERVER_STATE_H

#include "server/http/exchange.h"
#include "server/http/keys.h"
#include "server/metrics.h"
#include "server/request/request.h"
#include "server/schedule/job.h"
#include "server/server.h"

enum { KEPT_MOST = 256 };

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
    int32_t *ends;      /* tokens that end an answer */
    int n_ends;
    float *masked; /* a row of logits without them */
    int signals;
    int unsent; /* answers that are still in buffers */
    int n_seen; /* connections since they were last counted (server.c) */
} server;

#endif
