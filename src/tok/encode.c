#include "base/checked.h"
#include "base/mem.h"
#include "tok/internal.h"

#include <string.h>

kvasir_status encoder_push(encoder *e, int32_t id)
{
    if (e->ids.n == e->ids.room) {
        size_t room = e->ids.room ? e->ids.room * 2 : 64;
        int32_t *grown = mem_grow(e->ids.v, e->ids.room, room, sizeof *grown);
        if (!grown) return fail_memory(room * sizeof *grown);
        e->ids.v = grown;
        e->ids.room = room;
    }
    e->ids.v[e->ids.n++] = id;
    return KVASIR_OK;
}

kvasir_status encoder_reserve(encoder *e, size_t n_symbols)
{
    if (n_symbols <= e->room) return KVASIR_OK;
    if (n_symbols > INT32_MAX)
        return fail(KVASIR_E_ARGUMENT, "a stretch of %zu bytes is more than the %d that can be merged at once",
                    n_symbols, INT32_MAX);
    size_t room = max_size(n_symbols, 64);
    mem_free(e->symbols);
    mem_free(e->heap);
    e->room = 0;
    e->symbols = mem_alloc(room, sizeof *e->symbols);
    e->heap = mem_alloc(2 * room, sizeof *e->heap); /* a merge takes one entry and adds at most two */
    if (!e->symbols || !e->heap) return fail_memory(room * (sizeof *e->symbols + 2 * sizeof *e->heap));
    e->room = room;
    return KVASIR_OK;
}

kvasir_status escape_spaces(const char *text, size_t n, bool prefix, char **out, size_t *n_out)
{
    static const char space[] = {'\xe2', '\x96', '\x81'};
    size_t n_spaces = prefix, used = 0;
    for (size_t i = 0; i < n; i++) n_spaces += text[i] == ' ';
    char *to = mem_alloc(n + sizeof space * n_spaces, 1);
    *out = to;
    if (!to) return fail_memory(n + sizeof space * n_spaces);
    for (size_t i = prefix ? 0 : 1; i <= n; i++) { /* i - 1 is the byte; before the first comes the prefix */
        if (i == 0 || text[i - 1] == ' ') {
            memcpy(to + used, space, sizeof space);
            used += sizeof space;
        } else {
            to[used++] = text[i - 1];
        }
    }
    *n_out = used;
    return KVASIR_OK;
}

/* Encodes a stretch of text at the start or after a special token. SentencePiece puts its space before it
   in both cases. */
static kvasir_status encode_plain(encoder *e, const char *text, size_t n)
{
    char *escaped;
    if (e->t->kind != TOK_SPM) return bpe_encode(e, text, n);
    kvasir_status status = escape_spaces(text, n, e->t->add_space_prefix, &escaped, &n);
    if (status == KVASIR_OK) status = spm_encode(e, escaped, n);
    mem_free(escaped);
    return status;
}

static kvasir_status encode_all(encoder *e, const char *text, size_t n, bool add_special, const special_hit *hit,
                                size_t n_hits)
{
    const tok *t = e->t;
    size_t at = 0;
    if (add_special && t->add_bos) TRY(encoder_push(e, t->bos));
    for (size_t i = 0; i < n_hits; i++) {
        if (hit[i].start > at) TRY(encode_plain(e, text + at, hit[i].start - at));
        TRY(encoder_push(e, hit[i].token));
        at = hit[i].start + (size_t)hit[i].length;
    }
    if (at < n) TRY(encode_plain(e, text + at, n - at));
    if (add_special && t->add_eos) TRY(encoder_push(e, t->eos));
    return KVASIR_OK;
}

kvasir_status tok_encode_counted(const tok *t, const char *text, size_t n, bool add_special, bool parse_special,
                                 int32_t **out, size_t *n_out, tok_work *work)
{
    encoder e = {.t = t};
    special_hit *hits = NULL;
    size_t n_hits = 0;
    *out = NULL;
    *n_out = 0;
    if (n > TOK_MAX_TEXT)
        return fail(KVASIR_E_ARGUMENT, "the text has %zu bytes, more than the %d that can be encoded at once", n,
                    TOK_MAX_TEXT);
    kvasir_status status = special_find(parse_special ? &t->any : &t->user, text, n, &hits, &n_hits);
    if (status == KVASIR_OK) status = encode_all(&e, text, n, add_special, hits, n_hits);
    if (status == KVASIR_OK && !e.ids.v && !(e.ids.v = mem_alloc(1, sizeof *e.ids.v)))
        status = fail_memory(sizeof *e.ids.v);
    mem_free(hits);
    mem_free(e.symbols);
    mem_free(e.heap);
    work->pops += e.work.pops;
    work->pairs += e.work.pairs;
    work->matches += e.work.matches;
    if (status != KVASIR_OK) {
        mem_free(e.ids.v);
        return status;
    }
    *out = e.ids.v;
    *n_out = e.ids.n;
    return KVASIR_OK;
}

kvasir_status tok_encode(const tok *t, const char *text, size_t n, bool add_special, bool parse_special, int32_t **out,
                         size_t *n_out)
{
    tok_work work = {0};
    return tok_encode_counted(t, text, n, add_special, parse_special, out, n_out, &work);
}
