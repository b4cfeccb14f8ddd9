/* Turns generated ids into text as soon as the text is certain: whole characters, and nothing that may yet be part of
   a stop string. */
#include "base/mem.h"
#include "base/status.h"
#include "engine/model.h"
#include "engine/stopper.h"

#include <string.h>

struct kvasir_detokenizer {
    const tok *tok;
    stopper *stopper;
    tok_stream stream;
    bool special;
    int stop;         /* the string that was found, -1: none */
    int32_t *control; /* by stop string: the control token that is written so, -1: none */
    int n_stop;
    char *text;
    size_t n, room; /* decided and not taken yet; with room for the 0 behind it */
    bool taken;     /* the caller has seen text[0..n): the next text replaces it */
};

/* Control tokens are not shown, so as stop strings they are found by their ids. */
static kvasir_status find_controls(kvasir_detokenizer *d, const char *const *stop, int n_stop)
{
    if (n_stop == 0 || d->special) return KVASIR_OK;
    d->control = mem_alloc((size_t)n_stop, sizeof *d->control);
    if (!d->control) return fail_memory((size_t)n_stop * sizeof *d->control);
    d->n_stop = n_stop;
    for (int i = 0; i < n_stop; i++) {
        int32_t id = tok_find(d->tok, stop[i], strlen(stop[i]));
        d->control[i] = id >= 0 && tok_is_control(d->tok, id) ? id : -1;
    }
    return KVASIR_OK;
}

kvasir_status kvasir_detokenizer_create(const kvasir_model *m, const char *const *stop, int n_stop, int special,
                                        kvasir_detokenizer **out)
{
    NEED(m);
    NEED(out);
    if (n_stop < 0 || (n_stop > 0 && !stop))
        return fail(KVASIR_E_ARGUMENT, "n_stop is %d and stop is %s", n_stop, stop ? "given" : "NULL");
    for (int i = 0; i < n_stop; i++)
        if (!stop[i]) return fail(KVASIR_E_ARGUMENT, "stop[%d] is NULL", i);
    if (!m->tok) return fail(KVASIR_E_UNSUPPORTED, "%s: the model's tokenizer cannot be used", m->info.path);
    kvasir_detokenizer *d = mem_alloc(1, sizeof *d);
    if (!d) return fail_memory(sizeof *d);
    *d = (kvasir_detokenizer){.tok = m->tok, .special = special != 0, .stop = -1};
    kvasir_status status = stopper_create(stop, n_stop, &d->stopper);
    if (status == KVASIR_OK) status = find_controls(d, stop, n_stop);
    if (status == KVASIR_OK) {
        d->room = stopper_holds(d->stopper) + 2 * TOK_STREAM_ROOM + 1;
        d->text = mem_alloc(d->room, 1);
        if (!d->text) status = fail_memory(d->room);
    }
    if (status == KVASIR_OK)
        *out = d;
    else
        kvasir_detokenizer_free(d);
    return status;
}

void kvasir_detokenizer_free(kvasir_detokenizer *d)
{
    if (!d) return;
    stopper_free(d->stopper);
    mem_free(d->control);
    mem_free(d->text);
    mem_free(d);
}

/* Makes room for the text that one more token may complete, and for a 0 behind it. */
static kvasir_status make_room(kvasir_detokenizer *d)
{
    if (d->taken) d->n = 0;
    d->taken = false;
    size_t need = d->n + stopper_holds(d->stopper) + TOK_STREAM_ROOM + 1;
    if (need <= d->room) return KVASIR_OK;
    char *more = mem_grow(d->text, d->room, 2 * need, 1);
    if (!more) return fail_memory(2 * need);
    d->text = more;
    d->room = 2 * need;
    return KVASIR_OK;
}

static void decide(kvasir_detokenizer *d, const char *piece, size_t n)
{
    d->n += stopper_next(d->stopper, piece, n, d->text + d->n, &d->stop);
    d->text[d->n] = 0;
}

/* What was held back comes before the token, so it is shown. */
static void stop_at_control(kvasir_detokenizer *d, int32_t id)
{
    for (int i = 0; i < d->n_stop; i++) {
        if (d->control[i] != id) continue;
        d->n += stopper_end(d->stopper, d->text + d->n);
        d->text[d->n] = 0;
        d->stop = i;
        return;
    }
}

kvasir_status kvasir_detokenizer_add(kvasir_detokenizer *d, int32_t id, int *stopped)
{
    NEED(d);
    char piece[TOK_STREAM_ROOM];
    if (id < 0 || id >= tok_size(d->tok))
        return fail(KVASIR_E_ARGUMENT, "id %d is outside the vocabulary of %d", (int)id, tok_size(d->tok));
    TRY(make_room(d));
    if (d->stop < 0) stop_at_control(d, id);
    if (d->stop < 0) decide(d, piece, tok_stream_next(d->tok, &d->stream, id, d->special, piece, sizeof piece));
    if (stopped) *stopped = d->stop;
    return KVASIR_OK;
}

kvasir_status kvasir_detokenizer_end(kvasir_detokenizer *d)
{
    NEED(d);
    char piece[TOK_STREAM_ROOM];
    TRY(make_room(d));
    if (d->stop >= 0) return KVASIR_OK; /* the text before the stop string has been shown */
    decide(d, piece, tok_stream_end(&d->stream, piece, sizeof piece));
    if (d->stop >= 0) return KVASIR_OK;
    TRY(make_room(d));
    d->n += stopper_end(d->stopper, d->text + d->n);
    d->text[d->n] = 0;
    return KVASIR_OK;
}

const char *kvasir_detokenizer_text(kvasir_detokenizer *d, size_t *n)
{
    NEED_OR(d, NULL);
    NEED_OR(n, NULL);
    if (d->taken) d->n = 0;
    d->text[d->n] = 0;
    d->taken = true;
    *n = d->n;
    return d->text;
}
