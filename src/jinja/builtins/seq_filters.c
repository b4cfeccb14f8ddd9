/* Filters on sequences. Those that are generators in Jinja are iterators here: nothing happens, and nothing fails,
   before the first item is asked for. */
#include "jinja/builtins/builtins.h"
#include "jinja/run/run.h"

#include <string.h>

/* ---- attributes of items ------------------------------------------------------------------------------ */

/* The attribute of an item by which it is sorted, grouped or mapped: "a.b.0". */
typedef struct getter {
    jval *parts;
    size_t n;
    jval otherwise; /* used for an undefined value; J_MISSING: none */
    bool ignore_case;
} getter;

static bool is_number_text(const jstr *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->s[i] < '0' || s->s[i] > '9') return false;
    return s->n > 0;
}

static kvasir_status make_getter(jrun *r, jval attribute, getter *out)
{
    jval split;
    jlist *parts;
    if (attribute.kind == J_MISSING || attribute.kind == J_NONE) return KVASIR_OK;
    if (attribute.kind != J_STRING) {
        TRY(j_take(r, 1, sizeof *out->parts, &out->parts));
        out->parts[out->n++] = attribute;
        return KVASIR_OK;
    }
    jval dot = j_str(&(jstr){.s = ".", .n = 1, .chars = 1}), rest = {.kind = J_MISSING}, args[2] = {dot, rest};
    TRY(j_call_builtin(r, j_find_str_method(&(jstr){.s = "split", .n = 5, .chars = 5}), attribute,
                       &(jargs){.v = args, .n = 1}, &split));
    parts = split.list;
    for (size_t i = 0; i < parts->n; i++) {
        jint number;
        if (is_number_text(parts->v[i].s) && j_read_int(parts->v[i].s->s, parts->v[i].s->n, 10, &number))
            parts->v[i] = j_int(number);
    }
    out->parts = parts->v;
    out->n = parts->n;
    return KVASIR_OK;
}

static kvasir_status lower_text(jrun *r, jval *v)
{
    if (v->kind != J_STRING) return KVASIR_OK;
    size_t mark = j_mark(r);
    TRY(j_emit_case(r, CASE_LOWER, v->s->s, v->s->n));
    return j_cut(r, mark, v);
}

static kvasir_status get(jrun *r, const getter *g, jval item, jval *out)
{
    *out = item;
    for (size_t i = 0; i < g->n; i++) {
        TRY(j_get_item(r, *out, g->parts[i], out));
        if (out->kind == J_UNDEFINED && g->otherwise.kind != J_MISSING && g->otherwise.kind != J_NONE)
            *out = g->otherwise;
    }
    return g->ignore_case ? lower_text(r, out) : KVASIR_OK;
}

/* ---- sorting ------------------------------------------------------------------------------------------ */

/* Stable merge sort of pairs by their first member. Equal ones keep their order, also with `reverse`. */
static kvasir_status sort_range(jrun *r, jval *v, jval *spare, size_t n, bool reverse)
{
    if (n < 2) return KVASIR_OK;
    size_t half = n / 2, i = 0, k = half, at = 0;
    TRY(sort_range(r, v, spare, half, reverse));
    TRY(sort_range(r, v + half, spare, n - half, reverse));
    memcpy(spare, v, half * sizeof *v);
    while (i < half && k < n) {
        bool second;
        jval a = spare[i].list->v[0], b = v[k].list->v[0];
        TRY(reverse ? j_compare(r, CMP_LT, a, b, &second) : j_compare(r, CMP_LT, b, a, &second));
        v[at++] = second ? v[k++] : spare[i++];
    }
    while (i < half) v[at++] = spare[i++];
    return j_step(r, n);
}

static kvasir_status sort_pairs(jrun *r, jlist *pairs, bool reverse)
{
    jval *spare;
    TRY(j_take(r, pairs->n / 2 + 1, sizeof *spare, &spare));
    return sort_range(r, pairs->v, spare, pairs->n, reverse);
}

kvasir_status j_sort_pairs(jrun *r, jlist *pairs)
{
    return sort_pairs(r, pairs, false);
}

/* What an item is sorted by. It is a list, because Jinja sorts by several attributes, and lists compare by the first
   members that differ. */
static kvasir_status sort_key(jrun *r, const getter *g, size_t n, jval item, jval *out)
{
    TRY(j_new_list(r, J_LIST, n, out));
    for (size_t i = 0; i < n; i++) TRY(get(r, &g[i], item, &out->list->v[i]));
    return KVASIR_OK;
}

