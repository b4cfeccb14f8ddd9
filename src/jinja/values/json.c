/* JSON: the context is read from it, and tojson writes it as Python's json.dumps does. */
#include "jinja/run/run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- reading ------------------------------------------------------------------------------------------ */

typedef struct reader {
    jrun *r;
    const char *s;
    size_t n, at;
} reader;

static kvasir_status read_value(reader *x, jval *out);

static kvasir_status bad(const reader *x)
{
    return fail(KVASIR_E_ARGUMENT, "the context of a chat template is not valid JSON at byte %zu", x->at);
}

static void skip_space(reader *x)
{
    while (x->at < x->n && strchr(" \t\r\n", x->s[x->at]) && x->s[x->at]) x->at++;
}

static bool take(reader *x, char c)
{
    skip_space(x);
    if (x->at >= x->n || x->s[x->at] != c) return false;
    x->at++;
    return true;
}

static bool take_word(reader *x, const char *word)
{
    size_t n = strlen(word);
    if (n > x->n - x->at || memcmp(x->s + x->at, word, n) != 0) return false;
    x->at += n;
    return true;
}

static bool read_hex4(reader *x, uint32_t *c)
{
    *c = 0;
    if (x->n - x->at < 4) return false;
    for (int i = 0; i < 4; i++) {
        char d = x->s[x->at++];
        uint32_t v = d >= '0' && d <= '9' ? (uint32_t)(d - '0') : (uint32_t)((d | 0x20) - 'a') + 10;
        if (v > 15) return false;
        *c = *c << 4 | v;
    }
    return true;
}

