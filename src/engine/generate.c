/* The convenient call on top of the step: prompt in, text out. */
#include "base/checked.h"
#include "base/status.h"
#include "base/clock.h"
#include "base/mem.h"
#include "sample/draft.h"
#include "engine/engine.h"

enum { FIRST_IDS = 256 };

typedef struct generation {
    kvasir_engine *e;
    kvasir_seq *s;
    const kvasir_generate_options *o;
    kvasir_sampler *sampler, *own_sampler;
    kvasir_detokenizer *text;
    draft *draft;                  /* NULL: nothing is proposed */
    int32_t ahead[1 + DRAFT_MOST]; /* the tokens of the next step: the newest one, then the proposed ones */
    int n_ahead;
    int32_t *ids;
    int n_ids, room_ids;
    kvasir_stats stats;
} generation;

static kvasir_status check(const kvasir_seq *s, const kvasir_generate_options *o)
{
    if (o->n_ids < 1 || !o->ids) return fail(KVASIR_E_ARGUMENT, "the prompt is empty");
    if (o->n_predict < 0 || o->chunk < 0)
        return fail(KVASIR_E_ARGUMENT, "n_predict %d and chunk %d must not be negative", o->n_predict, o->chunk);
    if (o->n_stop < 0 || (o->n_stop > 0 && !o->stop))
        return fail(KVASIR_E_ARGUMENT, "n_stop is %d and stop is %s", o->n_stop, o->stop ? "given" : "NULL");
    if (o->draft != KVASIR_DRAFT_NONE && o->draft != KVASIR_DRAFT_LOOKUP)
        return fail(KVASIR_E_ARGUMENT, "draft %d is not known", (int)o->draft);
    if (o->n_ids <= s->n_ctx - s->n_ids) return KVASIR_OK;
    return fail(KVASIR_E_CONTEXT, "the prompt needs %d tokens%s and the context holds %d", s->n_ids + o->n_ids,
                s->n_ids ? " with what came before" : "", s->n_ctx);
}

static kvasir_status prepare(generation *g)
{
    const kvasir_sampler_options greedy = {0};
    if (!g->o->sampler) TRY(kvasir_sampler_create(g->s->loaded->model, &greedy, &g->own_sampler));
    g->sampler = g->o->sampler ? g->o->sampler : g->own_sampler;
    TRY(kvasir_detokenizer_create(g->s->loaded->model, g->o->stop, g->o->n_stop, g->o->special, &g->text));
    if (g->o->draft != KVASIR_DRAFT_NONE) { /* the prompt is known to fit */
        TRY(draft_create(g->s->n_ctx + 1, &g->draft));
        for (int i = 0; i < g->s->n_ids; i++) draft_push(g->draft, g->s->ids[i]);
        for (int i = 0; i < g->o->n_ids; i++) draft_push(g->draft, g->o->ids[i]);
    }
    g->room_ids = FIRST_IDS;
    g->ids = mem_alloc((size_t)g->room_ids, sizeof *g->ids);
    return g->ids ? KVASIR_OK : fail_memory((size_t)g->room_ids * sizeof *g->ids);
}

static kvasir_status prefill(generation *g, const float **logits)
{
    const kvasir_generate_options *o = g->o;
    int chunk = o->chunk ? min_int(o->chunk, g->e->max_batch) : g->e->max_batch;
    double start = clock_now();
    for (int done = 0; done < o->n_ids;) {
        int n = min_int(chunk, o->n_ids - done);
        kvasir_work w = {.seq = g->s,
                         .ids = o->ids + done,
                         .n = n,
                         .want = done + n == o->n_ids ? KVASIR_WANT_LAST : KVASIR_WANT_NONE};
        TRY(kvasir_step(g->e, &w, 1));
        for (int i = 0; i < n; i++) kvasir_sampler_accept(g->sampler, o->ids[done + i]);
        done += n;
        *logits = w.logits;
        if (o->on_prefill && o->on_prefill(o->user, (uint64_t)done, (uint64_t)o->n_ids))
            return fail(KVASIR_E_CANCELLED, "stopped while reading the prompt");
    }
    g->stats.prompt_tokens = o->n_ids;
    g->stats.prefill_s = clock_now() - start;
    return kvasir_seq_mark(g->s);
}

/* Shows the text that has become certain. */
static kvasir_status show(generation *g)
{
    size_t n;
    const char *text = kvasir_detokenizer_text(g->text, &n);
    if (n == 0 || !g->o->on_text || !g->o->on_text(g->o->user, text, n)) return KVASIR_OK;
    g->stats.stop = KVASIR_STOP_NONE;
    return fail(KVASIR_E_CANCELLED, "stopped by the receiver of the text");
}

static kvasir_status show_rest(generation *g)
{
    TRY(kvasir_detokenizer_end(g->text));
    return show(g);
}

static kvasir_status keep_id(generation *g, int32_t id)
{
    if (g->n_ids == g->room_ids) {
        int32_t *more = mem_grow(g->ids, (size_t)g->room_ids, 2 * (size_t)g->room_ids, sizeof *more);
        if (!more) return fail_memory(2 * (size_t)g->room_ids * sizeof *more);
        g->ids = more;
        g->room_ids *= 2;
    }
    g->ids[g->n_ids++] = id;
    return KVASIR_OK;
}