static kvasir_status as_list(jrun *r, jlist *list, jval *out)
{
    *out = (jval){.kind = J_LIST, .list = list};
    return KVASIR_OK;
}

static kvasir_status do_sort(jrun *r, jval self, const jargs *a, jval *out)
{
    enum { MOST = 16 };
    getter g[MOST] = {{0}};
    size_t n = 1;
    jlist *list;
    jval names = a->v[2], split;
    if (names.kind == J_STRING) {
        jval comma = j_str(&(jstr){.s = ",", .n = 1, .chars = 1});
        TRY(j_call_builtin(r, j_find_str_method(&(jstr){.s = "split", .n = 5, .chars = 5}), names,
                           &(jargs){.v = &comma, .n = 1}, &split));
        n = split.list->n;
        if (n > MOST) return j_fail(r, "sort takes at most %d attributes", MOST);
        for (size_t i = 0; i < n; i++) TRY(make_getter(r, split.list->v[i], &g[i]));
    } else {
        TRY(make_getter(r, names, &g[0]));
    }
    for (size_t i = 0; i < n; i++) g[i].ignore_case = !j_truth(a->v[1]);
    TRY(j_to_list(r, self, &list));
    for (size_t i = 0; i < list->n; i++) {
        jval key;
        TRY(sort_key(r, g, n, list->v[i], &key));
        TRY(j_pair(r, key, list->v[i], &list->v[i]));
    }
    TRY(sort_pairs(r, list, j_truth(a->v[0])));
    for (size_t i = 0; i < list->n; i++) list->v[i] = list->v[i].list->v[1];
    return as_list(r, list, out);
}

static kvasir_status do_dictsort(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *by = NULL;
    jlist *list;
    jval pair;
    if (a->v[1].kind != J_MISSING) TRY(j_arg_text(r, a->v[1], &by));
    bool by_value = by && j_is(by, "value");
    if (by && !by_value && !j_is(by, "key")) return j_fail(r, "dictsort sorts by \"key\" or \"value\"");
    if (self.kind == J_UNDEFINED) return j_use_undefined(r, self);
    if (self.kind != J_DICT) return j_fail(r, "dictsort needs a dictionary, not %s", j_type_name(self));
    jval items;
    TRY(j_new_list(r, J_LIST, j_dict_size(self.dict), &items));
    list = items.list;
    for (size_t i = 0; i < list->n; i++) {
        jval key = by_value ? j_dict_value(self.dict, i) : j_dict_key(self.dict, i);
        if (!j_truth(a->v[0])) TRY(lower_text(r, &key));
        TRY(j_pair(r, j_dict_key(self.dict, i), j_dict_value(self.dict, i), &pair));
        TRY(j_pair(r, key, pair, &list->v[i]));
    }
    TRY(sort_pairs(r, list, j_truth(a->v[2])));
    for (size_t i = 0; i < list->n; i++) list->v[i] = list->v[i].list->v[1];
    return as_list(r, list, out);
}

static kvasir_status do_groupby(jrun *r, jval self, const jargs *a, jval *out)
{
    getter g = {.otherwise = a->v[1], .ignore_case = !j_truth(a->v[2])}, plain;
    jlist *list;
    jval groups;
    TRY(make_getter(r, a->v[0], &g));
    plain = g;
    plain.ignore_case = false;
    TRY(j_to_list(r, self, &list));
    for (size_t i = 0; i < list->n; i++) {
        jval key;
        TRY(get(r, &g, list->v[i], &key));
        TRY(j_pair(r, key, list->v[i], &list->v[i]));
    }
    TRY(sort_pairs(r, list, false));
    TRY(j_new_list(r, J_LIST, list->n, &groups));
    groups.list->n = 0;
    for (size_t i = 0, end; i < list->n; i = end) {
        jval members, group, key = list->v[i].list->v[0];
        bool same = true;
        for (end = i + 1; end < list->n; end++) {
            TRY(j_equal(r, key, list->v[end].list->v[0], &same));
            if (!same) break;
        }
        TRY(j_new_list(r, J_LIST, end - i, &members));
        for (size_t k = i; k < end; k++) members.list->v[k - i] = list->v[k].list->v[1];
        if (g.ignore_case) TRY(get(r, &plain, members.list->v[0], &key));
        TRY(j_pair(r, key, members, &group));
        group.list->group = true;
        groups.list->v[groups.list->n++] = group;
    }
    *out = groups;
    return KVASIR_OK;
}