/* Reads what follows a backslash. */
static bool read_escape(reader *x, char *to, size_t *used)
{
    static const char plain[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    uint32_t c, low;
    if (x->at >= x->n) return false;
    char e = x->s[x->at++];
    if (e == 'u') {
        if (!read_hex4(x, &c)) return false;
        if (c >= 0xd800 && c < 0xdc00 && x->n - x->at >= 6 && x->s[x->at] == '\\' && x->s[x->at + 1] == 'u') {
            size_t back = x->at;
            x->at += 2;
            if (!read_hex4(x, &low)) return false;
            if (low >= 0xdc00 && low < 0xe000)
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            else
                x->at = back;
        }
        *used += j_encode(c, to + *used);
        return true;
    }
    const char *p = e ? strchr(plain, e) : NULL;
    if (!p) return false;
    to[(*used)++] = meaning[p - plain];
    return true;
}

static kvasir_status read_string(reader *x, jval *out)
{
    size_t end = x->at, used = 0;
    while (end < x->n && x->s[end] != '"') end += x->s[end] == '\\' ? 2 : 1;
    if (end >= x->n) return bad(x);
    char *to;
    jstr *s;
    TRY(j_take(x->r, end - x->at, 1, &to)); /* an escape is never shorter than what it stands for */
    TRY(j_take(x->r, 1, sizeof *s, &s));
    while (x->s[x->at] != '"') {
        if ((unsigned char)x->s[x->at] < 0x20) return bad(x);
        if (x->s[x->at] != '\\') {
            to[used++] = x->s[x->at++];
        } else {
            x->at++;
            if (!read_escape(x, to, &used)) return bad(x);
        }
    }
    x->at++;
    *s = (jstr){.s = to, .n = used, .chars = j_count(to, used)};
    *out = j_str(s);
    return KVASIR_OK;
}

static size_t skip_digits(const reader *x, size_t i)
{
    while (i < x->n && x->s[i] >= '0' && x->s[i] <= '9') i++;
    return i;
}

static kvasir_status read_number(reader *x, jval *out)
{
    bool minus = x->s[x->at] == '-', whole = true;
    size_t from = x->at + minus, end = skip_digits(x, from);
    if (end == from || (x->s[from] == '0' && end > from + 1)) return bad(x);
    if (end < x->n && x->s[end] == '.') {
        size_t more = skip_digits(x, end + 1);
        if (more == end + 1) return bad(x);
        end = more;
        whole = false;
    }
    if (end < x->n && (x->s[end] | 0x20) == 'e') {
        size_t digits = end + 1;
        if (digits < x->n && (x->s[digits] == '+' || x->s[digits] == '-')) digits++;
        end = skip_digits(x, digits);
        if (end == digits) return bad(x);
        whole = false;
    }
    if (whole) {
        *out = j_int(0);
        if (!j_read_int(x->s + from, end - from, 10, &out->i))
            return fail(KVASIR_E_ARGUMENT, "an integer in the context of a chat template has more than 38 digits");
        if (minus) out->i = -out->i;
    } else {
        double f = j_read_double(x->s + from, end - from);
        *out = j_float(minus ? -f : f);
    }
    x->at = end;
    return KVASIR_OK;
}

static kvasir_status read_array(reader *x, jval *out)
{
    jval *v = NULL;
    size_t n = 0, room = 0;
    if (!take(x, ']')) {
        do {
            if (n == room) {
                jval *more;
                room = room ? room * 2 : 4;
                TRY(j_take(x->r, room, sizeof *more, &more));
                if (n) memcpy(more, v, n * sizeof *v);
                v = more;
            }
            TRY(read_value(x, &v[n++]));
        } while (take(x, ','));
        if (!take(x, ']')) return bad(x);
    }
    TRY(j_new_list(x->r, J_LIST, 0, out));
    out->list->v = v;
    out->list->n = n;
    return KVASIR_OK;
}

/* Of equal keys the value of the last one counts, at the place of the first one, as in Python. */
static kvasir_status read_object(reader *x, jval *out)
{
    jdict *d;
    TRY(j_new_dict(x->r, 0, &d));
    *out = (jval){.kind = J_DICT, .dict = d};
    if (take(x, '}')) return KVASIR_OK;
    do {
        jval key, value;
        if (!take(x, '"')) return bad(x);
        TRY(read_string(x, &key));
        if (!take(x, ':')) return bad(x);
        TRY(read_value(x, &value));
        TRY(j_dict_put(x->r, d, key, value));
    } while (take(x, ','));
    return take(x, '}') ? KVASIR_OK : bad(x);
}

static kvasir_status read_nested(reader *x, jval *out)
{
    bool object = x->s[x->at++] == '{';
    TRY(j_down(x->r));
    TRY(object ? read_object(x, out) : read_array(x, out));
    j_up(x->r);
    return KVASIR_OK;
}

static kvasir_status read_value(reader *x, jval *out)
{
    skip_space(x);
    if (x->at >= x->n) return bad(x);
    char c = x->s[x->at];
    if (c == '{' || c == '[') return read_nested(x, out);
    if (c == '"') {
        x->at++;
        return read_string(x, out);
    }
    *out = j_none();
    if (take_word(x, "null")) return KVASIR_OK;
    *out = j_bool(true);
    if (take_word(x, "true")) return KVASIR_OK;
    *out = j_bool(false);
    if (take_word(x, "false")) return KVASIR_OK;
    return c == '-' || (c >= '0' && c <= '9') ? read_number(x, out) : bad(x);
}

kvasir_status j_json_read(jrun *r, const char *s, size_t n, jval *out)
{
    char *clean;
    reader x = {.r = r};
    TRY(j_valid_utf8(&r->mem, s, n, false, &clean, &x.n));
    x.s = clean;
    TRY(read_value(&x, out));
    skip_space(&x);
    return x.at == x.n ? KVASIR_OK : bad(&x);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

typedef struct writer {
    jrun *r;
    bool ascii, sort, lines;
    const jstr *indent, *comma, *colon;
    size_t level;
} writer;

static kvasir_status write_value(writer *w, jval v);

static kvasir_status write_escape(writer *w, uint32_t c)
{
    char text[16];
    static const char plain[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
    const char *p = c && c < 0x80 ? strchr(plain, (int)c) : NULL;
    if (p) {
        char escape[2] = {'\\', letters[p - plain]};
        return j_emit(w->r, escape, 2);
    }
    if (c >= 0x10000) {
        c -= 0x10000;
        (void)snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800 + (c >> 10), 0xdc00 + (c & 0x3ff));
    } else {
        (void)snprintf(text, sizeof text, "\\u%04x", c);
    }
    return j_emit_text(w->r, text);
}

static kvasir_status write_string(writer *w, const jstr *s)
{
    size_t from = 0;
    TRY(j_emit_text(w->r, "\""));
    for (size_t i = 0; i < s->n;) {
        size_t at = i;
        uint32_t c = j_decode(s->s, &i);
        if (c >= 0x20 && c != '"' && c != '\\' && (c < 0x7f || !w->ascii)) continue;
        TRY(j_emit(w->r, s->s + from, at - from));
        TRY(write_escape(w, c));
        from = i;
    }
    TRY(j_emit(w->r, s->s + from, s->n - from));
    return j_emit_text(w->r, "\"");
}

static kvasir_status write_float(writer *w, double f)
{
    if (isnan(f)) return j_emit_text(w->r, "NaN");
    if (isinf(f)) return j_emit_text(w->r, f < 0 ? "-Infinity" : "Infinity");
    return j_emit_float(w->r, f);
}

static kvasir_status write_line(writer *w)
{
    if (!w->lines) return KVASIR_OK;
    TRY(j_emit_text(w->r, "\n"));
    for (size_t i = 0; i < w->level; i++) TRY(j_emit(w->r, w->indent->s, w->indent->n));
    return KVASIR_OK;
}

static kvasir_status write_list(writer *w, const jlist *list)
{
    if (list->n == 0) return j_emit_text(w->r, "[]");
    TRY(j_emit_text(w->r, "["));
    w->level++;
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0) TRY(j_emit(w->r, w->comma->s, w->comma->n));
        TRY(write_line(w));
        TRY(write_value(w, list->v[i]));
    }
    w->level--;
    TRY(write_line(w));
    return j_emit_text(w->r, "]");
}

