/* The convenience on top of the step: prompt in, text out. */
#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "engine/stopper.h"

enum { FIRST_IDS = 256 };

typedef struct generation {
    kvasir_engine *e;
    kvasir_seq *s;
    const kvasir_generate_options *o;
    kvasir_sampler *sampler, *own_sampler;
    stopper *stopper;
    char *text; /* room for a piece and what the stopper holds back */
    size_t room;
    tok_stream stream;
    int32_t *ids;
    int n_ids, room_ids;
    kvasir_stats stats;
} generation;

static kvasir_status check(const kvasir_seq *s, const kvasir_generate_options *o)
{
    if (o->n_ids < 1 || !o->ids) return fail(KVASIR_E_ARGUMENT, "the prompt is empty");
    if (o->n_predict < 0 || o->chunk < 0)
        return fail(KVASIR_E_ARGUMENT, "n_predict %d and chunk %d must not be negative", o->n_predict, o->chunk);
    if (o->n_ids <= s->n_ctx - s->n_ids) return KVASIR_OK;
    return fail(KVASIR_E_CONTEXT, "the prompt needs %d tokens%s and the context holds %d", s->n_ids + o->n_ids,
                s->n_ids ? " with what came before" : "", s->n_ctx);
}

static kvasir_status prepare(generation *g)
{
    const kvasir_sampler_options greedy = {0};
    if (!g->o->sampler) TRY(kvasir_sampler_create(g->s->loaded->model, &greedy, &g->own_sampler));
    g->sampler = g->o->sampler ? g->o->sampler : g->own_sampler;
    TRY(stopper_create(g->o->stop, g->o->n_stop, &g->stopper));
    g->room = TOK_STREAM_ROOM + stopper_holds(g->stopper) + TOK_STREAM_ROOM;
    g->text = mem_alloc(g->room, 1);
    g->room_ids = FIRST_IDS;
    g->ids = mem_alloc((size_t)g->room_ids, sizeof *g->ids);
    return g->text && g->ids ? KVASIR_OK : fail_memory((size_t)g->room_ids * sizeof *g->ids);
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

static kvasir_status show(generation *g, const char *text, size_t n)
{
    if (n && g->o->on_text && g->o->on_text(g->o->user, text, n))
        return fail(KVASIR_E_CANCELLED, "stopped by the receiver of the text");
    return KVASIR_OK;
}

/* The token's text, as far as it is whole characters and cannot be the beginning of a stop string. */
static kvasir_status emit(generation *g, int32_t id)
{
    char piece[TOK_STREAM_ROOM];
    int stopped = -1;
    size_t n = tok_stream_next(model_tok(g->s->loaded->model), &g->stream, id, g->o->special != 0, piece, sizeof piece);
    n = stopper_next(g->stopper, piece, n, g->text, &stopped);
    if (stopped >= 0) g->stats.stop = KVASIR_STOP_STRING;
    return show(g, g->text, n);
}

static kvasir_status emit_rest(generation *g)
{
    char piece[TOK_STREAM_ROOM];
    int stopped = -1;
    if (g->stats.stop == KVASIR_STOP_STRING) return KVASIR_OK;
    size_t n = tok_stream_end(&g->stream, piece, sizeof piece);
    TRY(show(g, g->text, stopper_next(g->stopper, piece, n, g->text, &stopped)));
    return show(g, g->text, stopper_end(g->stopper, g->text));
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

static kvasir_status decode(generation *g, const float *logits)
{
    const kvasir_generate_options *o = g->o;
    double first = 0;
    while (g->stats.stop == KVASIR_STOP_NONE) {
        int32_t id = kvasir_sampler_choose(g->sampler, logits);
        kvasir_sampler_accept(g->sampler, id);
        TRY(keep_id(g, id));
        g->stats.generated_tokens = g->n_ids;
        if (g->n_ids == 1) first = clock_now();
        if (!o->ignore_end && kvasir_token_ends(g->s->loaded->model, id)) {
            g->stats.stop = KVASIR_STOP_END;
            break;
        }
        TRY(emit(g, id));
        if (g->stats.stop != KVASIR_STOP_NONE) break;
        if (o->n_predict && g->n_ids == o->n_predict)
            g->stats.stop = KVASIR_STOP_LIMIT;
        else if (g->s->n_ids == g->s->n_ctx)
            g->stats.stop = KVASIR_STOP_CONTEXT;
        else {
            kvasir_work w = {.seq = g->s, .ids = &id, .n = 1, .want = KVASIR_WANT_LAST};
            TRY(kvasir_step(g->e, &w, 1));
            logits = w.logits;
        }
        g->stats.decode_s = clock_now() - first;
    }
    return emit_rest(g);
}

kvasir_status kvasir_generate(kvasir_engine *e, kvasir_seq *s, const kvasir_generate_options *o, int32_t **ids,
                              int *n_ids, kvasir_stats *stats)
{
    generation g = {.e = e, .s = s, .o = o};
    const float *logits = NULL;
    double start = clock_now();
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
    mem_free(g.text);
    stopper_free(g.stopper);
    kvasir_sampler_free(g.own_sampler);
    return status;
}
