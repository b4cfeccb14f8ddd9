/* 'a {}'.format(x), and format_map. */
#include "jinja/values/format.h"

#include <stdio.h>
#include <string.h>

typedef struct formatter {
    jrun *r;
    const jargs *args;
    const jdict *map; /* of format_map */
    jint next;        /* number of the next field without a name; -1 once a field has had a number */
} formatter;

static kvasir_status format_text(formatter *f, const jstr *s, int depth);

static kvasir_status find_named(formatter *f, const jstr *name, jval *out)
{
    *out = (jval){.kind = J_MISSING};
    if (f->map) TRY(j_dict_get_text(f->r, f->map, name, out));
    for (size_t i = 0; i < f->args->n_named; i++)
        if (j_same(j_str(f->args->names[i]), j_str(name))) *out = f->args->named[i];
    return out->kind == J_MISSING ? j_fail(f->r, "format has no value named %s", quoted(name->s, name->n)) : KVASIR_OK;
}

static bool all_digits(const jstr *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->s[i] < '0' || s->s[i] > '9') return false;
    return s->n > 0;
}

/* The value that the first part of a field's name means: a number, a keyword, or the next argument where
   it is empty. */
static kvasir_status find_first(formatter *f, const jstr *name, jval *out)
{
    jint i;
    if (name->n > 0 && !all_digits(name)) return find_named(f, name, out);
    if (name->n == 0) {
        if (f->next < 0) return j_fail(f->r, "format cannot switch from numbered fields to automatic ones");
        i = f->next++;
    } else {
        if (f->next > 0) return j_fail(f->r, "format cannot switch from automatic fields to numbered ones");
        f->next = -1;
        if (!j_read_int(name->s, name->n, 10, &i)) i = INT32_MAX;
    }
    if (i >= (jint)f->args->n) return j_fail(f->r, "format has too few arguments");
    *out = f->args->v[i];
    return KVASIR_OK;
}

/* name.attribute[key]... */
static kvasir_status find_field(formatter *f, const jstr *name, jval *out)
{
    size_t i = 0;
    while (i < name->n && name->s[i] != '.' && name->s[i] != '[') i++;
    jval part;
    TRY(j_part(f->r, name, 0, i, &part));
    TRY(find_first(f, part.s, out));
    while (i < name->n) {
        bool item = name->s[i++] == '[';
        size_t from = i;
        while (i < name->n && (item ? name->s[i] != ']' : name->s[i] != '.' && name->s[i] != '[')) i++;
        TRY(j_part(f->r, name, from, i - from, &part));
        if (part.s->n == 0 || (item && i >= name->n))
            return j_fail(f->r, "an attribute or key of a format field is empty");
        if (!item) {
            TRY(j_get_attr(f->r, *out, part.s, out));
            continue;
        }
        jval key = part;
        if (all_digits(part.s)) {
            key.kind = J_INT;
            if (!j_read_int(part.s->s, part.s->n, 10, &key.i)) return j_fail(f->r, "an index is too large");
        }
        TRY(j_get_item(f->r, *out, key, out));
        i++;
        if (i < name->n && name->s[i] != '.' && name->s[i] != '[')
            return j_fail(f->r, "only '.' or '[' may follow ']' in a format field");
    }
    return KVASIR_OK;
}

static kvasir_status emit_ascii(jrun *r, jval v)
{
    jval text;
    size_t mark = j_mark(r);
    TRY(j_emit_repr(r, v));
    TRY(j_cut(r, mark, &text));
    for (size_t i = 0; i < text.s->n;) {
        char escape[16];
        uint32_t c = j_decode(text.s->s, &i);
        (void)snprintf(escape, sizeof escape,
                       c < 0x80      ? "%c"
                       : c < 0x100   ? "\\x%02x"
                       : c < 0x10000 ? "\\u%04x"
                                     : "\\U%08x",
                       c);
        TRY(j_emit_text(r, escape));
    }
    return KVASIR_OK;
}

kvasir_status convert(jrun *r, char how, jval *v)
{
    size_t mark = j_mark(r);
    if (how != 'r' && how != 's' && how != 'a') return j_fail(r, "unknown conversion in a format field");
    if (how == 'r') TRY(j_emit_repr(r, *v));
    if (how == 's') TRY(j_emit_str(r, *v));
    if (how == 'a') TRY(emit_ascii(r, *v));
    return j_cut(r, mark, v);
}

/* One field; *i is behind its opening brace. */
static kvasir_status format_field(formatter *f, const jstr *s, size_t *i, int depth)
{
    size_t from = *i;
    jval name, value, spec_text;
    char how = '\0';
    while (*i < s->n && !strchr("}:!{", s->s[*i])) {
        if (s->s[*i] == '[')
            while (*i < s->n && s->s[*i] != ']') (*i)++;
        if (*i < s->n) (*i)++;
    }
    if (*i >= s->n || s->s[*i] == '{') return j_fail(f->r, "a format field is not closed");
    TRY(j_part(f->r, s, from, *i - from, &name));
    TRY(find_field(f, name.s, &value));
    if (s->s[*i] == '!') {
        if (*i + 2 >= s->n || (s->s[*i + 2] != ':' && s->s[*i + 2] != '}'))
            return j_fail(f->r, "a format field's conversion is broken");
        how = s->s[*i + 1];
        *i += 2;
    }
    TRY(j_text(f->r, "", &spec_text));
    if (s->s[*i] == ':') {
        int open = 1;
        for (from = ++*i; *i < s->n; (*i)++) {
            open += (s->s[*i] == '{') - (s->s[*i] == '}');
            if (open == 0) break;
        }
        if (*i >= s->n) return j_fail(f->r, "a format field is not closed");
        jval inner;
        size_t mark = j_mark(f->r);
        TRY(j_part(f->r, s, from, *i - from, &inner));
        TRY(format_text(f, inner.s, depth - 1));
        TRY(j_cut(f->r, mark, &spec_text));
    }
    (*i)++;
    if (how) TRY(convert(f->r, how, &value));
    return j_format_value(f->r, value, spec_text.s);
}

static kvasir_status format_text(formatter *f, const jstr *s, int depth)
{
    if (depth < 0) return j_fail(f->r, "format fields are nested too deep");
    for (size_t i = 0; i < s->n;) {
        char c = s->s[i];
        if ((c == '{' || c == '}') && i + 1 < s->n && s->s[i + 1] == c) {
            TRY(j_emit(f->r, &c, 1));
            i += 2;
        } else if (c == '{') {
            i++;
            TRY(j_step(f->r, 1));
            TRY(format_field(f, s, &i, depth));
        } else if (c == '}') {
            return j_fail(f->r, "a single '}' stands in a format");
        } else {
            size_t from = i;
            while (i < s->n && s->s[i] != '{' && s->s[i] != '}') i++;
            TRY(j_emit(f->r, s->s + from, i - from));
        }
    }
    return KVASIR_OK;
}

kvasir_status j_str_format(jrun *r, jval self, const jargs *a, jval *out)
{
    formatter f = {.r = r, .args = a};
    size_t mark = j_mark(r);
    TRY(format_text(&f, self.s, 2));
    return j_cut(r, mark, out);
}

kvasir_status j_str_format_map(jrun *r, jval self, const jargs *a, jval *out)
{
    const jargs none = {0};
    formatter f = {.r = r, .args = &none};
    size_t mark = j_mark(r);
    if (a->n != 1 || a->n_named || a->v[0].kind != J_DICT) return j_fail(r, "format_map takes one dictionary");
    f.map = a->v[0].dict;
    TRY(format_text(&f, self.s, 2));
    return j_cut(r, mark, out);
}
