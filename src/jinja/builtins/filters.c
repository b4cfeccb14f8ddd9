/* Filters on single values: text and numbers. Those on sequences are in seq_filters.c, those for HTML in
   html_filters.c. */
#include "jinja/builtins/builtins.h"
#include "jinja/run/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ------------------------------------------------------------------------------------------ */

static kvasir_status do_abs(jrun *r, jval self, const jargs *a, jval *out)
{
    if (!j_is_number(self)) return j_fail(r, "bad operand type for abs(): '%s'", j_type_name(self));
    if (self.kind == J_FLOAT) {
        *out = j_float(fabs(self.f));
        return KVASIR_OK;
    }
    return j_negate(r, j_integer(self) < 0, self, out);
}

static const jstr *trimmed(const jstr *s, jstr *to)
{
    size_t from = 0, end = s->n, next;
    while (from < end && (next = from, j_space(j_decode(s->s, &next)))) from = next;
    while (end > from && (next = end, j_space(j_decode_before(s->s, &next)))) end = next;
    *to = (jstr){.s = s->s + from, .n = end - from};
    return to;
}

/* Copies digits without the underscores between them. False where an underscore does not stand between two digits. */
static bool without_underscores(const jstr *s, char *to, size_t room, size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < s->n; i++) {
        bool under = s->s[i] == '_';
        if (under && (i == 0 || i + 1 == s->n || s->s[i - 1] == '_' || s->s[i + 1] == '_' || s->s[i + 1] == '.'))
            return false;
        if (!under && *n + 1 >= room) return false;
        if (!under) to[(*n)++] = s->s[i];
    }
    to[*n] = '\0';
    return *n > 0;
}

/* Python's int(text, base); false stands for ValueError. */
static bool read_int_text(const jstr *text, jint base, jint *out)
{
    char digits[160];
    jstr s;
    size_t n;
    (void)trimmed(text, &s);
    bool minus = s.n > 0 && s.s[0] == '-';
    if (s.n > 0 && (s.s[0] == '-' || s.s[0] == '+')) s = (jstr){.s = s.s + 1, .n = s.n - 1};
    char mark = s.n > 2 && s.s[0] == '0' ? (char)(s.s[1] | 0x20) : '\0';
    jint marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (marked && (base == marked || base == 0)) {
        base = marked;
        size_t skip = s.s[2] == '_' ? 3 : 2;
        s = (jstr){.s = s.s + skip, .n = s.n - skip};
    }
    if (base == 0) base = 10;
    if (base < 2 || base > 36 || !without_underscores(&s, digits, sizeof digits, &n)) return false;
    if (!j_read_int(digits, n, (unsigned)base, out)) return false;
    if (minus) *out = -*out;
    return true;
}

/* Python's float(text); false stands for ValueError. */
static bool read_float_text(const jstr *text, double *out)
{
    char digits[800];
    jstr s;
    size_t n, i = 0, whole, fraction = 0;
    (void)trimmed(text, &s);
    bool minus = s.n > 0 && s.s[0] == '-';
    if (s.n > 0 && (s.s[0] == '-' || s.s[0] == '+')) s = (jstr){.s = s.s + 1, .n = s.n - 1};
    if (!without_underscores(&s, digits, sizeof digits, &n)) return false;
    *out = minus ? -INFINITY : INFINITY;
    if (strcasecmp(digits, "inf") == 0 || strcasecmp(digits, "infinity") == 0) return true;
    *out = NAN;
    if (strcasecmp(digits, "nan") == 0) return true;
    i = whole = strspn(digits, "0123456789");
    if (digits[i] == '.') i += 1 + (fraction = strspn(digits + i + 1, "0123456789"));
    if (whole + fraction == 0) return false;
    if (digits[i] == 'e' || digits[i] == 'E') {
        i += digits[i + 1] == '+' || digits[i + 1] == '-' ? 2 : 1;
        size_t exponent = strspn(digits + i, "0123456789");
        if (exponent == 0) return false;
        i += exponent;
    }
    if (i != n) return false;
    *out = j_read_double(digits, n);
    if (minus) *out = -*out;
    return true;
}

