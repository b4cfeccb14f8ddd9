/* Whose tokens the next step computes: one token of every answer that is being generated, and a piece of one
   prompt. The piece is as long as the others can bear to wait for. Results do not depend on this (kvasir_step),
   only times do. */
#include "server/schedule/jobs.h"
#include "server/schedule/kept.h"
#include "server/schedule/schedule.h"
#include "server/openai/answer.h"
#include "base/checked.h"
#include "base/clock.h"

#include <math.h>
#include <string.h>

enum { LEAST_PIECE = 32, FIRST_PIECE = 128 }; /* tokens of a prompt in one step */
/* How long a step with a piece of a prompt may take: while others generate, and while nobody does. */
static const double shared_step_s = 0.2, alone_step_s = 0.5;

/* ---- tokens ------------------------------------------------------------------------------------------- */

/* Text of an answer that is not streamed stays in the detokenizer until the answer is complete. */
static kvasir_status show(const server *s, job *j)
{
    size_t n = 0;
    if (j->finish) TRY(kvasir_detokenizer_end(j->text));
    const char *text = j->q.stream ? kvasir_detokenizer_text(j->text, &n) : NULL;
    if (n > 0) exchange_stream_event(j->x, answer_chunk(s, j, NULL, text, n, NULL));
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

/* The prompt was all that was wanted. */
static kvasir_status take_nothing(const server *s, job *j)
{
    j->first = j->last = j->prompt_read;
    j->finish = "length";
    return show(s, j);
}

/* The logits with every token that ends an answer out of reach. */
static const float *without_ends(server *s, const float *logits)
{
    int n_vocab = kvasir_model_get_info(s->o->model)->n_vocab;
    memcpy(s->masked, logits, (size_t)n_vocab * sizeof *logits);
    for (int i = 0; i < s->n_ends; i++) s->masked[s->ends[i]] = -INFINITY;
    return s->masked;
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
        if (j->q.max_tokens == 0) return take_nothing(s, j);
    }
    const float *logits = j->generated < j->q.min_tokens ? without_ends(s, w->logits) : w->logits;
    return take_token(s, j, kvasir_sampler_choose(j->sampler, logits));
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
    while (status == KVASIR_E_MEMORY && kept_evict(s)) status = kvasir_step(s->o->engine, p->work, p->n);
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
