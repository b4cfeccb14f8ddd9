/* The methods of str. */
#include "jinja/builtins/builtins.h"
#include "jinja/run/run.h"

#include <string.h>

/* ---- case, classes, stripping, padding ---------------------------------------------------------------- */

static kvasir_status in_case(jrun *r, jval self, jcase how, jval *out)
{
    size_t mark = j_mark(r);
    TRY(j_emit_case(r, how, self.s->s, self.s->n));
    return j_cut(r, mark, out);
}

#define CASE_METHOD(name, how)                                                                                         \
    static kvasir_status name(jrun *r, jval self, const jargs *a, jval *out)                                           \
    {                                                                                                                  \
        return in_case(r, self, how, out);                                                                             \
    }
CASE_METHOD(upper, CASE_UPPER)
CASE_METHOD(lower, CASE_LOWER)
CASE_METHOD(title, CASE_TITLE)
CASE_METHOD(capitalize, CASE_CAPITALIZE)
CASE_METHOD(swapcase, CASE_SWAP)
CASE_METHOD(casefold, CASE_FOLD)

#define CLASS_METHOD(name, which)                                                                                      \
    static kvasir_status name(jrun *r, jval self, const jargs *a, jval *out)                                           \
    {                                                                                                                  \
        *out = j_bool(j_class(which, self.s));                                                                         \
        return j_step(r, self.s->n / 16);                                                                              \
    }
CLASS_METHOD(is_alnum, CLASS_ALNUM)
CLASS_METHOD(is_alpha, CLASS_ALPHA)
CLASS_METHOD(is_ascii, CLASS_ASCII)
CLASS_METHOD(is_decimal, CLASS_DECIMAL)
CLASS_METHOD(is_digit, CLASS_DIGIT)
CLASS_METHOD(is_identifier, CLASS_IDENTIFIER)
CLASS_METHOD(is_lower, CLASS_LOWER)
CLASS_METHOD(is_numeric, CLASS_NUMERIC)
CLASS_METHOD(is_printable, CLASS_PRINTABLE)
CLASS_METHOD(is_space, CLASS_SPACE)
CLASS_METHOD(is_title, CLASS_TITLE)
CLASS_METHOD(is_upper, CLASS_UPPER)

static kvasir_status strip_as(jrun *r, jval self, const jargs *a, int which, jval *out)
{
    const jstr *chars = NULL;
    if (a->v[0].kind != J_MISSING && a->v[0].kind != J_NONE) TRY(j_arg_text(r, a->v[0], &chars));
    return j_strip(r, self.s, chars, which, out);
}

static kvasir_status strip(jrun *r, jval self, const jargs *a, jval *out)
{
    return strip_as(r, self, a, 3, out);
}

static kvasir_status lstrip(jrun *r, jval self, const jargs *a, jval *out)
{
    return strip_as(r, self, a, 1, out);
}

static kvasir_status rstrip(jrun *r, jval self, const jargs *a, jval *out)
{
    return strip_as(r, self, a, 2, out);
}

static kvasir_status pad(jrun *r, jval self, const jargs *a, int where, jval *out)
{
    const jstr *fill = NULL;
    jint width;
    TRY(j_arg_int(r, a->v[0], 0, &width));
    if (a->v[1].kind != J_MISSING) TRY(j_arg_text(r, a->v[1], &fill));
    return j_center(r, self.s, width, fill, where, out);
}

static kvasir_status center(jrun *r, jval self, const jargs *a, jval *out)
{
    return pad(r, self, a, 0, out);
}

static kvasir_status ljust(jrun *r, jval self, const jargs *a, jval *out)
{
    return pad(r, self, a, -1, out);
}

static kvasir_status rjust(jrun *r, jval self, const jargs *a, jval *out)
{
    return pad(r, self, a, 1, out);
}