static kvasir_status float_to_int(jrun *r, double f, jval otherwise, jval *out)
{
    *out = otherwise;
    if (isnan(f)) return KVASIR_OK;
    if (!(fabs(f) < 0x1p126)) return j_fail(r, "the number is too large for an integer");
    *out = j_int((jint)f);
    return KVASIR_OK;
}

static kvasir_status do_int(jrun *r, jval self, const jargs *a, jval *out)
{
    jval otherwise = a->v[0].kind == J_MISSING ? j_int(0) : a->v[0];
    jint base, i;
    double f;
    TRY(j_arg_int(r, a->v[1], 10, &base));
    if (self.kind == J_UNDEFINED) return j_use_undefined(r, self);
    if (self.kind == J_FLOAT) return float_to_int(r, self.f, otherwise, out);
    *out = otherwise;
    if (j_is_integral(self)) *out = j_int(j_integer(self));
    if (self.kind != J_STRING) return KVASIR_OK;
    if (read_int_text(self.s, base, &i))
        *out = j_int(i);
    else if (read_float_text(self.s, &f))
        return float_to_int(r, f, otherwise, out);
    return KVASIR_OK;
}

static kvasir_status do_float(jrun *r, jval self, const jargs *a, jval *out)
{
    double f;
    if (self.kind == J_UNDEFINED) return j_use_undefined(r, self);
    *out = a->v[0].kind == J_MISSING ? j_float(0) : a->v[0];
    if (j_is_number(self)) *out = j_float(j_double(self));
    if (self.kind == J_STRING && read_float_text(self.s, &f)) *out = j_float(f);
    return KVASIR_OK;
}

/* The double nearest to f rounded to `digits` places. It is exact: f's own decimal digits decide, and ties
   go to even. */
static double round_float(double f, jint digits)
{
    char text[800];
    if (!isfinite(f) || f == 0 || digits > 400) return f;
    (void)snprintf(text, sizeof text, "%.0e", f);
    int exponent = atoi(strchr(text, 'e') + 1);
    jint kept = exponent + digits; /* the digits after the first that are kept */
    if (kept < -1) return copysign(0.0, f);
    if (kept < 0) { /* half of the unit decides */
        double unit = j_read_double(text, (size_t)snprintf(text, sizeof text, "1e%d", (int)-digits));
        return copysign(fabs(f) > unit / 2 ? unit : 0.0, f);
    }
    if (digits >= 0)
        (void)snprintf(text, sizeof text, "%.*f", (int)digits, fabs(f));
    else
        (void)snprintf(text, sizeof text, "%.*e", (int)kept, fabs(f));
    for (char *p = text; *p; p++)
        if (!strchr("0123456789e+-", *p)) *p = '.';
    return copysign(j_read_double(text, strlen(text)), f);
}

static kvasir_status round_int(jrun *r, jint i, jint digits, jval *out)
{
    jint unit = 1;
    *out = j_int(i);
    if (digits >= 0) return KVASIR_OK;
    *out = j_int(0);
    if (digits < -37) return KVASIR_OK;
    for (; digits < 0; digits++) unit *= 10;
    jint rest = i % unit, down = i - rest;
    if (rest < 0) {
        rest += unit;
        down -= unit;
    }
    bool up = rest > unit / 2 || (rest == unit / 2 && down / unit % 2 != 0);
    *out = j_int(up ? down + unit : down);
    return KVASIR_OK;
}