static kvasir_status extreme(jrun *r, jval self, const jargs *a, bool want_max, jval *out)
{
    getter g = {.ignore_case = !j_truth(a->v[0])};
    jiter *it;
    jval best_key = {.kind = J_MISSING};
    TRY(make_getter(r, a->v[1], &g));
    TRY(j_iterate(r, self, &it));
    for (;;) {
        jval item, key;
        bool better = true;
        TRY(j_iter_next(r, it, &item));
        if (item.kind == J_MISSING) break;
        TRY(get(r, &g, item, &key));
        if (best_key.kind != J_MISSING) TRY(j_compare(r, want_max ? CMP_GT : CMP_LT, key, best_key, &better));
        if (better) {
            best_key = key;
            *out = item;
        }
    }
    return best_key.kind == J_MISSING
               ? j_new_undefined(r, "No aggregated item, sequence was empty", NULL, j_none(), out)
               : KVASIR_OK;
}

static kvasir_status do_min(jrun *r, jval self, const jargs *a, jval *out)
{
    return extreme(r, self, a, false, out);
}

static kvasir_status do_max(jrun *r, jval self, const jargs *a, jval *out)
{
    return extreme(r, self, a, true, out);
}

/* ---- ends, order, sums -------------------------------------------------------------------------------- */

static kvasir_status do_first(jrun *r, jval self, const jargs *a, jval *out)
{
    jiter *it;
    TRY(j_iterate(r, self, &it));
    TRY(j_iter_next(r, it, out));
    return out->kind == J_MISSING ? j_new_undefined(r, "No first item, sequence was empty", NULL, j_none(), out)
                                  : KVASIR_OK;
}

static kvasir_status do_last(jrun *r, jval self, const jargs *a, jval *out)
{
    jval back;
    TRY(j_reversed(r, self, &back));
    if (back.kind == J_MISSING) return j_fail(r, "'%s' object is not reversible", j_type_name(self));
    TRY(j_iter_next(r, back.iter, out));
    return out->kind == J_MISSING ? j_new_undefined(r, "No last item, sequence was empty", NULL, j_none(), out)
                                  : KVASIR_OK;
}

static kvasir_status do_reverse(jrun *r, jval self, const jargs *a, jval *out)
{
    jlist *list;
    if (self.kind == J_STRING) return j_slice(r, self, j_none(), j_none(), j_int(-1), out);
    TRY(j_reversed(r, self, out));
    if (out->kind != J_MISSING) return KVASIR_OK;
    TRY(j_to_list(r, self, &list));
    for (size_t i = 0; i < list->n / 2; i++) {
        jval other = list->v[i];
        list->v[i] = list->v[list->n - 1 - i];
        list->v[list->n - 1 - i] = other;
    }
    return as_list(r, list, out);
}

static kvasir_status do_list(jrun *r, jval self, const jargs *a, jval *out)
{
    jlist *list;
    TRY(j_to_list(r, self, &list));
    return as_list(r, list, out);
}

static kvasir_status do_sum(jrun *r, jval self, const jargs *a, jval *out)
{
    getter g = {0};
    jiter *it;
    jval total = a->v[1].kind == J_MISSING ? j_int(0) : a->v[1];
    TRY(make_getter(r, a->v[0], &g));
    if (total.kind == J_STRING) return j_fail(r, "sum() can't sum strings");
    TRY(j_iterate(r, self, &it));
    for (;;) {
        jval item, value;
        TRY(j_iter_next(r, it, &item));
        if (item.kind == J_MISSING) break;
        TRY(get(r, &g, item, &value));
        TRY(j_binary(r, N_ADD, total, value, &total));
    }
    *out = total;
    return KVASIR_OK;
}

static kvasir_status do_join(jrun *r, jval self, const jargs *a, jval *out)
{
    getter g = {0};
    jlist *list;
    const jstr *separator = NULL;
    TRY(make_getter(r, a->v[1], &g));
    if (a->v[0].kind != J_MISSING) TRY(j_to_str(r, a->v[0], &separator));
    TRY(j_to_list(r, self, &list));
    size_t mark = j_mark(r);
    for (size_t i = 0; i < list->n; i++) {
        jval value;
        TRY(get(r, &g, list->v[i], &value));
        if (i > 0 && separator) TRY(j_emit(r, separator->s, separator->n));
        TRY(j_emit_str(r, value));
    }
    return j_cut(r, mark, out);
}

