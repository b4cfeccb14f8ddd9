/* How jobs come, begin and go: the queue, and the running ones. */
#include "server/schedule/jobs.h"
#include "server/schedule/kept.h"
#include "server/schedule/schedule.h"
#include "server/openai/answer.h"
#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

int schedule_busy(const server *s)
{
    return s->n_running > 0 || s->n_queued > 0;
}

/* ---- jobs come ---------------------------------------------------------------------------------------- */

static void job_free(job *j)
{
    request_free(&j->q);
    kvasir_seq_free(j->seq);
    kvasir_sampler_free(j->sampler);
    kvasir_detokenizer_free(j->text);
    mem_free(j);
}

static void make_id(job *j)
{
    unsigned char random[12] = {0};
    (void)!getrandom(random, sizeof random, 0); /* for people's logs; no security depends on it */
    int n = snprintf(j->id, sizeof j->id, "%s", j->q.chat ? "chatcmpl-" : "cmpl-");
    for (size_t i = 0; i < sizeof random; i++)
        n += snprintf(j->id + n, sizeof j->id - (size_t)n, "%02x", (unsigned)random[i]);
}

/* An upper bound of the tokens that its sequence will hold. The last token of an answer is counted, although nothing is
   ever computed from it. */
static int longest(const server *s, const request *q)
{
    int64_t n = (int64_t)q->n_ids + q->max_tokens;
    return q->max_tokens < 0 || n > s->rules.ctx ? s->rules.ctx : (int)n;
}

int schedule_add(server *s, exchange *x, request *q, http_error *e)
{
    kvasir_kv_info kv;
    if (s->n_running + s->n_queued >= s->o->n_slots + s->o->n_queue)
        return http_refuse(e, 429, "queue_full", NULL, "%d requests are being answered and %d wait: the queue is full",
                           s->n_running, s->n_queued);
    if (kvasir_model_kv(s->o->model, s->o->seq.kv, longest(s, q), &kv) != KVASIR_OK)
        return http_refuse(e, 500, "internal", NULL, "%s", kvasir_message());
    job *j = mem_alloc(1, sizeof *j);
    if (!j) return http_refuse_memory(e);
    *j = (job){.x = x, .q = *q, .kv_bytes = kv.peak_bytes, .created = (int64_t)time(NULL), .arrived = x->arrived};
    *q = (request){0};
    make_id(j);
    x->prompt_tokens = (int)j->q.n_ids;
    j->told = clock_now();
    if (j->q.stream) {
        exchange_stream_begin(x);
        if (j->q.chat) exchange_stream_event(x, answer_chunk(s, j, "assistant", "", 0, NULL));
    }
    *s->queue_end = j;
    s->queue_end = &j->next;
    s->n_queued++;
    return 0;
}

/* ---- jobs go ------------------------------------------------------------------------------------------ */

/* An error after the beginning of a stream is sent as an event of the stream. */
static void refuse(job *j, const http_error *e)
{
    exchange *x = j->x;
    if (x->gone || !x->streaming) {
        exchange_refuse(x, e);
        return;
    }
    exchange_stream_event(x, exchange_error_json(e));
    x->status = e->status;
    exchange_stream_end(x);
}

static void refuse_failure(job *j, kvasir_status status)
{
    http_error e = {0};
    if (status == KVASIR_E_MEMORY)
        (void)http_refuse(&e, 503, "out_of_memory", NULL, "%s", kvasir_message());
    else
        (void)http_refuse(&e, 500, "internal", NULL, "%s", kvasir_message());
    refuse(j, &e);
}

static void say_all(server *s, job *j)
{
    exchange *x = j->x;
    if (x->gone) {
        exchange_drop(x);
    } else if (!j->q.stream) {
        exchange_json(x, 200, answer_whole(s, j));
    } else {
        exchange_stream_event(x, answer_chunk(s, j, NULL, NULL, 0, j->finish));
        if (j->q.include_usage) exchange_stream_event(x, answer_usage_chunk(s, j));
        exchange_stream_event(x, NULL);
        exchange_stream_end(x);
    }
}

static job *take_running(server *s, int place)
{
    job *j = s->running[place];
    memmove(&s->running[place], &s->running[place + 1], (size_t)(s->n_running - place - 1) * sizeof *s->running);
    s->n_running--;
    return j;
}

void finish(server *s, int place)
{
    job *j = take_running(s, place);
    int tenant = j->x->tenant;
    j->x->generated_tokens = j->generated;
    say_all(s, j);
    if (kvasir_seq_length(j->seq) > 0) {
        kept_add(s, j->seq, tenant);
        j->seq = NULL;
    }
    job_free(j);
}

