#include "server/metrics.h"

#include <event2/buffer.h>
#include <inttypes.h>

static const double bounds[METRICS_BOUNDS] = {0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300};

void metrics_request(metrics *m, int code)
{
    for (int i = 0; i < METRICS_CODES; i++) {
        if (m->requests[i].code != 0 && m->requests[i].code != code) continue;
        m->requests[i].code = code;
        m->requests[i].n++;
        return;
    }
}

void metrics_time(histogram *h, double seconds)
{
    int i = 0;
    while (i < METRICS_BOUNDS && seconds > bounds[i]) i++;
    h->count[i]++;
    h->sum += seconds;
}

static void write_head(struct evbuffer *to, const char *name, const char *type, const char *help)
{
    (void)evbuffer_add_printf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_one(struct evbuffer *to, const char *name, const char *type, const char *help, uint64_t value)
{
    write_head(to, name, type, help);
    (void)evbuffer_add_printf(to, "%s %" PRIu64 "\n", name, value);
}

static void write_histogram(struct evbuffer *to, const char *name, const char *help, const histogram *h)
{
    uint64_t n = 0;
    write_head(to, name, "histogram", help);
    for (int i = 0; i < METRICS_BOUNDS; i++) {
        n += h->count[i];
        (void)evbuffer_add_printf(to, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, bounds[i], n);
    }
    n += h->count[METRICS_BOUNDS];
    (void)evbuffer_add_printf(to, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.6f\n%s_count %" PRIu64 "\n", name, n,
                              name, h->sum, name, n);
}

void metrics_write(const metrics *m, const metrics_state *now, struct evbuffer *to)
{
    write_head(to, "kvasir_requests_total", "counter", "Requests that were answered, by HTTP status.");
    for (int i = 0; i < METRICS_CODES && m->requests[i].code != 0; i++)
        (void)evbuffer_add_printf(to, "kvasir_requests_total{code=\"%d\"} %" PRIu64 "\n", m->requests[i].code,
                                  m->requests[i].n);
    write_one(to, "kvasir_prompt_tokens_total", "counter", "Tokens of prompts that were begun.", m->prompt_tokens);
    write_one(to, "kvasir_cached_tokens_total", "counter", "Of them tokens whose KV was there.", m->cached_tokens);
    write_one(to, "kvasir_generated_tokens_total", "counter", "Tokens of answers.", m->generated_tokens);
    write_one(to, "kvasir_disconnects_total", "counter", "Requests whose client went away.", m->disconnects);
    write_one(to, "kvasir_evictions_total", "counter", "Sequences that were kept and had to make room.", m->evictions);
    write_one(to, "kvasir_requests_running", "gauge", "Answers that are being computed.", (uint64_t)now->running);
    write_one(to, "kvasir_requests_queued", "gauge", "Requests that wait.", (uint64_t)now->queued);
    write_one(to, "kvasir_sequences_kept", "gauge", "Sequences of answered requests.", (uint64_t)now->kept);
    write_head(to, "kvasir_kv_bytes", "gauge",
               "Bytes of the KV cache: in use, the budget, and what the kept sequences refer to.");
    (void)evbuffer_add_printf(to,
                              "kvasir_kv_bytes{state=\"used\"} %" PRIu64 "\nkvasir_kv_bytes{state=\"kept\"} %" PRIu64
                              "\nkvasir_kv_bytes{state=\"budget\"} %" PRIu64 "\n",
                              now->kv_used, now->kv_kept, now->kv_budget);
    write_histogram(to, "kvasir_ttft_seconds", "From a request's arrival to the first token of its answer.", &m->ttft);
    write_histogram(to, "kvasir_token_seconds", "Between two tokens of an answer.", &m->token);
    write_head(to, "kvasir_uptime_seconds", "gauge", "Since the server began.");
    (void)evbuffer_add_printf(to, "kvasir_uptime_seconds %.3f\n", now->now - m->started);
}
