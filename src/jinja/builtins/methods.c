/* Methods of lists, dictionaries and the other types except str: those that the sandbox lets templates call. */
#include "jinja/builtins/builtins.h"
#include "jinja/run/run.h"

#include <math.h>
#include <string.h>

static kvasir_status count_in(jrun *r, jval self, const jargs *a, jval *out)
{
    jiter *it;
    jint n = 0;
    TRY(j_iterate(r, self, &it));
    for (;;) {
        jval item;
        bool same;
        TRY(j_iter_next(r, it, &item));
        if (item.kind == J_MISSING) break;
        TRY(j_equal(r, item, a->v[0], &same));
        n += same;
    }
    *out = j_int(n);
    return KVASIR_OK;
}

static kvasir_status index_in(jrun *r, jval self, const jargs *a, jval *out)
{
    jint start, stop, i = 0;
    size_t length = 0;
    jiter *it;
    (void)j_length(self, &length);
    TRY(j_arg_int(r, a->v[1], 0, &start));
    TRY(j_arg_int(r, a->v[2], (jint)length, &stop));
    if (start < 0) start = start + (jint)length < 0 ? 0 : start + (jint)length;
    if (stop < 0) stop += (jint)length;
    TRY(j_iterate(r, self, &it));
    for (;; i++) {
        jval item;
        bool same = false;
        TRY(j_iter_next(r, it, &item));
        if (item.kind == J_MISSING || i >= stop) return j_fail(r, "the value is not in the %s", j_type_name(self));
        if (i >= start) TRY(j_equal(r, item, a->v[0], &same));
        if (!same) continue;
        *out = j_int(i);
        return KVASIR_OK;
    }
}

static kvasir_status copy_list(jrun *r, jval self, const jargs *a, jval *out)
{
    out->kind = J_LIST;
    return j_to_list(r, self, &out->list);
}

/* pop and clear change a list, but Jinja's immutable sandbox forgot to forbid them. Templates use pop. */
static kvasir_status pop_list(jrun *r, jval self, const jargs *a, jval *out)
{
    jlist *list = self.list;
    jint i, n = (jint)list->n;
    TRY(j_arg_int(r, a->v[0], -1, &i));
    if (i < 0) i += n;
    if (i < 0 || i >= n) return j_fail(r, "pop index out of range");
    *out = list->v[i];
    if (i == 0)
        list->v++;
    else if (i < n - 1)
        memmove(list->v + i, list->v + i + 1, (size_t)(n - 1 - i) * sizeof *list->v);
    list->n--;
    return j_step(r, i == 0 ? 0 : (size_t)(n - 1 - i) / 16);
}

static kvasir_status clear_list(jrun *r, jval self, const jargs *a, jval *out)
{
    self.list->n = 0;
    *out = j_none();
    return KVASIR_OK;
}

static kvasir_status get_key(jrun *r, jval self, const jargs *a, jval *out)
{
    TRY(j_dict_get(r, self.dict, a->v[0], out));
    if (out->kind == J_MISSING) *out = a->v[1].kind == J_MISSING ? j_none() : a->v[1];
    return KVASIR_OK;
}

static kvasir_status view(jrun *r, jval self, jview_kind kind, jval *out)
{
    jview *v;
    TRY(j_take(r, 1, sizeof *v, &v));
    *v = (jview){kind, self.dict};
    *out = (jval){.kind = J_VIEW, .view = v};
    return KVASIR_OK;
}

static kvasir_status view_keys(jrun *r, jval self, const jargs *a, jval *out)
{
    return view(r, self, VIEW_KEYS, out);
}

static kvasir_status view_values(jrun *r, jval self, const jargs *a, jval *out)
{
    return view(r, self, VIEW_VALUES, out);
}

static kvasir_status view_items(jrun *r, jval self, const jargs *a, jval *out)
{
    return view(r, self, VIEW_ITEMS, out);
}

static kvasir_status copy_dict(jrun *r, jval self, const jargs *a, jval *out)
{
    jdict *d;
    TRY(j_new_dict(r, j_dict_size(self.dict), &d));
    for (size_t i = 0; i < j_dict_size(self.dict); i++) {
        TRY(j_step(r, 1));
        TRY(j_dict_put(r, d, j_dict_key(self.dict, i), j_dict_value(self.dict, i)));
    }
    *out = (jval){.kind = J_DICT, .dict = d};
    return KVASIR_OK;
}

static kvasir_status bit_length(jrun *r, jval self, const jargs *a, jval *out)
{
    jint n = 0;
    for (jint i = j_integer(self); i != 0; i /= 2) n++;
    *out = j_int(n);
    return KVASIR_OK;
}

static kvasir_status conjugate(jrun *r, jval self, const jargs *a, jval *out)
{
    *out = self.kind == J_BOOL ? j_int(self.b) : self;
    return KVASIR_OK;
}

static kvasir_status is_integer(jrun *r, jval self, const jargs *a, jval *out)
{
    *out = j_bool(isfinite(self.f) && self.f == floor(self.f));
    return KVASIR_OK;
}

static kvasir_status cycler_next(jrun *r, jval self, const jargs *a, jval *out)
{
    jcycler *c = self.cycler;
    *out = c->items.v[c->pos];
    c->pos = (c->pos + 1) % c->items.n;
    return KVASIR_OK;
}

static kvasir_status cycler_reset(jrun *r, jval self, const jargs *a, jval *out)
{
    self.cycler->pos = 0;
    *out = j_none();
    return KVASIR_OK;
}

static kvasir_status decode_bytes(jrun *r, jval self, const jargs *a, jval *out)
{
    return j_string(r, self.s->s, self.s->n, out); /* they were made from text, so they are UTF-8 */
}

const jfunction *j_find_method(jkind kind, const jstr *name)
{
    static const jfunction list[] = {{"count", count_in, 1, "_"},
                                     {"index", index_in, 1, "_ _ _"},
                                     {"copy", copy_list, 0, ""},
                                     {"pop", pop_list, 0, "_"},
                                     {"clear", clear_list, 0, ""}};
    static const jfunction dict[] = {{"get", get_key, 1, "_ _"},
                                     {"items", view_items, 0, ""},
                                     {"keys", view_keys, 0, ""},
                                     {"values", view_values, 0, ""},
                                     {"copy", copy_dict, 0, ""}};
    static const jfunction integer[] = {{"bit_length", bit_length, 0, ""}, {"conjugate", conjugate, 0, ""}};
    static const jfunction real[] = {{"is_integer", is_integer, 0, ""}, {"conjugate", conjugate, 0, ""}};
    static const jfunction cycler[] = {{"next", cycler_next, 0, ""}, {"reset", cycler_reset, 0, ""}};
    static const jfunction bytes[] = {{"decode", decode_bytes, 0, "encoding errors"}};
    switch (kind) {
    case J_LIST:
        return j_find(list, sizeof list / sizeof *list, name);
    case J_TUPLE:
    case J_RANGE:
        return j_find(list, 2, name);
    case J_DICT:
        return j_find(dict, sizeof dict / sizeof *dict, name);
    case J_BOOL:
    case J_INT:
        return j_find(integer, sizeof integer / sizeof *integer, name);
    case J_FLOAT:
        return j_find(real, sizeof real / sizeof *real, name);
    case J_CYCLER:
        return j_find(cycler, sizeof cycler / sizeof *cycler, name);
    case J_BYTES:
        return j_find(bytes, sizeof bytes / sizeof *bytes, name);
    default:
        return NULL;
    }
}
