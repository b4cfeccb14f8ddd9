/* Whose tokens the next step computes: one token of every answer that is being generated, and a piece of one
   prompt. The piece is as long as the others can bear to wait for. Results do not depend on this (kvasir_step),
   only times do. */
#include "server/job.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { LEAST_PIECE = 32, FIRST_PIECE = 128 }; /* tokens of a prompt in one step */
/* How long a step with a piece of a prompt may take: while others generate, and while nobody does. */
static const double shared_step_s = 0.2, alone_step_s = 0.5;

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
    return q->max_tokens == 0 || n > s->rules.ctx ? s->rules.ctx : (int)n;
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
    *j = (job){.x = x, .q = *q, .kv_bytes = kv.bytes_at_ctx, .created = (int64_t)time(NULL), .arrived = x->arrived};
    *q = (request){0};
    make_id(j);
    x->prompt_tokens = (int)j->q.n_ids;
    j->told = clock_now();
    if (j->q.stream) {
        exchange_stream_begin(x);
        if (j->q.chat) exchange_stream_event(x, answer_chunk(s, j, "assistant", "", NULL));
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
        exchange_stream_event(x, answer_chunk(s, j, NULL, NULL, j->finish));
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

/* The job is over. Its sequence is kept for requests that begin in the same way. */
static void finish(server *s, int place)
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

static void fail_running(server *s, int place, kvasir_status status)
{
    job *j = take_running(s, place);
    refuse_failure(j, status);
    job_free(j);
}

static void drop_gone(server *s)
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

static kvasir_status begin(server *s, job *j)
{
    int common;
    kvasir_seq *from = kept_find(s, j->x->tenant, j->q.ids, (int)j->q.n_ids, &common);
    while (needed(s, j) + kept_bytes(s) > s->kv_budget && kept_evict(s, from)) {
    }
    /* A sequence that stays beside its fork needs room of its own. Where there is none, the job starts from
       an empty sequence. */
    kvasir_status status = kept_begin(s, from, common, &j->seq);
    if (status == KVASIR_E_MEMORY && from) status = kept_begin(s, NULL, 0, &j->seq);
    TRY(status);
    TRY(kvasir_sampler_create(s->o->model, &j->q.sampling, &j->sampler));
    TRY(kvasir_detokenizer_create(s->o->model, (const char *const *)j->q.stop, j->q.n_stop, 0, &j->text));
    j->cached = kvasir_seq_length(j->seq);
    j->x->cached_tokens = j->cached;
    for (int i = 0; i < j->cached; i++) kvasir_sampler_accept(j->sampler, j->q.ids[i]);
    j->started = clock_now();
    s->metrics.prompt_tokens += j->q.n_ids;
    s->metrics.cached_tokens += (uint64_t)j->cached;
    return KVASIR_OK;
}

/* Starts waiting jobs in their order, as long as there are slots and memory. */
static void admit(server *s)
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

/* ---- tokens ------------------------------------------------------------------------------------------- */

/* Text of an answer that is not streamed stays in the detokenizer until the answer is complete. */
static kvasir_status show(const server *s, job *j)
{
    size_t n = 0;
    if (j->finish) TRY(kvasir_detokenizer_end(j->text));
    const char *text = j->q.stream ? kvasir_detokenizer_text(j->text, &n) : NULL;
    if (n > 0) exchange_stream_event(j->x, answer_chunk(s, j, NULL, text, NULL));
    return KVASIR_OK;
}

/* Takes the chosen token that follows what the sequence holds. */
static kvasir_status take_token(server *s, job *j, int32_t id)
{
    int stopped = -1;
    double now = clock_now();
    kvasir_sampler_accept(j->sampler, id);
    j->generated++;
    s->metrics.generated_tokens++;
    if (j->generated == 1) {
        j->first = now;
        metrics_time(&s->metrics.ttft, now - j->arrived);
    } else {
        metrics_time(&s->metrics.token, now - j->last);
    }
    j->last = now;
    if (kvasir_token_ends(s->o->model, id))
        j->finish = "stop";
    else
        TRY(kvasir_detokenizer_add(j->text, id, &stopped));
    if (stopped >= 0) j->finish = "stop";
    int full = kvasir_seq_length(j->seq) == kvasir_seq_ctx(j->seq);
    if (!j->finish && (j->generated == j->q.max_tokens || full)) j->finish = "length";
    j->token = id;
    return show(s, j);
}

/* Handles an item that a step has computed. */
static kvasir_status take_item(server *s, job *j, const kvasir_work *w)
{
    if (!j->decoding) {
        for (int i = 0; i < w->n; i++) kvasir_sampler_accept(j->sampler, w->ids[i]);
        if (w->want == KVASIR_WANT_NONE) return KVASIR_OK;
        j->prompt_read = clock_now();
        j->decoding = 1;
        TRY(kvasir_seq_mark(j->seq)); /* the next turn of a conversation will begin here */
    }
    return take_token(s, j, kvasir_sampler_choose(j->sampler, w->logits));
}

/* ---- the step ----------------------------------------------------------------------------------------- */

typedef struct plan {
    kvasir_work work[SERVER_MAX_SLOTS];
    int place[SERVER_MAX_SLOTS]; /* of the items, in s->running */
    int n, reader;               /* items; the item that reads its prompt, -1: none */
} plan;

/* The job that has waited longest since a piece of its prompt was computed; -1: none is reading. */
static int next_reader(const server *s)
{
    int found = -1;
    for (int i = 0; i < s->n_running; i++) {
        if (s->running[i]->decoding) continue;
        if (found < 0 || s->running[i]->read_turn < s->running[found]->read_turn) found = i;
    }
    return found;
}

static int piece_tokens(const server *s, int n_decoding)
{
    double seconds = n_decoding > 0 ? shared_step_s : alone_step_s;
    int most = s->o->n_batch - n_decoding;
    int piece = s->prefill_tps > 0 ? (int)min_size((size_t)(s->prefill_tps * seconds), 1 << 20) : FIRST_PIECE;
    return min_int(max_int(piece, LEAST_PIECE), max_int(most, 1));
}

static plan plan_step(server *s)
{
    plan p = {.reader = -1};
    int reader = next_reader(s), n_decoding = 0;
    for (int i = 0; i < s->n_running; i++) n_decoding += s->running[i]->decoding;
    for (int i = 0; i < s->n_running; i++) {
        job *j = s->running[i];
        int held = kvasir_seq_length(j->seq), left = (int)j->q.n_ids - held;
        if (!j->decoding && i != reader) continue;
        p.place[p.n] = i;
        if (j->decoding) {
            p.work[p.n++] = (kvasir_work){.seq = j->seq, .ids = &j->token, .n = 1, .want = KVASIR_WANT_LAST};
            continue;
        }
        int n = min_int(piece_tokens(s, n_decoding), left);
        j->read_turn = ++s->turn;
        p.reader = p.n;
        p.work[p.n++] = (kvasir_work){
            .seq = j->seq, .ids = j->q.ids + held, .n = n, .want = n == left ? KVASIR_WANT_LAST : KVASIR_WANT_NONE};
    }
    return p;
}

/* Handles items that have been computed together, or one that was computed alone. Jobs that are over
   leave `running` later. */
static void take_items(server *s, const plan *p, int first, int n, kvasir_status failed[])
{
    for (int i = first; i < first + n; i++) failed[i] = take_item(s, s->running[p->place[i]], &p->work[i]);
}

static void learn_speed(server *s, const plan *p, double seconds)
{
    if (p->reader < 0) {
        int alone = p->n == 1;
        s->o->on_step(s->o->user, alone, alone ? kvasir_seq_length(p->work[0].seq) : 0, seconds);
        return;
    }
    s->o->on_step(s->o->user, 0, 0, seconds);
    int n = p->work[p->reader].n;
    double tps = seconds > 0 ? n / seconds : 0;
    if (n >= LEAST_PIECE) s->prefill_tps = s->prefill_tps > 0 ? 0.7 * s->prefill_tps + 0.3 * tps : tps;
}

static void compute(server *s, plan *p)
{
    kvasir_status failed[SERVER_MAX_SLOTS] = {KVASIR_OK};
    double start = clock_now();
    kvasir_status status = kvasir_step(s->o->engine, p->work, p->n);
    while (status == KVASIR_E_MEMORY && kept_evict(s, NULL)) status = kvasir_step(s->o->engine, p->work, p->n);
    if (status == KVASIR_OK) {
        learn_speed(s, p, clock_now() - start);
        take_items(s, p, 0, p->n, failed);
    } else { /* nothing was computed: tries each alone, so that one that cannot go on does not harm the others */
        for (int i = 0; i < p->n; i++) {
            failed[i] = p->n > 1 ? kvasir_step(s->o->engine, &p->work[i], 1) : status;
            if (failed[i] == KVASIR_OK) take_items(s, p, i, 1, failed);
        }
    }
    for (int i = p->n - 1; i >= 0; i--) {
        if (failed[i] != KVASIR_OK)
            fail_running(s, p->place[i], failed[i]);
        else if (s->running[p->place[i]]->finish)
            finish(s, p->place[i]);
    }
}

void schedule_turn(server *s)
{
    s->turn++;
    drop_gone(s);
    admit(s);
    if (s->n_running == 0) return;
    plan p = plan_step(s);
    compute(s, &p);
}

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