void fail_running(server *s, int place, kvasir_status status)
{
    job *j = take_running(s, place);
    refuse_failure(j, status);
    job_free(j);
}

void drop_gone(server *s)
{
    for (int i = s->n_running - 1; i >= 0; i--)
        if (s->running[i]->x->gone) finish(s, i);
    for (job **link = &s->queue; *link;) {
        job *j = *link;
        if (!j->x->gone) {
            link = &j->next;
            continue;
        }
        *link = j->next;
        s->n_queued--;
        exchange_drop(j->x);
        job_free(j);
    }
    s->queue_end = &s->queue;
    while (*s->queue_end) s->queue_end = &(*s->queue_end)->next;
}

static job *take_queued(server *s)
{
    job *j = s->queue;
    s->queue = j->next;
    if (!s->queue) s->queue_end = &s->queue;
    s->n_queued--;
    return j;
}

void schedule_refuse_queue(server *s)
{
    while (s->queue) {
        job *j = take_queued(s);
        http_error e = {0};
        (void)http_refuse(&e, 503, "shutting_down", NULL, "the server is stopping");
        refuse(j, &e);
        job_free(j);
    }
}

void schedule_free(server *s)
{
    schedule_refuse_queue(s);
    while (s->n_running > 0) {
        job *j = take_running(s, 0);
        exchange_drop(j->x);
        job_free(j);
    }
    kept_free(s);
}

/* ---- jobs begin --------------------------------------------------------------------------------------- */

/* The bytes that the job and the running ones may come to need together. */
static uint64_t needed(const server *s, const job *j)
{
    uint64_t bytes = j->kv_bytes;
    for (int i = 0; i < s->n_running; i++) bytes += s->running[i]->kv_bytes;
    return bytes;
}

/* What a job may still take from the pool: it counts what its sequence holds, also where others hold it too. */
static uint64_t still_takes(const job *j)
{
    uint64_t held = kvasir_seq_kv_bytes(j->seq);
    return j->kv_bytes > held ? j->kv_bytes - held : 0;
}

/* Forgets kept sequences until the pool has what this job and the running ones may still take. Blocks are shared, so only
   the pool knows how much is free. */
static void make_room(server *s, const job *j)
{
    do {
        kvasir_engine_info info;
        kvasir_engine_get_info(s->o->engine, &info);
        uint64_t bytes = info.kv_used + still_takes(j);
        for (int i = 0; i < s->n_running; i++) bytes += still_takes(s->running[i]);
        if (bytes <= s->kv_budget) return;
    } while (kept_evict(s));
}

static kvasir_status begin(server *s, job *j)
{
    int common;
    kvasir_seq *from = kept_find(s, j->x->tenant, j->q.ids, (int)j->q.n_ids, &common);
    kvasir_status status = kept_begin(s, from, common, &j->seq);
    if (status == KVASIR_E_MEMORY && from) status = kept_begin(s, NULL, 0, &j->seq);
    TRY(status);
    make_room(s, j);
    TRY(kvasir_sampler_create(s->o->model, &j->q.sampling, &j->sampler));
    TRY(kvasir_detokenizer_create(s->o->model, (const char *const *)j->q.stop, j->q.n_stop, j->q.show_special,
                                  &j->text));
    j->cached = kvasir_seq_length(j->seq);
    j->x->cached_tokens = j->cached;
    for (int i = 0; i < j->cached; i++) kvasir_sampler_accept(j->sampler, j->q.ids[i]);
    j->started = clock_now();
    s->metrics.prompt_tokens += j->q.n_ids;
    s->metrics.cached_tokens += (uint64_t)j->cached;
    return KVASIR_OK;
}

void admit(server *s)
{
    while (s->queue && s->n_running < s->o->n_slots) {
        if (needed(s, s->queue) > s->kv_budget && s->n_running > 0) return;
        job *j = take_queued(s);
        kvasir_status status = begin(s, j);
        if (status == KVASIR_OK) {
            s->running[s->n_running++] = j;
        } else {
            refuse_failure(j, status);
            job_free(j);
        }
    }
}

/* ---- jobs wait ---------------------------------------------------------------------------------------- */

static void comment(job *j, double now)
{
    char text[64];
    if (!j->q.stream || j->decoding || j->x->gone || now - j->told < 1) return;
    j->told = now;
    if (j->seq)
        (void)snprintf(text, sizeof text, "prefill %d/%zu", kvasir_seq_length(j->seq), j->q.n_ids);
    else
        (void)snprintf(text, sizeof text, "queued");
    exchange_stream_comment(j->x, text);
}

void schedule_comment(server *s)
{
    double now = clock_now();
    for (job *j = s->queue; j; j = j->next) comment(j, now);
    for (int i = 0; i < s->n_running; i++) comment(s->running[i], now);
}
