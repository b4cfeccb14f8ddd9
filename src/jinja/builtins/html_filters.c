/* Filters for HTML and URLs: what is escaped, quoted, or freed of markup. */
#include "jinja/builtins/builtins.h"
#include "jinja/run/run.h"

#include <stdio.h>
#include <string.h>

static kvasir_status escape_text(jrun *r, const jstr *s, jval *out)
{
    size_t mark = j_mark(r);
    TRY(j_emit_escaped(r, s));
    TRY(j_cut(r, mark, out));
    j_set_markup(*out);
    return KVASIR_OK;
}

kvasir_status do_forceescape(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *s;
    TRY(j_to_str(r, self, &s));
    return escape_text(r, s, out);
}

kvasir_status do_escape(jrun *r, jval self, const jargs *a, jval *out)
{
    *out = self;
    return self.kind == J_STRING && self.s->markup ? KVASIR_OK : do_forceescape(r, self, a, out);
}

kvasir_status do_safe(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *s;
    TRY(j_to_str(r, self, &s));
    TRY(j_string(r, s->s, s->n, out));
    j_set_markup(*out);
    return KVASIR_OK;
}

/* A character reference such as "&lt;" at s[i]: returns the character, and where the text goes on. 0 when
   there is none. */
static uint32_t reference(const jstr *s, size_t i, size_t *after)
{
    static const struct {
        char name[8];
        uint32_t c;
    } names[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&nbsp;", 0xa0}};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        size_t n = strlen(names[k].name);
        *after = i + n;
        if (n <= s->n - i && memcmp(s->s + i, names[k].name, n) == 0) return names[k].c;
    }
    if (s->n - i < 4 || s->s[i + 1] != '#') return 0;
    bool hex = (s->s[i + 2] | 0x20) == 'x';
    size_t from = i + 2 + hex, end = from;
    while (end < s->n && s->s[end] != ';' && end - from < 8) end++;
    jint c;
    if (end >= s->n || s->s[end] != ';' || !j_read_int(s->s + from, end - from, hex ? 16 : 10, &c) || c > 0x10ffff)
        return 0;
    *after = end + 1;
    return (uint32_t)c;
}

/* The end of the piece of markup that begins at s[i]; i if none begins there or it does not end. */
static size_t markup_end(const jstr *s, size_t i, const char *open, const char *close)
{
    const jstr from = {.s = open, .n = strlen(open)}, to = {.s = close, .n = strlen(close)};
    if (s->n - i < from.n || memcmp(s->s + i, open, from.n) != 0) return i;
    size_t end = j_find_text(s, i + from.n, &to);
    return end == SIZE_MAX ? i : end + to.n;
}

static kvasir_status without_markup(jrun *r, const jstr *s, const char *open, const char *close, jval *out)
{
    size_t mark = j_mark(r);
    const jstr to = {.s = close, .n = strlen(close)};
    bool closes = true; /* whether an end still follows */
    TRY(j_step(r, s->n / 16));
    for (size_t i = 0; i < s->n;) {
        size_t end = closes && s->s[i] == '<' ? markup_end(s, i, open, close) : i;
        if (end == i && closes && s->s[i] == '<') closes = j_find_text(s, i, &to) != SIZE_MAX;
        if (end == i) TRY(j_emit(r, &s->s[i], 1));
        i = end > i ? end : i + 1;
    }
    return j_cut(r, mark, out);
}

kvasir_status do_striptags(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *s;
    jval text;
    TRY(j_to_str(r, self, &s));
    TRY(without_markup(r, s, "<!--", "-->", &text));
    TRY(without_markup(r, text.s, "<", ">", &text));
    size_t mark = j_mark(r);
    bool any = false, gap = false;
    s = text.s;
    for (size_t i = 0; i < s->n;) {
        size_t from = i, after;
        uint32_t c = j_decode(s->s, &i), meant;
        if (j_space(c)) {
            gap = true;
            continue;
        }
        if (gap && any) TRY(j_emit_text(r, " "));
        any = true;
        gap = false;
        meant = c == '&' ? reference(s, from, &after) : 0;
        if (meant) i = after;
        TRY(j_emit_char(r, meant ? meant : c));
    }
    return j_cut(r, mark, out);
}

static kvasir_status emit_quoted_url(jrun *r, jval v, bool query)
{
    const jstr *s;
    TRY(j_to_str(r, v, &s));
    for (size_t i = 0; i < s->n; i++) {
        char c = s->s[i], text[4];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c && strchr("_.-~", c)) || (c == '/' && !query);
        (void)snprintf(text, sizeof text, "%%%02X", (unsigned char)c);
        if (plain)
            TRY(j_emit(r, &c, 1));
        else
            TRY(j_emit_text(r, query && c == ' ' ? "+" : text));
    }
    return KVASIR_OK;
}

kvasir_status do_urlencode(jrun *r, jval self, const jargs *a, jval *out)
{
    size_t mark = j_mark(r);
    jlist *pairs, *pair;
    if (self.kind == J_STRING || !j_iterable(self)) {
        TRY(emit_quoted_url(r, self, false));
        return j_cut(r, mark, out);
    }
    jval view = self;
    if (self.kind == J_DICT) {
        jval method;
        TRY(j_attribute(r, self, &(jstr){.s = "items", .n = 5, .chars = 5}, &method));
        TRY(j_call(r, method, &(jargs){0}, &view));
    }
    TRY(j_to_list(r, view, &pairs));
    for (size_t i = 0; i < pairs->n; i++) {
        TRY(j_to_list(r, pairs->v[i], &pair));
        if (pair->n != 2) return j_fail(r, "urlencode needs pairs");
        if (i > 0) TRY(j_emit_text(r, "&"));
        TRY(emit_quoted_url(r, pair->v[0], true));
        TRY(j_emit_text(r, "="));
        TRY(emit_quoted_url(r, pair->v[1], true));
    }
    return j_cut(r, mark, out);
}

kvasir_status do_xmlattr(jrun *r, jval self, const jargs *a, jval *out)
{
    size_t mark = j_mark(r);
    bool blank = a->v[0].kind == J_MISSING || j_truth(a->v[0]);
    if (self.kind != J_DICT) return j_fail(r, "xmlattr needs a dictionary");
    for (size_t i = 0; i < j_dict_size(self.dict); i++) {
        jval value = j_dict_value(self.dict, i);
        const jstr *key, *text;
        if (value.kind == J_NONE || value.kind == J_UNDEFINED) continue;
        TRY(j_arg_text(r, j_dict_key(self.dict, i), &key));
        for (size_t k = 0; k < key->n; k++)
            if (strchr(" \t\n\r\f\v/>=", key->s[k])) return j_fail(r, "invalid character in attribute name");
        TRY(j_to_str(r, value, &text));
        if (blank || j_mark(r) > mark) TRY(j_emit_text(r, " "));
        TRY(key->markup ? j_emit(r, key->s, key->n) : j_emit_escaped(r, key));
        TRY(j_emit_text(r, "=\""));
        TRY(text->markup ? j_emit(r, text->s, text->n) : j_emit_escaped(r, text));
        TRY(j_emit_text(r, "\""));
    }
    return j_cut(r, mark, out);
}