/* ---- lazy ones ---------------------------------------------------------------------------------------- */

/* What a lazy filter remembers until its first item is asked for. */
typedef struct lazy {
    jval from;
    jargs args;
    bool started, ended;
    getter get;
    const jfunction *call; /* the filter or test to run on each; NULL: none */
    jargs call_args;
    bool by_attribute, negate; /* of select, reject, selectattr and rejectattr */
    jdict *seen;
    jlist *made;
} lazy;

static kvasir_status make_lazy(jrun *r, jnext next, const lazy *init, jval *out)
{
    lazy *state;
    jiter *it;
    TRY(j_take(r, 1, sizeof *state, &state));
    *state = *init;
    TRY(j_new_iter(r, "generator", next, init->from, &it));
    it->state = state;
    *out = (jval){.kind = J_ITER, .iter = it};
    return KVASIR_OK;
}

/* Begins when the first item is asked for. Of an empty value nothing more is looked at. */
static kvasir_status start_lazy(jrun *r, jiter *it, lazy *z)
{
    z->started = true;
    z->ended = !j_truth(z->from);
    return z->ended ? KVASIR_OK : j_iterate(r, z->from, &it->inner);
}

static kvasir_status prepare_map(jrun *r, lazy *z)
{
    const jargs *a = &z->args;
    bool attribute = false;
    for (size_t i = 0; i < a->n_named; i++) attribute |= j_is(a->names[i], "attribute");
    if (a->n == 0 && attribute) {
        jval of = j_none();
        for (size_t i = 0; i < a->n_named; i++) {
            if (j_is(a->names[i], "attribute"))
                of = a->named[i];
            else if (j_is(a->names[i], "default"))
                z->get.otherwise = a->named[i];
            else
                return j_fail(r, "map takes no argument named %s", quoted(a->names[i]->s, a->names[i]->n));
        }
        return make_getter(r, of, &z->get);
    }
    const jstr *name;
    if (a->n == 0) return j_fail(r, "map needs the name of a filter");
    TRY(j_arg_text(r, a->v[0], &name));
    z->call = j_find_filter(name);
    if (!z->call) return j_fail(r, "there is no filter named %s", quoted(name->s, name->n));
    z->call_args = *a;
    z->call_args.v++;
    z->call_args.n--;
    return KVASIR_OK;
}

static kvasir_status next_mapped(jrun *r, jiter *it, jval *out)
{
    lazy *z = it->state;
    jval item;
    *out = (jval){.kind = J_MISSING};
    if (!z->started) {
        TRY(start_lazy(r, it, z));
        if (!z->ended) TRY(prepare_map(r, z));
    }
    if (z->ended) return KVASIR_OK;
    TRY(j_iter_next(r, it->inner, &item));
    z->ended = item.kind == J_MISSING;
    if (z->ended) return KVASIR_OK;
    return z->call ? j_call_builtin(r, z->call, item, &z->call_args, out) : get(r, &z->get, item, out);
}

static kvasir_status do_map(jrun *r, jval self, const jargs *a, jval *out)
{
    return make_lazy(r, next_mapped, &(lazy){.from = self, .args = *a}, out);
}

static kvasir_status prepare_select(jrun *r, lazy *z)
{
    const jstr *name;
    z->call_args = z->args;
    if (z->by_attribute) {
        if (z->args.n == 0) return j_fail(r, "the name of an attribute is missing");
        TRY(make_getter(r, z->args.v[0], &z->get));
        z->call_args.v++;
        z->call_args.n--;
    }
    if (z->call_args.n == 0) return KVASIR_OK;
    TRY(j_arg_text(r, z->call_args.v[0], &name));
    z->call = j_find_test(name);
    if (!z->call) return j_fail(r, "there is no test named %s", quoted(name->s, name->n));
    z->call_args.v++;
    z->call_args.n--;
    return KVASIR_OK;
}

