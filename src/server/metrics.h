/* What the server counts, and the text in which Prometheus reads it. */
#ifndef KVASIR_SERVER_METRICS_H
#define KVASIR_SERVER_METRICS_H

#include <stdint.h>

struct evbuffer;

enum { METRICS_BOUNDS = 15, METRICS_CODES = 32 };

typedef struct histogram {
    uint64_t count[METRICS_BOUNDS + 1]; /* the last: beyond the largest bound */
    double sum;
} histogram;

typedef struct metrics {
    struct {
        int code;
        uint64_t n;
    } requests[METRICS_CODES];
    uint64_t prompt_tokens, cached_tokens, generated_tokens, disconnects, evictions;
    histogram ttft, token; /* seconds: until the first token; of each further one */
    double started;
} metrics;

/* The state at this moment, which is not counted up. */
typedef struct metrics_state {
    int running, queued, kept;
    uint64_t kv_used, kv_kept, kv_budget;
    double now;
} metrics_state;

/* Counts a request that was answered with this status, and a time in its histogram. */
void metrics_request(metrics *m, int code);
void metrics_time(histogram *h, double seconds);
/* Appends all of it in Prometheus's text format. */
void metrics_write(const metrics *m, const metrics_state *now, struct evbuffer *to);

#endif