static kvasir_status do_round(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *method = NULL;
    jint digits;
    if (a->v[1].kind != J_MISSING) TRY(j_arg_text(r, a->v[1], &method));
    bool common = !method || j_is(method, "common"), up = method && j_is(method, "ceil");
    if (!common && !up && !j_is(method, "floor")) return j_fail(r, "method must be common, ceil or floor");
    if (self.kind == J_UNDEFINED) return j_use_undefined(r, self);
    if (!j_is_number(self)) return j_fail(r, "type %s has no rounding", j_type_name(self));
    if (common && a->v[0].kind == J_NONE) { /* round(x, None) gives an integer */
        if (self.kind != J_FLOAT) return round_int(r, j_integer(self), 0, out);
        if (!isfinite(self.f)) return j_fail(r, "cannot round a number that is not finite to an integer");
        return float_to_int(r, round_float(self.f, 0), j_int(0), out);
    }
    TRY(j_arg_int(r, a->v[0], 0, &digits));
    if (common && self.kind != J_FLOAT) return round_int(r, j_integer(self), digits, out);
    if (common) {
        *out = j_float(round_float(self.f, digits));
        return KVASIR_OK;
    }
    jval power, scaled;
    TRY(j_binary(r, N_POW, j_int(10), j_int(digits), &power));
    TRY(j_binary(r, N_MUL, self, power, &scaled));
    if (scaled.kind == J_FLOAT && !isfinite(scaled.f)) return j_fail(r, "the number is not finite");
    if (scaled.kind == J_FLOAT) TRY(float_to_int(r, up ? ceil(scaled.f) : floor(scaled.f), j_int(0), &scaled));
    return j_binary(r, N_DIV, scaled, power, out);
}

static kvasir_status do_filesizeformat(jrun *r, jval self, const jargs *a, jval *out)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
    bool binary = j_truth(a->v[0]);
    double base = binary ? 1024 : 1000, bytes, unit = base;
    char text[80];
    if (self.kind == J_UNDEFINED) return j_use_undefined(r, self);
    if (self.kind == J_STRING && !read_float_text(self.s, &bytes)) return j_fail(r, "the text is not a number");
    if (self.kind != J_STRING && !j_is_number(self)) return j_fail(r, "%s is not a number", j_type_name(self));
    if (self.kind != J_STRING) bytes = j_double(self);
    if (!isfinite(bytes)) return j_fail(r, "the number is not finite");
    if (bytes == 1) return j_text(r, "1 Byte", out);
    size_t mark = j_mark(r), i = 0;
    if (bytes < base) {
        TRY(j_emit_int(r, (jint)bytes));
        TRY(j_emit_text(r, " Bytes"));
        return j_cut(r, mark, out);
    }
    for (unit *= base; i < 7 && bytes >= unit; i++) unit *= base;
    TRY(j_format_value(r, j_float(base * bytes / unit), &(jstr){.s = ".1f", .n = 3, .chars = 3}));
    (void)snprintf(text, sizeof text, " %c%s%s", binary && i == 0 ? 'K' : units[i][0], binary ? "i" : "", units[i] + 1);
    TRY(j_emit_text(r, text));
    return j_cut(r, mark, out);
}

/* ---- text --------------------------------------------------------------------------------------------- */

static kvasir_status text_in_case(jrun *r, jval self, jcase how, jval *out)
{
    const jstr *s;
    TRY(j_to_str(r, self, &s));
    size_t mark = j_mark(r);
    TRY(j_emit_case(r, how, s->s, s->n));
    TRY(j_cut(r, mark, out));
    if (s->markup) j_set_markup(*out);
    return KVASIR_OK;
}

static kvasir_status do_upper(jrun *r, jval self, const jargs *a, jval *out)
{
    return text_in_case(r, self, CASE_UPPER, out);
}

static kvasir_status do_lower(jrun *r, jval self, const jargs *a, jval *out)
{
    return text_in_case(r, self, CASE_LOWER, out);
}

static kvasir_status do_capitalize(jrun *r, jval self, const jargs *a, jval *out)
{
    return text_in_case(r, self, CASE_CAPITALIZE, out);
}

static bool is_title_break(uint32_t c)
{
    return j_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
}

/* Words begin after white space and - ( { [ <; unlike str.title(), not after other marks. */
static kvasir_status do_title(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *s;
    TRY(j_to_str(r, self, &s));
    size_t mark = j_mark(r);
    for (size_t i = 0; i < s->n;) {
        size_t first = i, end;
        bool breaks = is_title_break(j_decode(s->s, &i));
        for (end = i; end < s->n;) {
            size_t next = end;
            if (is_title_break(j_decode(s->s, &next)) != breaks) break;
            end = next;
        }
        TRY(j_emit_case(r, CASE_UPPER, s->s + first, i - first));
        TRY(j_emit_case(r, CASE_LOWER, s->s + i, end - i));
        i = end;
    }
    return j_cut(r, mark, out);
}