static kvasir_status next_selected(jrun *r, jiter *it, jval *out)
{
    lazy *z = it->state;
    if (!z->started) {
        TRY(start_lazy(r, it, z));
        if (!z->ended) TRY(prepare_select(r, z));
    }
    while (!z->ended) {
        jval value;
        bool take;
        TRY(j_iter_next(r, it->inner, out));
        z->ended = out->kind == J_MISSING;
        if (z->ended) return KVASIR_OK;
        TRY(get(r, &z->get, *out, &value));
        take = j_truth(value);
        if (z->call) TRY(j_run_test(r, z->call, value, &z->call_args, &take));
        if (take != z->negate) return KVASIR_OK;
    }
    *out = (jval){.kind = J_MISSING};
    return KVASIR_OK;
}

static kvasir_status do_select(jrun *r, jval self, const jargs *a, jval *out)
{
    return make_lazy(r, next_selected, &(lazy){.from = self, .args = *a}, out);
}

static kvasir_status do_reject(jrun *r, jval self, const jargs *a, jval *out)
{
    return make_lazy(r, next_selected, &(lazy){.from = self, .args = *a, .negate = true}, out);
}

static kvasir_status do_selectattr(jrun *r, jval self, const jargs *a, jval *out)
{
    return make_lazy(r, next_selected, &(lazy){.from = self, .args = *a, .by_attribute = true}, out);
}

static kvasir_status do_rejectattr(jrun *r, jval self, const jargs *a, jval *out)
{
    return make_lazy(r, next_selected, &(lazy){.from = self, .args = *a, .by_attribute = true, .negate = true}, out);
}

static kvasir_status next_unique(jrun *r, jiter *it, jval *out)
{
    lazy *z = it->state;
    if (!z->started) {
        z->started = true;
        TRY(make_getter(r, z->args.v[1], &z->get));
        TRY(j_new_dict(r, 0, &z->seen));
        TRY(j_iterate(r, z->from, &it->inner));
    }
    for (;;) {
        jval key, known;
        TRY(j_iter_next(r, it->inner, out));
        if (out->kind == J_MISSING) return KVASIR_OK;
        TRY(get(r, &z->get, *out, &key));
        TRY(j_dict_get(r, z->seen, key, &known));
        if (known.kind != J_MISSING) continue;
        return j_dict_put(r, z->seen, key, j_none());
    }
}

/* The bound arguments lie on the stack of the call, so a lazy filter needs a copy. */
static kvasir_status keep_args(jrun *r, const jargs *a, jargs *out)
{
    *out = *a;
    TRY(j_take(r, a->n, sizeof *out->v, &out->v));
    if (a->n) memcpy(out->v, a->v, a->n * sizeof *a->v);
    return KVASIR_OK;
}

static kvasir_status do_unique(jrun *r, jval self, const jargs *a, jval *out)
{
    lazy z = {.from = self, .get.ignore_case = !j_truth(a->v[0])};
    TRY(keep_args(r, a, &z.args));
    return make_lazy(r, next_unique, &z, out);
}

/* For filters that read everything before they give anything: `build` makes the list when the first item
   is asked for. */
static kvasir_status next_built(jrun *r, jiter *it, kvasir_status (*build)(jrun *r, lazy *z, jlist **out), jval *out)
{
    lazy *z = it->state;
    if (!z->started) TRY(build(r, z, &z->made));
    z->started = true;
    *out = it->pos < z->made->n ? z->made->v[it->pos++] : (jval){.kind = J_MISSING};
    return KVASIR_OK;
}

static kvasir_status build_batches(jrun *r, lazy *z, jlist **out)
{
    jlist *items, *batches;
    jint count;
    jval made;
    size_t in_batch = 0;
    TRY(j_to_list(r, z->from, &items));
    TRY(j_new_list(r, J_LIST, items->n + 1, &made));
    batches = *out = made.list;
    batches->n = 0;
    TRY(j_arg_int(r, z->args.v[0], 0, &count));
    for (size_t i = 0; i < items->n; i += in_batch) {
        size_t room = count <= 0 ? items->n - i : (size_t)(count < (jint)(items->n - i) ? count : (jint)(items->n - i));
        if (i == 0 && count == 0) TRY(j_new_list(r, J_LIST, 0, &batches->v[batches->n++])); /* as Jinja does */
        in_batch = room;
        bool fill =
            i + room == items->n && (jint)room < count && z->args.v[1].kind != J_MISSING && z->args.v[1].kind != J_NONE;
        if (fill && count > 1000000) return j_fail(r, "batch is given too large a number");
        TRY(j_new_list(r, J_LIST, fill ? (size_t)count : room, &made));
        for (size_t k = 0; k < made.list->n; k++) made.list->v[k] = k < room ? items->v[i + k] : z->args.v[1];
        batches->v[batches->n++] = made;
    }
    return KVASIR_OK;
}

