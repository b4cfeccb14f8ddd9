/* From ids to text. */
#include "base/checked.h"
#include "base/mem.h"
#include "tok/internal.h"
#include "tok/utf8.h"

#include <string.h>

/* Byte-level BPE: each character of the stored text stands for one byte. A text with a character outside the alphabet
   (an added token) is copied as it is. */
static size_t decode_bytes(const tok_text *text, char *to)
{
    size_t used = 0;
    for (size_t i = 0; i < text->n;) {
        const unsigned char *s = (const unsigned char *)text->s + i;
        int len = utf8_char(s, text->n - i);
        int byte = len == 1   ? bpe_byte_of_char(s[0])
                   : len == 2 ? bpe_byte_of_char((s[0] & 0x1fu) << 6 | (s[1] & 0x3f))
                              : -1;
        if (byte < 0) {
            memcpy(to, text->s, text->n);
            return text->n;
        }
        to[used++] = (char)byte;
        i += (size_t)len;
    }
    return used;
}

static size_t decode_spaces(const tok_text *text, char *to)
{
    size_t used = 0;
    for (size_t i = 0; i < text->n; i++) {
        if (text->n - i >= 3 && memcmp(text->s + i, "\xe2\x96\x81", 3) == 0) {
            to[used++] = ' ';
            i += 2;
        } else {
            to[used++] = text->s[i];
        }
    }
    return used;
}

static int hex_digit(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Writes the bytes of a token to `to`, which has TOK_MAX_PIECE bytes. */
static size_t piece(const tok *t, int32_t id, bool special, char *to)
{
    if (id < 0 || id >= t->n) return 0;
    const tok_text *text = &t->text[id];
    const unsigned flags = t->flags[id];
    if (flags & (FLAG_CONTROL | FLAG_UNKNOWN) && !special) return 0;
    if (text->n == 0) return 0;
    if (flags & (FLAG_CONTROL | FLAG_UNKNOWN | FLAG_USER)) {
        memcpy(to, text->s, text->n);
        return text->n;
    }
    if (flags & FLAG_BYTE) {
        to[0] = (char)(hex_digit(text->s[3]) << 4 | hex_digit(text->s[4]));
        return 1;
    }
    return t->kind == TOK_BYTE_BPE ? decode_bytes(text, to) : decode_spaces(text, to);
}

size_t tok_piece(const tok *t, int32_t id, bool special, char *to, size_t room)
{
    char bytes[TOK_MAX_PIECE];
    size_t n = piece(t, id, special, bytes);
    if (room) memcpy(to, bytes, min_size(n, room));
    return n;
}

/* Skips the space that SentencePiece puts before the first text. Returns where the piece then starts. */
static size_t skip_prefix(const tok *t, int32_t id, const char *bytes, size_t n, bool *started)
{
    if (*started || n == 0 || tok_is_control(t, id)) return 0;
    *started = true;
    return t->add_space_prefix && bytes[0] == ' ';
}

kvasir_status tok_decode(const tok *t, const int32_t *ids, size_t n, bool special, char **out, size_t *n_out)
{
    char bytes[TOK_MAX_PIECE];
    size_t used = 0, room = n * 4 + 16;
    bool started = false;
    char *to = mem_alloc(room, 1);
    *out = NULL;
    *n_out = 0;
    if (!to) return fail_memory(room);
    for (size_t i = 0; i < n; i++) {
        size_t len = piece(t, ids[i], special, bytes), from = skip_prefix(t, ids[i], bytes, len, &started);
        if (room - used <= len) {
            size_t more = room * 2 + len;
            char *grown = mem_grow(to, room, more, 1);
            if (!grown) {
                mem_free(to);
                return fail_memory(more);
            }
            to = grown;
            room = more;
        }
        memcpy(to + used, bytes + from, len - from);
        used += len - from;
    }
    to[used] = 0;
    *out = to;
    *n_out = used;
    return KVASIR_OK;
}

static size_t put(char *to, size_t room, size_t used, const void *bytes, size_t n)
{
    if (used + n > room) return used;
    memcpy(to + used, bytes, n);
    return used + n;
}

static const char replacement[] = "\xef\xbf\xbd";

size_t tok_stream_next(const tok *t, tok_stream *s, int32_t id, bool special, char *to, size_t room)
{
    char bytes[sizeof s->held + TOK_MAX_PIECE];
    size_t n_held = (size_t)s->n_held, used = 0, i = 0;
    size_t n = piece(t, id, special, bytes + n_held), from = skip_prefix(t, id, bytes + n_held, n, &s->started);
    if (from) memmove(bytes + n_held, bytes + n_held + from, n - from);
    memcpy(bytes, s->held, n_held);
    n += n_held - from;
    s->n_held = 0;
    while (i < n) {
        int len = utf8_char((const unsigned char *)bytes + i, n - i);
        if (len < 0) break;
        used = len ? put(to, room, used, bytes + i, (size_t)len) : put(to, room, used, replacement, 3);
        i += len ? (size_t)len : 1;
    }
    s->n_held = (int)(n - i); /* an unfinished character has at most 3 bytes */
    memcpy(s->held, bytes + i, n - i);
    return used;
}

size_t tok_stream_end(tok_stream *s, char *to, size_t room)
{
    size_t used = 0;
    for (int i = 0; i < s->n_held; i++) used = put(to, room, used, replacement, 3);
    s->n_held = 0;
    return used;
}