static kvasir_status do_trim(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *s, *chars = NULL;
    TRY(j_to_str(r, self, &s));
    if (a->v[0].kind != J_MISSING && a->v[0].kind != J_NONE) TRY(j_arg_text(r, a->v[0], &chars));
    return j_strip(r, s, chars, 3, out);
}

static kvasir_status do_center(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *s;
    jint width;
    TRY(j_to_str(r, self, &s));
    TRY(j_arg_int(r, a->v[0], 80, &width));
    return j_center(r, s, width, NULL, 0, out);
}

static kvasir_status do_replace(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *s, *old, *new;
    jint most = -1;
    TRY(j_to_str(r, self, &s));
    TRY(j_to_str(r, a->v[0], &old));
    TRY(j_to_str(r, a->v[1], &new));
    if (a->v[2].kind != J_NONE) TRY(j_arg_int(r, a->v[2], -1, &most));
    return j_replace(r, s, old, new, most, out);
}

static kvasir_status do_indent(jrun *r, jval self, const jargs *a, jval *out)
{
    jval lines, with;
    jint width = 0;
    const jstr *indent = a->v[0].kind == J_STRING ? a->v[0].s : NULL;
    bool first = j_truth(a->v[1]), blank = j_truth(a->v[2]);
    if (!indent) TRY(j_arg_int(r, a->v[0], 4, &width));
    if (width > 10000) return j_fail(r, "indent cannot indent by more than 10000");
    if (self.kind == J_UNDEFINED) return j_use_undefined(r, self);
    if (self.kind != J_STRING) return j_fail(r, "indent needs text, not %s", j_type_name(self));
    TRY(j_binary(r, N_ADD, self, j_str(&(jstr){.s = "\n", .n = 1, .chars = 1}), &with)); /* as Jinja does it */
    TRY(j_split_lines(r, with.s, false, &lines));
    size_t mark = j_mark(r);
    for (size_t i = 0; i < lines.list->n; i++) {
        const jstr *line = lines.list->v[i].s;
        if (i > 0) TRY(j_emit_text(r, "\n"));
        if (i == 0 ? first : blank || line->n > 0) {
            if (indent)
                TRY(j_emit(r, indent->s, indent->n));
            else
                TRY(j_emit_repeat(r, ' ', width > 0 ? (size_t)width : 0));
        }
        TRY(j_emit(r, line->s, line->n));
    }
    return j_cut(r, mark, out);
}

static kvasir_status do_truncate(jrun *r, jval self, const jargs *a, jval *out)
{
    static const jstr dots = {.s = "...", .n = 3, .chars = 3};
    jint length, leeway = 5;
    size_t n;
    const jstr *end = &dots;
    jval head;
    TRY(j_arg_int(r, a->v[0], 255, &length));
    if (a->v[2].kind != J_MISSING) TRY(j_arg_text(r, a->v[2], &end));
    if (a->v[3].kind != J_NONE) TRY(j_arg_int(r, a->v[3], 5, &leeway));
    if (length < (jint)end->chars || leeway < 0) return j_fail(r, "truncate is given too small a number");
    if (!j_length(self, &n)) return j_fail(r, "object of type '%s' has no len()", j_type_name(self));
    *out = self;
    if ((jint)n <= length + leeway) return KVASIR_OK;
    if (self.kind != J_STRING) return j_fail(r, "truncate needs text, not %s", j_type_name(self));
    TRY(j_part(r, self.s, 0, j_offset(self.s, (size_t)length - end->chars), &head));
    size_t keep = head.s->n, mark = j_mark(r);
    if (!j_truth(a->v[1])) {
        const char *blank = memrchr(head.s->s, ' ', keep);
        if (blank) keep = (size_t)(blank - head.s->s);
    }
    TRY(j_emit(r, head.s->s, keep));
    TRY(j_emit(r, end->s, end->n));
    return j_cut(r, mark, out);
}

static kvasir_status do_wordcount(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *s;
    jint n = 0;
    bool inside = false;
    TRY(j_to_str(r, self, &s));
    TRY(j_step(r, s->n / 16));
    for (size_t i = 0; i < s->n;) {
        bool word = j_word(j_decode(s->s, &i));
        n += word && !inside;
        inside = word;
    }
    *out = j_int(n);
    return KVASIR_OK;
}