/* Keys that are not strings are written as strings. */
static kvasir_status write_key(writer *w, jval key)
{
    jval text = key;
    size_t mark = j_mark(w->r);
    if (key.kind != J_STRING) {
        if (key.kind != J_NONE && !j_is_number(key))
            return j_fail(w->r, "a key of type %s cannot be written as JSON", j_type_name(key));
        TRY(write_value(w, key));
        TRY(j_cut(w->r, mark, &text));
    }
    return write_string(w, text.s);
}

static kvasir_status write_dict(writer *w, const jdict *d)
{
    jval items, pair;
    size_t n = j_dict_size(d);
    if (n == 0) return j_emit_text(w->r, "{}");
    TRY(j_new_list(w->r, J_LIST, n, &items));
    for (size_t i = 0; i < n; i++) {
        TRY(j_pair(w->r, j_dict_key(d, i), j_dict_value(d, i), &pair));
        items.list->v[i] = pair;
    }
    if (w->sort) TRY(j_sort_pairs(w->r, items.list));
    TRY(j_emit_text(w->r, "{"));
    w->level++;
    for (size_t i = 0; i < n; i++) {
        if (i > 0) TRY(j_emit(w->r, w->comma->s, w->comma->n));
        TRY(write_line(w));
        TRY(write_key(w, items.list->v[i].list->v[0]));
        TRY(j_emit(w->r, w->colon->s, w->colon->n));
        TRY(write_value(w, items.list->v[i].list->v[1]));
    }
    w->level--;
    TRY(write_line(w));
    return j_emit_text(w->r, "}");
}

static kvasir_status write_nested(writer *w, jval v)
{
    TRY(j_down(w->r));
    kvasir_status status = v.kind == J_DICT ? write_dict(w, v.dict) : write_list(w, v.list);
    j_up(w->r);
    return status;
}

static kvasir_status write_value(writer *w, jval v)
{
    TRY(j_step(w->r, 1));
    switch (v.kind) {
    case J_NONE:
        return j_emit_text(w->r, "null");
    case J_BOOL:
        return j_emit_text(w->r, v.b ? "true" : "false");
    case J_INT:
        return j_emit_int(w->r, v.i);
    case J_FLOAT:
        return write_float(w, v.f);
    case J_STRING:
        return write_string(w, v.s);
    case J_LIST:
    case J_TUPLE:
    case J_DICT:
        return write_nested(w, v);
    default:
        return j_fail(w->r, "a value of type %s cannot be written as JSON", j_type_name(v));
    }
}

static kvasir_status read_separators(writer *w, jval v)
{
    static const jstr comma_space = {.s = ", ", .n = 2, .chars = 2}, comma = {.s = ",", .n = 1, .chars = 1},
                      colon = {.s = ": ", .n = 2, .chars = 2};
    w->comma = w->lines ? &comma : &comma_space;
    w->colon = &colon;
    if (v.kind == J_MISSING || v.kind == J_NONE) return KVASIR_OK;
    jlist *pair;
    TRY(j_to_list(w->r, v, &pair));
    if (pair->n != 2 || pair->v[0].kind != J_STRING || pair->v[1].kind != J_STRING)
        return j_fail(w->r, "tojson needs two strings as separators");
    w->comma = pair->v[0].s;
    w->colon = pair->v[1].s;
    return KVASIR_OK;
}

/* tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False), as transformers defines it */
kvasir_status j_tojson(jrun *r, jval self, const jargs *a, jval *out)
{
    writer w = {.r = r, .ascii = j_truth(a->v[0]), .sort = j_truth(a->v[3])};
    jval indent = a->v[1], text;
    size_t mark = j_mark(r);
    w.lines = indent.kind != J_MISSING && indent.kind != J_NONE;
    if (j_is_integral(indent)) {
        jint n = j_integer(indent);
        if (n > 1000) return j_fail(r, "tojson cannot indent by more than 1000");
        TRY(j_emit_repeat(r, ' ', n > 0 ? (size_t)n : 0));
        TRY(j_cut(r, mark, &text));
        w.indent = text.s;
    } else if (indent.kind == J_STRING) {
        w.indent = indent.s;
    } else if (w.lines) {
        return j_fail_type(r, "tojson cannot indent by", indent);
    }
    TRY(read_separators(&w, a->v[2]));
    TRY(write_value(&w, self));
    return j_cut(r, mark, out);
}