static kvasir_status zfill(jrun *r, jval self, const jargs *a, jval *out)
{
    jint width;
    size_t mark = j_mark(r), sign = self.s->n > 0 && (self.s->s[0] == '-' || self.s->s[0] == '+');
    TRY(j_arg_int(r, a->v[0], 0, &width));
    if (width > (jint)r->limits.output) return j_fail(r, "zfill is given too large a width");
    TRY(j_emit(r, self.s->s, sign));
    if (width > (jint)self.s->chars) TRY(j_emit_repeat(r, '0', (size_t)width - self.s->chars));
    TRY(j_emit(r, self.s->s + sign, self.s->n - sign));
    return j_cut(r, mark, out);
}

static kvasir_status expandtabs(jrun *r, jval self, const jargs *a, jval *out)
{
    jint size;
    size_t mark = j_mark(r), column = 0;
    TRY(j_arg_int(r, a->v[0], 8, &size));
    if (size > 1000) return j_fail(r, "expandtabs takes tabs of at most 1000 characters");
    for (size_t i = 0; i < self.s->n;) {
        size_t from = i;
        uint32_t c = j_decode(self.s->s, &i);
        if (c != '\t') {
            TRY(j_emit(r, self.s->s + from, i - from));
            column = c == '\n' || c == '\r' ? 0 : column + 1;
        } else if (size > 0) {
            size_t n = (size_t)size - column % (size_t)size;
            TRY(j_emit_repeat(r, ' ', n));
            column += n;
        }
    }
    return j_cut(r, mark, out);
}

/* ---- finding ------------------------------------------------------------------------------------------ */

/* The part of the text between the optional start and end arguments. *valid is false when they are in
   the wrong order. */
static kvasir_status part_of(jrun *r, const jstr *s, jval start_v, jval end_v, size_t *skipped, jstr *out, bool *valid)
{
    jint n = (jint)s->chars, start = 0, end = n;
    if (start_v.kind != J_NONE) TRY(j_arg_int(r, start_v, 0, &start));
    if (end_v.kind != J_NONE) TRY(j_arg_int(r, end_v, n, &end));
    if (start < 0) start = start + n < 0 ? 0 : start + n;
    if (end < 0) end = end + n < 0 ? 0 : end + n;
    if (end > n) end = n;
    *valid = start <= end;
    if (!*valid) return KVASIR_OK;
    size_t from = j_offset(s, (size_t)start), to = j_offset(s, (size_t)end);
    *skipped = (size_t)start;
    *out = (jstr){.s = s->s + from, .n = to - from, .chars = (size_t)(end - start)};
    return j_step(r, s->n / 64);
}

static size_t find_last(const jstr *s, const jstr *what)
{
    if (what->n > s->n) return SIZE_MAX;
    for (size_t i = s->n - what->n + 1; i-- > 0;)
        if (memcmp(s->s + i, what->s, what->n) == 0) return i;
    return SIZE_MAX;
}

static kvasir_status find_as(jrun *r, jval self, const jargs *a, bool last, bool must, jval *out)
{
    const jstr *what;
    jstr part;
    size_t skipped = 0, at = SIZE_MAX;
    bool valid;
    TRY(j_arg_text(r, a->v[0], &what));
    TRY(part_of(r, self.s, a->v[1], a->v[2], &skipped, &part, &valid));
    if (valid && last) TRY(j_step(r, (part.n / 64 + 1) * (what->n / 64 + 1)));
    if (valid) at = last ? find_last(&part, what) : j_find_text(&part, 0, what);
    if (at == SIZE_MAX && must) return j_fail(r, "substring not found");
    *out = at == SIZE_MAX ? j_int(-1) : j_int((jint)(skipped + j_count(part.s, at)));
    return KVASIR_OK;
}

static kvasir_status find(jrun *r, jval self, const jargs *a, jval *out)
{
    return find_as(r, self, a, false, false, out);
}

static kvasir_status rfind(jrun *r, jval self, const jargs *a, jval *out)
{
    return find_as(r, self, a, true, false, out);
}

static kvasir_status index_(jrun *r, jval self, const jargs *a, jval *out)
{
    return find_as(r, self, a, false, true, out);
}

static kvasir_status rindex_(jrun *r, jval self, const jargs *a, jval *out)
{
    return find_as(r, self, a, true, true, out);
}