static kvasir_status next_batch(jrun *r, jiter *it, jval *out)
{
    return next_built(r, it, build_batches, out);
}

static kvasir_status build_slices(jrun *r, lazy *z, jlist **out)
{
    jlist *items;
    jint slices;
    jval made, slice;
    TRY(j_to_list(r, z->from, &items));
    TRY(j_arg_int(r, z->args.v[0], 0, &slices));
    if (slices == 0) return j_fail(r, "division by zero");
    if (slices > 1000000) return j_fail(r, "slice is given too large a number");
    TRY(j_new_list(r, J_LIST, slices > 0 ? (size_t)slices : 0, &made));
    *out = made.list;
    bool fill = z->args.v[1].kind != J_MISSING && z->args.v[1].kind != J_NONE;
    for (size_t i = 0, at = 0; i < made.list->n; i++) {
        bool longer = i < items->n % made.list->n;
        size_t n = items->n / made.list->n + longer;
        TRY(j_new_list(r, J_LIST, n + (fill && !longer), &slice));
        if (n) memcpy(slice.list->v, items->v + at, n * sizeof(jval));
        if (fill && !longer) slice.list->v[n] = z->args.v[1];
        made.list->v[i] = slice;
        at += n;
    }
    return KVASIR_OK;
}

static kvasir_status next_slice(jrun *r, jiter *it, jval *out)
{
    return next_built(r, it, build_slices, out);
}

static kvasir_status build_items(jrun *r, lazy *z, jlist **out)
{
    jval made;
    size_t n = z->from.kind == J_DICT ? j_dict_size(z->from.dict) : 0;
    if (z->from.kind != J_DICT && z->from.kind != J_UNDEFINED)
        return j_fail(r, "Can only get item pairs from a mapping");
    TRY(j_new_list(r, J_LIST, n, &made));
    *out = made.list;
    for (size_t i = 0; i < n; i++)
        TRY(j_pair(r, j_dict_key(z->from.dict, i), j_dict_value(z->from.dict, i), &made.list->v[i]));
    return KVASIR_OK;
}

static kvasir_status next_items(jrun *r, jiter *it, jval *out)
{
    return next_built(r, it, build_items, out);
}

static kvasir_status keep_lazy(jrun *r, jnext next, jval self, const jargs *a, jval *out)
{
    lazy z = {.from = self};
    TRY(keep_args(r, a, &z.args));
    return make_lazy(r, next, &z, out);
}

static kvasir_status do_batch(jrun *r, jval self, const jargs *a, jval *out)
{
    return keep_lazy(r, next_batch, self, a, out);
}

static kvasir_status do_slice(jrun *r, jval self, const jargs *a, jval *out)
{
    return keep_lazy(r, next_slice, self, a, out);
}

static kvasir_status do_items(jrun *r, jval self, const jargs *a, jval *out)
{
    return keep_lazy(r, next_items, self, a, out);
}

const jfunction *j_find_sequence_filter(const jstr *name)
{
    static const jfunction all[] = {{"batch", do_batch, 1, "linecount fill_with"},
                                    {"dictsort", do_dictsort, 0, "case_sensitive by reverse"},
                                    {"first", do_first, 0, ""},
                                    {"groupby", do_groupby, 1, "attribute default case_sensitive"},
                                    {"items", do_items, 0, ""},
                                    {"join", do_join, 0, "d attribute"},
                                    {"last", do_last, 0, ""},
                                    {"list", do_list, 0, ""},
                                    {"map", do_map, 0, NULL},
                                    {"max", do_max, 0, "case_sensitive attribute"},
                                    {"min", do_min, 0, "case_sensitive attribute"},
                                    {"reject", do_reject, 0, NULL},
                                    {"rejectattr", do_rejectattr, 0, NULL},
                                    {"reverse", do_reverse, 0, ""},
                                    {"select", do_select, 0, NULL},
                                    {"selectattr", do_selectattr, 0, NULL},
                                    {"slice", do_slice, 1, "slices fill_with"},
                                    {"sort", do_sort, 0, "reverse case_sensitive attribute"},
                                    {"sum", do_sum, 0, "attribute start"},
                                    {"unique", do_unique, 0, "case_sensitive attribute"}};
    return j_find(all, sizeof all / sizeof *all, name);
}