static kvasir_status do_string(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *s;
    TRY(j_to_str(r, self, &s));
    *out = j_str(s);
    return KVASIR_OK;
}

static kvasir_status do_format(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *s;
    jval args;
    TRY(j_to_str(r, self, &s));
    if (a->n && a->n_named) return j_fail(r, "format takes either positional or keyword arguments");
    if (a->n_named) {
        TRY(j_new_dict(r, a->n_named, &args.dict));
        args.kind = J_DICT;
        for (size_t i = 0; i < a->n_named; i++) TRY(j_dict_put(r, args.dict, j_str(a->names[i]), a->named[i]));
    } else {
        TRY(j_new_list(r, J_TUPLE, a->n, &args));
        if (a->n) memcpy(args.list->v, a->v, a->n * sizeof(jval));
    }
    return j_printf(r, s, args, out);
}

/* ---- the rest ----------------------------------------------------------------------------------------- */

static kvasir_status do_default(jrun *r, jval self, const jargs *a, jval *out)
{
    *out = self;
    if (self.kind != J_UNDEFINED && !(j_truth(a->v[1]) && !j_truth(self))) return KVASIR_OK;
    *out = a->v[0];
    return a->v[0].kind == J_MISSING ? j_text(r, "", out) : KVASIR_OK;
}

static kvasir_status do_length(jrun *r, jval self, const jargs *a, jval *out)
{
    size_t n;
    if (self.kind == J_LOOP) return j_loop_attribute(r, self.loop, &(jstr){.s = "length", .n = 6, .chars = 6}, out);
    if (!j_length(self, &n)) return j_fail(r, "object of type '%s' has no len()", j_type_name(self));
    *out = j_int((jint)n);
    return KVASIR_OK;
}

static kvasir_status do_attr(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *name;
    TRY(j_arg_text(r, a->v[0], &name));
    if (self.kind == J_UNDEFINED) return j_use_undefined(r, self);
    TRY(j_safe_attribute(r, self, name, out));
    return out->kind == J_MISSING ? j_new_undefined(r, NULL, j_type_name(self), a->v[0], out) : KVASIR_OK;
}

const jfunction *j_find_filter(const jstr *name)
{
    static const jfunction all[] = {{"abs", do_abs, 0, ""},
                                    {"attr", do_attr, 1, "name"},
                                    {"capitalize", do_capitalize, 0, ""},
                                    {"center", do_center, 0, "width"},
                                    {"count", do_length, 0, ""},
                                    {"d", do_default, 0, "default_value boolean"},
                                    {"default", do_default, 0, "default_value boolean"},
                                    {"e", do_escape, 0, ""},
                                    {"escape", do_escape, 0, ""},
                                    {"filesizeformat", do_filesizeformat, 0, "binary"},
                                    {"float", do_float, 0, "default"},
                                    {"forceescape", do_forceescape, 0, ""},
                                    {"format", do_format, 0, NULL},
                                    {"indent", do_indent, 0, "width first blank"},
                                    {"int", do_int, 0, "default base"},
                                    {"length", do_length, 0, ""},
                                    {"lower", do_lower, 0, ""},
                                    {"replace", do_replace, 2, "old new count"},
                                    {"round", do_round, 0, "precision method"},
                                    {"safe", do_safe, 0, ""},
                                    {"string", do_string, 0, ""},
                                    {"striptags", do_striptags, 0, ""},
                                    {"title", do_title, 0, ""},
                                    {"tojson", j_tojson, 0, "ensure_ascii indent separators sort_keys"},
                                    {"trim", do_trim, 0, "chars"},
                                    {"truncate", do_truncate, 0, "length killwords end leeway"},
                                    {"upper", do_upper, 0, ""},
                                    {"urlencode", do_urlencode, 0, ""},
                                    {"wordcount", do_wordcount, 0, ""},
                                    {"xmlattr", do_xmlattr, 0, "autospace"}};
    const jfunction *f = j_find(all, sizeof all / sizeof *all, name);
    return f ? f : j_find_sequence_filter(name);
}