/* Takes a token that was chosen when the sequence had `depth` tokens, and says in stats.stop whether it is the last. */
static kvasir_status take(generation *g, int32_t id, int depth)
{
    const kvasir_generate_options *o = g->o;
    kvasir_sampler_accept(g->sampler, id);
    TRY(keep_id(g, id));
    g->stats.generated_tokens = g->n_ids;
    if (!o->ignore_end && kvasir_token_ends(g->s->loaded->model, id)) {
        g->stats.stop = KVASIR_STOP_END;
        return KVASIR_OK;
    }
    if (g->draft) draft_push(g->draft, id);
    int stopped;
    TRY(kvasir_detokenizer_add(g->text, id, &stopped));
    if (stopped >= 0) {
        g->stats.stop = KVASIR_STOP_STRING;
        return KVASIR_OK;
    }
    if (o->n_predict && g->n_ids == o->n_predict)
        g->stats.stop = KVASIR_STOP_LIMIT;
    else if (depth == g->s->n_ctx)
        g->stats.stop = KVASIR_STOP_CONTEXT;
    return KVASIR_OK;
}

/* Chooses from the rows of the last step, in order, as long as the chosen tokens are the proposed ones. The rest of the
   proposal is cut off the sequence. */
static kvasir_status choose(generation *g, const float *logits, int n_rows)
{
    size_t n_vocab = (size_t)g->s->loaded->weights.h.n_vocab;
    int before = g->s->n_ids - n_rows, chosen = 0;
    kvasir_status status = KVASIR_OK;
    for (bool right = true; right && status == KVASIR_OK && g->stats.stop == KVASIR_STOP_NONE;) {
        int32_t id = kvasir_sampler_choose(g->sampler, logits + (size_t)chosen * n_vocab);
        chosen++;
        right = chosen < n_rows && id == g->ahead[chosen];
        g->stats.accepted += right;
        status = take(g, id, before + chosen);
    }
    if (n_rows > 1 && g->stats.stop == KVASIR_STOP_NONE) draft_learn(g->draft, n_rows - 1, chosen - 1);
    kvasir_status cut = chosen < n_rows ? kvasir_seq_truncate(g->s, before + chosen) : KVASIR_OK;
    return status != KVASIR_OK ? status : cut;
}

/* Puts a proposal behind the newest token. It is not longer than what may still be generated, what fits, and what can
   be cut off again at no cost. */
static void propose(generation *g)
{
    int most = min_int(DRAFT_MOST, min_int(g->e->max_logits, g->e->max_batch) - 1);
    g->ahead[0] = g->ids[g->n_ids - 1];
    g->n_ahead = 1;
    if (!g->draft) return;
    most = min_int(most, g->s->n_ctx - g->s->n_ids - 1);
    if (g->o->n_predict) most = min_int(most, g->o->n_predict - g->n_ids - 1);
    most = kv_seq_revocable(g->s->kv, g->s->n_ids + 1, most);
    g->n_ahead += draft_propose(g->draft, most, g->ahead + 1);
}

static kvasir_status decode(generation *g, const float *logits)
{
    TRY(choose(g, logits, 1));
    double first = clock_now();
    for (;;) {
        TRY(show(g));
        if (g->stats.stop != KVASIR_STOP_NONE) return show_rest(g);
        propose(g);
        kvasir_work w = {.seq = g->s, .ids = g->ahead, .n = g->n_ahead, .want = KVASIR_WANT_ALL};
        kvasir_status status = kvasir_step(g->e, &w, 1);
        if (status == KVASIR_E_MEMORY && w.n > 1) { /* the newest token alone may still fit */
            w.n = 1;
            status = kvasir_step(g->e, &w, 1);
        }
        TRY(status);
        g->stats.drafted += w.n - 1;
        TRY(choose(g, w.logits, w.n));
        g->stats.decode_s = clock_now() - first;
    }
}

kvasir_status kvasir_generate(kvasir_engine *e, kvasir_seq *s, const kvasir_generate_options *o, int32_t **ids,
                              int *n_ids, kvasir_stats *stats)
{
    NEED(e);
    NEED(s);
    NEED(o);
    generation g = {.e = e, .s = s, .o = o};
    const float *logits = NULL;
    double start = clock_now();
    if (ids) NEED(n_ids);
    if (s->engine != e) return fail(KVASIR_E_ARGUMENT, "a sequence of another engine");
    if (ids) *ids = NULL, *n_ids = 0;
    TRY(check(s, o));
    kvasir_status status = prepare(&g);
    if (status == KVASIR_OK) status = prefill(&g, &logits);
    g.stats.ttft_s = clock_now() - start;
    if (status == KVASIR_OK) status = decode(&g, logits);
    g.stats.depth = s->n_ids;
    g.stats.kv_bytes = kvasir_seq_kv_bytes(s);
    if (stats) *stats = g.stats;
    if (ids && (status == KVASIR_OK || status == KVASIR_E_CANCELLED)) {
        *ids = g.ids;
        *n_ids = g.n_ids;
        g.ids = NULL;
    }
    mem_free(g.ids);
    draft_free(g.draft);
    kvasir_detokenizer_free(g.text);
    kvasir_sampler_free(g.own_sampler);
    return status;
}