static kvasir_status count(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *what;
    jstr part;
    size_t skipped;
    jint n = 0;
    bool valid;
    TRY(j_arg_text(r, a->v[0], &what));
    TRY(part_of(r, self.s, a->v[1], a->v[2], &skipped, &part, &valid));
    *out = j_int(0);
    if (!valid) return KVASIR_OK;
    if (what->n == 0)
        n = (jint)part.chars + 1;
    else
        for (size_t at = 0; (at = j_find_text(&part, at, what)) != SIZE_MAX; at += what->n) n++;
    *out = j_int(n);
    return KVASIR_OK;
}

static bool has_end(const jstr *s, const jstr *end, bool at_start)
{
    return end->n <= s->n && memcmp(at_start ? s->s : s->s + s->n - end->n, end->s, end->n) == 0;
}

/* startswith and endswith: their argument is one text or a tuple of texts. */
static kvasir_status ends(jrun *r, jval self, const jargs *a, bool at_start, jval *out)
{
    jstr part = {0};
    size_t skipped;
    bool valid;
    jval one = a->v[0];
    const jlist single = {.v = &one, .n = 1}, *all = one.kind == J_TUPLE ? one.list : &single;
    TRY(part_of(r, self.s, a->v[1], a->v[2], &skipped, &part, &valid));
    *out = j_bool(false);
    for (size_t i = 0; i < all->n; i++) {
        const jstr *end;
        TRY(j_step(r, 1));
        TRY(j_arg_text(r, all->v[i], &end));
        if (valid && has_end(&part, end, at_start)) {
            *out = j_bool(true);
            break;
        }
    }
    return KVASIR_OK;
}

static kvasir_status startswith(jrun *r, jval self, const jargs *a, jval *out)
{
    return ends(r, self, a, true, out);
}

static kvasir_status endswith(jrun *r, jval self, const jargs *a, jval *out)
{
    return ends(r, self, a, false, out);
}

static kvasir_status removeprefix(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *end;
    TRY(j_arg_text(r, a->v[0], &end));
    size_t n = has_end(self.s, end, true) ? end->n : 0;
    return j_part(r, self.s, n, self.s->n - n, out);
}

static kvasir_status removesuffix(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *end;
    TRY(j_arg_text(r, a->v[0], &end));
    return j_part(r, self.s, 0, self.s->n - (has_end(self.s, end, false) ? end->n : 0), out);
}

/* ---- taking apart, putting together ------------------------------------------------------------------- */

typedef struct parts {
    jval *v;
    size_t n, room;
} parts;

static kvasir_status add_part(jrun *r, parts *p, const jstr *s, size_t from, size_t to)
{
    if (p->n == p->room) {
        jval *more;
        p->room = p->room ? p->room * 2 : 8;
        TRY(j_take(r, p->room, sizeof *more, &more));
        if (p->n) memcpy(more, p->v, p->n * sizeof *more);
        p->v = more;
    }
    TRY(j_step(r, 1));
    return j_part(r, s, from, to - from, &p->v[p->n++]);
}

static kvasir_status split_space(jrun *r, const jstr *s, jint most, parts *p)
{
    size_t i = 0;
    for (;;) {
        size_t next = i, end;
        while (i < s->n && (next = i, j_space(j_decode(s->s, &next)))) i = next;
        if (i >= s->n) return KVASIR_OK;
        if (most >= 0 && (jint)p->n >= most) break;
        end = i;
        while (end < s->n && (next = end, !j_space(j_decode(s->s, &next)))) end = next;
        TRY(add_part(r, p, s, i, end));
        i = end;
    }
    return add_part(r, p, s, i, s->n);
}

static kvasir_status rsplit_space(jrun *r, const jstr *s, jint most, parts *p)
{
    size_t i = s->n;
    for (;;) {
        size_t before, from;
        while (i > 0 && (before = i, j_space(j_decode_before(s->s, &before)))) i = before;
        if (i == 0) return KVASIR_OK;
        if (most >= 0 && (jint)p->n >= most) break;
        from = i;
        while (from > 0 && (before = from, !j_space(j_decode_before(s->s, &before)))) from = before;
        TRY(add_part(r, p, s, from, i));
        i = from;
    }
    return add_part(r, p, s, 0, i);
}

