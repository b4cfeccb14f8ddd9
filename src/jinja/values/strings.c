/* Pieces of str that both methods and filters use. */
#include "jinja/run/run.h"

#include <string.h>

static bool has_char(const jstr *chars, const char *s, size_t n)
{
    for (size_t i = 0; i < chars->n;) {
        size_t from = i;
        (void)j_decode(chars->s, &i);
        if (i - from == n && memcmp(chars->s + from, s, n) == 0) return true;
    }
    return false;
}

static bool stripped(const jstr *chars, const char *s, size_t from, size_t to)
{
    if (chars) return has_char(chars, s + from, to - from);
    return j_space(j_decode(s, &from));
}

kvasir_status j_strip(jrun *r, const jstr *s, const jstr *chars, int which, jval *out)
{
    size_t from = 0, to = s->n;
    while (which & 1 && from < to) {
        size_t next = from;
        (void)j_decode(s->s, &next);
        TRY(j_step(r, chars ? 1 + chars->n / 16 : 0));
        if (!stripped(chars, s->s, from, next)) break;
        from = next;
    }
    while (which & 2 && to > from) {
        size_t before = to;
        (void)j_decode_before(s->s, &before);
        TRY(j_step(r, chars ? 1 + chars->n / 16 : 0));
        if (!stripped(chars, s->s, before, to)) break;
        to = before;
    }
    TRY(j_step(r, (s->n - (to - from)) / 16));
    return j_part(r, s, from, to - from, out);
}

size_t j_find_text(const jstr *s, size_t from, const jstr *what)
{
    if (from > s->n) return SIZE_MAX;
    if (what->n == 0) return from;
    const char *p = memmem(s->s + from, s->n - from, what->s, what->n);
    return p ? (size_t)(p - s->s) : SIZE_MAX;
}

kvasir_status j_replace(jrun *r, const jstr *s, const jstr *old, const jstr *new, jint count, jval *out)
{
    size_t mark = j_mark(r), at = 0;
    TRY(j_step(r, s->n / 16));
    for (jint done = 0; count < 0 || done < count; done++) {
        size_t found = j_find_text(s, at, old);
        if (found == SIZE_MAX) break;
        TRY(j_step(r, 1));
        if (old->n == 0) { /* before every character and at the end */
            TRY(j_emit(r, new->s, new->n));
            if (at >= s->n) break;
            size_t next = at;
            (void)j_decode(s->s, &next);
            TRY(j_emit(r, s->s + at, next - at));
            at = next;
            continue;
        }
        TRY(j_emit(r, s->s + at, found - at));
        TRY(j_emit(r, new->s, new->n));
        at = found + old->n;
    }
    if (at < s->n) TRY(j_emit(r, s->s + at, s->n - at));
    return j_cut(r, mark, out);
}

/* The length of the line end at s[i], by the rules of str.splitlines(); 0 if there is none. */
static size_t line_end(const jstr *s, size_t i)
{
    size_t next = i;
    uint32_t c = j_decode(s->s, &next);
    if (c == '\r' && next < s->n && s->s[next] == '\n') return 2;
    bool ends = (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
    return ends ? next - i : 0;
}

kvasir_status j_split_lines(jrun *r, const jstr *s, bool keep, jval *out)
{
    size_t count = 0, from = 0, k = 0;
    TRY(j_step(r, s->n / 8));
    for (size_t i = 0; i < s->n;) {
        size_t end = line_end(s, i), next = i;
        (void)j_decode(s->s, &next);
        i = end ? i + end : next;
        count += end > 0 || i >= s->n;
    }
    TRY(j_new_list(r, J_LIST, count, out));
    for (size_t i = 0; i < s->n;) {
        size_t end = line_end(s, i), next = i;
        (void)j_decode(s->s, &next);
        if (end) {
            TRY(j_part(r, s, from, i - from + (keep ? end : 0), &out->list->v[k++]));
            from = i = i + end;
        } else {
            i = next;
        }
    }
    if (from < s->n) TRY(j_part(r, s, from, s->n - from, &out->list->v[k++]));
    return KVASIR_OK;
}

/* where: -1 puts the text to the left, 0 in the middle, 1 to the right. */
kvasir_status j_center(jrun *r, const jstr *s, jint width, const jstr *fill, int where, jval *out)
{
    if (fill && fill->chars != 1) return j_fail(r, "the fill character must be exactly one character long");
    size_t mark = j_mark(r), left = 0, room = 0;
    if (width > (jint)s->chars) {
        if (width > (jint)r->limits.output)
            return j_fail(r, "the text would be longer than %zu bytes", r->limits.output);
        room = (size_t)width - s->chars;
    }
    if (where == 0) left = room / 2 + (room & (size_t)width & 1);
    if (where > 0) left = room;
    for (size_t i = 0; i < left; i++) TRY(j_emit(r, fill ? fill->s : " ", fill ? fill->n : 1));
    TRY(j_emit(r, s->s, s->n));
    for (size_t i = left; i < room; i++) TRY(j_emit(r, fill ? fill->s : " ", fill ? fill->n : 1));
    return j_cut(r, mark, out);
}

kvasir_status j_emit_escaped(jrun *r, const jstr *s)
{
    size_t from = 0;
    for (size_t i = 0; i < s->n; i++) {
        char c = s->s[i];
        const char *to = c == '&'    ? "&amp;"
                         : c == '<'  ? "&lt;"
                         : c == '>'  ? "&gt;"
                         : c == '"'  ? "&#34;"
                         : c == '\'' ? "&#39;"
                                     : NULL;
        if (!to) continue;
        TRY(j_emit(r, s->s + from, i - from));
        TRY(j_emit_text(r, to));
        from = i + 1;
    }
    return j_emit(r, s->s + from, s->n - from);
}
