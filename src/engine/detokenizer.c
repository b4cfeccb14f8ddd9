/* Turns generated ids into text as soon as the text is certain: whole characters, and nothing that may yet be part of
   a stop string. */
#include "base/mem.h"
#include "engine/model.h"
#include "engine/stopper.h"

struct kvasir_detokenizer {
    const tok *tok;
    stopper *stopper;
    tok_stream stream;
    bool special;
    int stop; /* the string that was found, -1: none */
    char *text;
    size_t n, room; /* decided and not taken yet; with room for the 0 behind it */
    bool taken;     /* the caller has seen text[0..n): the next text replaces it */
};

kvasir_status kvasir_detokenizer_create(const kvasir_model *m, const char *const *stop, int n_stop, int special,
                                        kvasir_detokenizer **out)
{
    if (!m->tok) return fail(KVASIR_E_UNSUPPORTED, "%s: the model's tokenizer cannot be used", m->info.path);
    kvasir_detokenizer *d = mem_alloc(1, sizeof *d);
    if (!d) return fail_memory(sizeof *d);
    *d = (kvasir_detokenizer){.tok = m->tok, .special = special != 0, .stop = -1};
    kvasir_status status = stopper_create(stop, n_stop, &d->stopper);
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

kvasir_status kvasir_detokenizer_add(kvasir_detokenizer *d, int32_t id, int *stopped)
{
    char piece[TOK_STREAM_ROOM];
    if (id < 0 || id >= tok_size(d->tok))
        return fail(KVASIR_E_ARGUMENT, "id %d is outside the vocabulary of %d", (int)id, tok_size(d->tok));
    TRY(make_room(d));
    decide(d, piece, tok_stream_next(d->tok, &d->stream, id, d->special, piece, sizeof piece));
    if (stopped) *stopped = d->stop;
    return KVASIR_OK;
}

kvasir_status kvasir_detokenizer_end(kvasir_detokenizer *d)
{
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
    if (d->taken) d->n = 0;
    d->text[d->n] = 0;
    d->taken = true;
    *n = d->n;
    return d->text;
}