static kvasir_status split_at(jrun *r, const jstr *s, const jstr *separator, jint most, parts *p)
{
    size_t from = 0;
    while (most < 0 || (jint)p->n < most) {
        size_t at = j_find_text(s, from, separator);
        if (at == SIZE_MAX) break;
        TRY(add_part(r, p, s, from, at));
        from = at + separator->n;
    }
    return add_part(r, p, s, from, s->n);
}

static kvasir_status rsplit_at(jrun *r, const jstr *s, const jstr *separator, jint most, parts *p)
{
    jstr left = *s;
    TRY(j_step(r, (s->n / 64 + 1) * (separator->n / 64 + 1)));
    while (most < 0 || (jint)p->n < most) {
        size_t at = find_last(&left, separator);
        if (at == SIZE_MAX) break;
        TRY(add_part(r, p, s, at + separator->n, left.n));
        left.n = at;
    }
    return add_part(r, p, s, 0, left.n);
}

static kvasir_status split_as(jrun *r, jval self, const jargs *a, bool from_right, jval *out)
{
    parts p = {0};
    jint most;
    const jstr *separator = NULL;
    TRY(j_arg_int(r, a->v[1], -1, &most));
    TRY(j_step(r, self.s->n / 64));
    if (a->v[0].kind != J_MISSING && a->v[0].kind != J_NONE) {
        TRY(j_arg_text(r, a->v[0], &separator));
        if (separator->n == 0) return j_fail(r, "empty separator");
        TRY(from_right ? rsplit_at(r, self.s, separator, most, &p) : split_at(r, self.s, separator, most, &p));
    } else {
        TRY(from_right ? rsplit_space(r, self.s, most, &p) : split_space(r, self.s, most, &p));
    }
    TRY(j_new_list(r, J_LIST, 0, out));
    *out->list = (jlist){.v = p.v, .n = p.n};
    for (size_t i = 0; from_right && i < p.n / 2; i++) {
        jval other = p.v[i];
        p.v[i] = p.v[p.n - 1 - i];
        p.v[p.n - 1 - i] = other;
    }
    return KVASIR_OK;
}

static kvasir_status split(jrun *r, jval self, const jargs *a, jval *out)
{
    return split_as(r, self, a, false, out);
}

static kvasir_status rsplit(jrun *r, jval self, const jargs *a, jval *out)
{
    return split_as(r, self, a, true, out);
}

static kvasir_status splitlines(jrun *r, jval self, const jargs *a, jval *out)
{
    return j_split_lines(r, self.s, j_truth(a->v[0]), out);
}

static kvasir_status partition_as(jrun *r, jval self, const jargs *a, bool last, jval *out)
{
    const jstr *separator, *s = self.s;
    TRY(j_arg_text(r, a->v[0], &separator));
    if (separator->n == 0) return j_fail(r, "empty separator");
    TRY(j_step(r, s->n / 64 * (last ? separator->n / 64 + 1 : 1)));
    size_t at = last ? find_last(s, separator) : j_find_text(s, 0, separator);
    TRY(j_new_list(r, J_TUPLE, 3, out));
    jval *v = out->list->v;
    if (at == SIZE_MAX) {
        v[last ? 2 : 0] = self;
        TRY(j_text(r, "", &v[1]));
        return j_text(r, "", &v[last ? 0 : 2]);
    }
    size_t end = at + separator->n;
    TRY(j_part(r, s, 0, at, &v[0]));
    TRY(j_part(r, s, at, separator->n, &v[1]));
    return j_part(r, s, end, s->n - end, &v[2]);
}

static kvasir_status partition(jrun *r, jval self, const jargs *a, jval *out)
{
    return partition_as(r, self, a, false, out);
}

static kvasir_status rpartition(jrun *r, jval self, const jargs *a, jval *out)
{
    return partition_as(r, self, a, true, out);
}

static kvasir_status join(jrun *r, jval self, const jargs *a, jval *out)
{
    jlist *list;
    TRY(j_to_list(r, a->v[0], &list));
    size_t mark = j_mark(r);
    for (size_t i = 0; i < list->n; i++) {
        if (list->v[i].kind != J_STRING)
            return j_fail(r, "sequence item %zu: expected str instance, %s found", i, j_type_name(list->v[i]));
        if (i > 0) TRY(j_emit(r, self.s->s, self.s->n));
        TRY(j_emit(r, list->v[i].s->s, list->v[i].s->n));
    }
    return j_cut(r, mark, out);
}

static kvasir_status replace(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *old, *new;
    jint most;
    TRY(j_arg_text(r, a->v[0], &old));
    TRY(j_arg_text(r, a->v[1], &new));
    TRY(j_arg_int(r, a->v[2], -1, &most));
    return j_replace(r, self.s, old, new, most, out);
}

static kvasir_status encode(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *name = NULL;
    if (a->v[0].kind != J_MISSING) TRY(j_arg_text(r, a->v[0], &name));
    if (name && !j_is(name, "utf-8") && !j_is(name, "utf8") && !j_is(name, "UTF-8"))
        return j_fail(r, "text can only be encoded as utf-8");
    *out = (jval){.kind = J_BYTES, .s = self.s};
    return KVASIR_OK;
}

const jfunction *j_find_str_method(const jstr *name)
{
    static const jfunction all[] = {{"capitalize", capitalize, 0, ""},
                                    {"casefold", casefold, 0, ""},
                                    {"center", center, 1, "_ _"},
                                    {"count", count, 1, "_ _ _"},
                                    {"encode", encode, 0, "encoding errors"},
                                    {"endswith", endswith, 1, "_ _ _"},
                                    {"expandtabs", expandtabs, 0, "tabsize"},
                                    {"find", find, 1, "_ _ _"},
                                    {"format", j_str_format, 0, NULL},
                                    {"format_map", j_str_format_map, 0, NULL},
                                    {"index", index_, 1, "_ _ _"},
                                    {"isalnum", is_alnum, 0, ""},
                                    {"isalpha", is_alpha, 0, ""},
                                    {"isascii", is_ascii, 0, ""},
                                    {"isdecimal", is_decimal, 0, ""},
                                    {"isdigit", is_digit, 0, ""},
                                    {"isidentifier", is_identifier, 0, ""},
                                    {"islower", is_lower, 0, ""},
                                    {"isnumeric", is_numeric, 0, ""},
                                    {"isprintable", is_printable, 0, ""},
                                    {"isspace", is_space, 0, ""},
                                    {"istitle", is_title, 0, ""},
                                    {"isupper", is_upper, 0, ""},
                                    {"join", join, 1, "_"},
                                    {"ljust", ljust, 1, "_ _"},
                                    {"lower", lower, 0, ""},
                                    {"lstrip", lstrip, 0, "_"},
                                    {"partition", partition, 1, "_"},
                                    {"removeprefix", removeprefix, 1, "_"},
                                    {"removesuffix", removesuffix, 1, "_"},
                                    {"replace", replace, 2, "_ _ _"},
                                    {"rfind", rfind, 1, "_ _ _"},
                                    {"rindex", rindex_, 1, "_ _ _"},
                                    {"rjust", rjust, 1, "_ _"},
                                    {"rpartition", rpartition, 1, "_"},
                                    {"rsplit", rsplit, 0, "sep maxsplit"},
                                    {"rstrip", rstrip, 0, "_"},
                                    {"split", split, 0, "sep maxsplit"},
                                    {"splitlines", splitlines, 0, "keepends"},
                                    {"startswith", startswith, 1, "_ _ _"},
                                    {"strip", strip, 0, "_"},
                                    {"swapcase", swapcase, 0, ""},
                                    {"title", title, 0, ""},
                                    {"upper", upper, 0, ""},
                                    {"zfill", zfill, 1, "_"}};
    return j_find(all, sizeof all / sizeof *all, name);
}
