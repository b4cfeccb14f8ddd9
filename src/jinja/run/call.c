/* Attributes of values, calls, and the functions that every template has. */
#include "jinja/builtins/builtins.h"
#include "jinja/run/run.h"

#include <string.h>

const jfunction *j_find(const jfunction *table, size_t n, const jstr *name)
{
    for (size_t i = 0; i < n; i++)
        if (name->n > 0 && table[i].name[0] == name->s[0] && j_is(name, table[i].name)) return &table[i];
    return NULL;
}

/* ---- arguments ---------------------------------------------------------------------------------------- */

/* The number of the parameter with this name, or -1; *count is how many parameters there are. */
static int param_index(const char *params, const jstr *name, size_t *count)
{
    int found = -1;
    *count = 0;
    for (const char *p = params; *p; (*count)++) {
        size_t n = strcspn(p, " ");
        if (name && name->n == n && memcmp(name->s, p, n) == 0 && *p != '_') found = (int)*count;
        p += n + (p[n] == ' ');
    }
    return found;
}

kvasir_status j_call_builtin(jrun *r, const jfunction *f, jval self, const jargs *a, jval *out)
{
    jval v[J_MAX_PARAMS] = {{.kind = J_MISSING}};
    size_t count;
    if (!f->params) return f->call(r, self, a, out);
    (void)param_index(f->params, NULL, &count);
    if (a->n > count) return j_fail(r, "%s takes at most %zu arguments, %zu were given", f->name, count, a->n);
    if (a->n) memcpy(v, a->v, a->n * sizeof *v);
    for (size_t i = 0; i < a->n_named; i++) {
        const jstr *name = a->names[i];
        int at = param_index(f->params, name, &count);
        if (at < 0) return j_fail(r, "%s has no argument named %s", f->name, quoted(name->s, name->n));
        if (v[at].kind != J_MISSING)
            return j_fail(r, "%s got the argument %s twice", f->name, quoted(name->s, name->n));
        v[at] = a->named[i];
    }
    for (int i = 0; i < f->required; i++)
        if (v[i].kind == J_MISSING) return j_fail(r, "%s needs %d arguments", f->name, f->required);
    return f->call(r, self, &(jargs){.v = v, .n = count}, out);
}

kvasir_status j_arg_int(jrun *r, jval v, jint otherwise, jint *out)
{
    *out = otherwise;
    if (v.kind == J_MISSING) return KVASIR_OK;
    if (v.kind == J_UNDEFINED) return j_use_undefined(r, v);
    if (!j_is_integral(v)) return j_fail(r, "'%s' object cannot be interpreted as an integer", j_type_name(v));
    *out = j_integer(v);
    return KVASIR_OK;
}

kvasir_status j_arg_text(jrun *r, jval v, const jstr **out)
{
    if (v.kind != J_STRING) return j_fail(r, "expected a string, got %s", j_type_name(v));
    *out = v.s;
    return KVASIR_OK;
}

/* ---- globals ------------------------------------------------------------------------------------------ */

static kvasir_status call_range(jrun *r, jval self, const jargs *a, jval *out)
{
    enum { LONGEST = 100000 }; /* the sandbox's MAX_RANGE */
    jint start = 0, stop, step;
    jrange *g;
    TRY(j_arg_int(r, a->v[0], 0, &stop));
    if (a->v[1].kind != J_MISSING) {
        start = stop;
        TRY(j_arg_int(r, a->v[1], 0, &stop));
    }
    TRY(j_arg_int(r, a->v[2], 1, &step));
    if (step == 0) return j_fail(r, "range() step must not be zero");
    jint far = (jint)1 << 100, n = 0;
    if (start > far || start < -far || stop > far || stop < -far || step > far || step < -far)
        return j_fail(r, "the bounds of a range are too large");
    if (step > 0 && start < stop) n = (stop - start - 1) / step + 1;
    if (step < 0 && start > stop) n = (start - stop - 1) / -step + 1;
    if (n > LONGEST) return j_fail(r, "a range can have at most %d items", LONGEST);
    TRY(j_take(r, 1, sizeof *g, &g));
    *g = (jrange){start, stop, step, n};
    *out = (jval){.kind = J_RANGE, .range = g};
    return KVASIR_OK;
}

static kvasir_status put_pairs(jrun *r, jdict *d, jval from)
{
    jiter *it;
    if (from.kind == J_DICT) {
        for (size_t i = 0; i < j_dict_size(from.dict); i++) {
            TRY(j_step(r, 1));
            TRY(j_dict_put(r, d, j_dict_key(from.dict, i), j_dict_value(from.dict, i)));
        }
        return KVASIR_OK;
    }
    if (from.kind == J_UNDEFINED) return j_use_undefined(r, from);
    TRY(j_iterate(r, from, &it));
    for (;;) {
        jval item;
        jlist *pair;
        TRY(j_iter_next(r, it, &item));
        if (item.kind == J_MISSING) return KVASIR_OK;
        TRY(j_to_list(r, item, &pair));
        if (pair->n != 2) return j_fail(r, "a dictionary is made from pairs, not from %zu values", pair->n);
        TRY(j_dict_put(r, d, pair->v[0], pair->v[1]));
    }
}

static kvasir_status call_dict(jrun *r, jval self, const jargs *a, jval *out)
{
    jdict *d;
    if (a->n > 1) return j_fail(r, "dict takes at most 1 argument, %zu were given", a->n);
    TRY(j_new_dict(r, 0, &d));
    if (a->n == 1) TRY(put_pairs(r, d, a->v[0]));
    for (size_t i = 0; i < a->n_named; i++) TRY(j_dict_put(r, d, j_str(a->names[i]), a->named[i]));
    *out = (jval){.kind = J_DICT, .dict = d};
    return KVASIR_OK;
}

static kvasir_status call_namespace(jrun *r, jval self, const jargs *a, jval *out)
{
    TRY(call_dict(r, self, a, out));
    out->kind = J_NAMESPACE;
    return KVASIR_OK;
}

static kvasir_status call_cycler(jrun *r, jval self, const jargs *a, jval *out)
{
    jcycler *c;
    if (a->n_named) return j_fail(r, "cycler takes no keyword arguments");
    if (a->n == 0) return j_fail(r, "a cycler needs at least one item");
    TRY(j_take(r, 1, sizeof *c, &c));
    c->items = (jlist){.v = a->v, .n = a->n};
    *out = (jval){.kind = J_CYCLER, .cycler = c};
    return KVASIR_OK;
}

static kvasir_status call_joiner(jrun *r, jval self, const jargs *a, jval *out)
{
    jjoiner *j;
    TRY(j_take(r, 1, sizeof *j, &j));
    j->separator = a->v[0];
    if (a->v[0].kind == J_MISSING) TRY(j_text(r, ", ", &j->separator));
    *out = (jval){.kind = J_JOINER, .joiner = j};
    return KVASIR_OK;
}

static kvasir_status call_raise(jrun *r, jval self, const jargs *a, jval *out)
{
    jval text;
    size_t mark = j_mark(r);
    TRY(j_emit_str(r, a->v[0]));
    TRY(j_emit(r, "", 1));
    TRY(j_cut(r, mark, &text));
    return fail(KVASIR_E_TEMPLATE, "%s", text.s->s);
}

static const jfunction globals[] = {
    {"range", call_range, 1, "_ _ _"},        {"dict", call_dict, 0, NULL},
    {"namespace", call_namespace, 0, NULL},   {"cycler", call_cycler, 0, NULL},
    {"joiner", call_joiner, 0, "sep"},        {"raise_exception", call_raise, 1, "message"},
    {"strftime_now", j_strftime, 1, "format"}};

jval j_global(const jstr *name)
{
    const jfunction *f = j_find(globals, sizeof globals / sizeof *globals, name);
    return f ? (jval){.kind = J_FUNCTION, .function = f} : (jval){.kind = J_MISSING};
}

/* ---- the loop object ---------------------------------------------------------------------------------- */

kvasir_status j_loop_peek(jrun *r, jloop *loop)
{
    return loop->after.kind == J_MISSING ? j_iter_next(r, loop->iter, &loop->after) : KVASIR_OK;
}

/* loop.length. Where the iterable has no length, the rest of it is read to find out. */
static kvasir_status loop_length(jrun *r, jloop *loop, jint *out)
{
    size_t n;
    if (loop->length < 0) {
        if (j_length(loop->iterable, &n)) {
            loop->length = (jint)n;
        } else {
            jlist *rest;
            TRY(j_to_list(r, (jval){.kind = J_ITER, .iter = loop->iter}, &rest));
            TRY(j_iterate(r, (jval){.kind = J_LIST, .list = rest}, &loop->iter));
            loop->length = (jint)rest->n + loop->index0 + 1 + (loop->after.kind != J_MISSING);
        }
    }
    *out = loop->length;
    return KVASIR_OK;
}

static kvasir_status loop_cycle(jrun *r, jval self, const jargs *a, jval *out)
{
    if (a->n_named) return j_fail(r, "cycle takes no keyword arguments");
    if (a->n == 0) return j_fail(r, "cycle needs items");
    *out = a->v[self.loop->index0 % (jint)a->n];
    return KVASIR_OK;
}

static kvasir_status loop_changed(jrun *r, jval self, const jargs *a, jval *out)
{
    jval now;
    bool same = false;
    if (a->n_named) return j_fail(r, "changed takes no keyword arguments");
    TRY(j_new_list(r, J_TUPLE, a->n, &now));
    if (a->n) memcpy(now.list->v, a->v, a->n * sizeof(jval));
    if (self.loop->changed.kind != J_MISSING) TRY(j_equal(r, self.loop->changed, now, &same));
    self.loop->changed = now;
    *out = j_bool(!same);
    return KVASIR_OK;
}

static const jfunction loop_methods[] = {{"cycle", loop_cycle, 0, NULL}, {"changed", loop_changed, 0, NULL}};

kvasir_status j_loop_attribute(jrun *r, jloop *loop, const jstr *name, jval *out)
{
    jint length = 0;
    *out = (jval){.kind = J_MISSING};
    if (j_is(name, "index")) *out = j_int(loop->index0 + 1);
    if (j_is(name, "index0")) *out = j_int(loop->index0);
    if (j_is(name, "first")) *out = j_bool(loop->index0 == 0);
    if (j_is(name, "depth")) *out = j_int(loop->depth0 + 1);
    if (j_is(name, "depth0")) *out = j_int(loop->depth0);
    if (j_is(name, "length") || j_is(name, "revindex") || j_is(name, "revindex0")) {
        TRY(loop_length(r, loop, &length));
        *out = j_int(j_is(name, "length") ? length : length - loop->index0 - j_is(name, "revindex0"));
    }
    if (j_is(name, "last")) {
        TRY(j_loop_peek(r, loop));
        *out = j_bool(loop->after.kind == J_MISSING);
    }
    if (j_is(name, "previtem")) {
        if (loop->index0 == 0) return j_new_undefined(r, "there is no previous item", NULL, j_none(), out);
        *out = loop->before;
    }
    if (j_is(name, "nextitem")) {
        TRY(j_loop_peek(r, loop));
        if (loop->after.kind == J_MISSING) return j_new_undefined(r, "there is no next item", NULL, j_none(), out);
        *out = loop->after;
    }
    return KVASIR_OK;
}

/* ---- attributes --------------------------------------------------------------------------------------- */

static kvasir_status bind(jrun *r, jval self, const jfunction *method, jval *out)
{
    jbound *b;
    TRY(j_take(r, 1, sizeof *b, &b));
    *b = (jbound){self, method};
    *out = (jval){.kind = J_METHOD, .bound = b};
    return KVASIR_OK;
}

static kvasir_status macro_attribute(jrun *r, const jmacro *m, const jstr *name, jval *out)
{
    const jblock *b = m->node->block;
    if (j_is(name, "name")) *out = m->name ? j_str(m->name) : j_none();
    if (j_is(name, "catch_kwargs")) *out = j_bool(b->takes_kwargs);
    if (j_is(name, "catch_varargs")) *out = j_bool(b->takes_varargs);
    if (j_is(name, "caller")) *out = j_bool(b->takes_caller);
    if (j_is(name, "explicit_caller")) *out = j_bool(b->explicit_caller);
    if (!j_is(name, "arguments")) return KVASIR_OK;
    TRY(j_new_list(r, J_TUPLE, b->n_params, out));
    for (size_t i = 0; i < b->n_params; i++) out->list->v[i] = j_str(b->params[i]->name);
    return KVASIR_OK;
}

static void number_attribute(jval v, const jstr *name, jval *out)
{
    jval plain = v.kind == J_BOOL ? j_int(v.b) : v;
    if (j_is(name, "real")) *out = plain;
    if (j_is(name, "imag")) *out = v.kind == J_FLOAT ? j_float(0) : j_int(0);
    if (v.kind != J_FLOAT && j_is(name, "numerator")) *out = plain;
    if (v.kind != J_FLOAT && j_is(name, "denominator")) *out = j_int(1);
}

static void other_attribute(jval v, const jstr *name, jval *out)
{
    if (v.kind == J_RANGE) {
        if (j_is(name, "start")) *out = j_int(v.range->start);
        if (j_is(name, "stop")) *out = j_int(v.range->stop);
        if (j_is(name, "step")) *out = j_int(v.range->step);
    }
    if (v.kind == J_CYCLER) {
        if (j_is(name, "current")) *out = v.cycler->items.v[v.cycler->pos];
        if (j_is(name, "pos")) *out = j_int((jint)v.cycler->pos);
        if (j_is(name, "items")) *out = (jval){.kind = J_TUPLE, .list = &v.cycler->items};
    }
    if (v.kind == J_JOINER) {
        if (j_is(name, "sep")) *out = v.joiner->separator;
        if (j_is(name, "used")) *out = j_bool(v.joiner->used);
    }
    if (v.kind == J_TUPLE && v.list->group) {
        if (j_is(name, "grouper")) *out = v.list->v[0];
        if (j_is(name, "list")) *out = v.list->v[1];
    }
}

kvasir_status j_attribute(jrun *r, jval v, const jstr *name, jval *out)
{
    const jfunction *method = NULL;
    *out = (jval){.kind = J_MISSING};
    if (v.kind == J_NAMESPACE) return j_dict_get_text(r, v.dict, name, out);
    if (v.kind == J_MACRO) return macro_attribute(r, v.macro, name, out);
    if (v.kind == J_LOOP) {
        method = j_find(loop_methods, 2, name);
        return method ? bind(r, v, method, out) : j_loop_attribute(r, v.loop, name, out);
    }
    if (j_is_number(v))
        number_attribute(v, name, out);
    else
        other_attribute(v, name, out);
    if (out->kind != J_MISSING) return KVASIR_OK;
    method = v.kind == J_STRING ? j_find_str_method(name) : j_find_method(v.kind, name);
    return method ? bind(r, v, method, out) : KVASIR_OK;
}

/* ---- calls -------------------------------------------------------------------------------------------- */

static kvasir_status call_method(jrun *r, const jbound *b, const jargs *a, jval *out)
{
    TRY(j_call_builtin(r, b->method, b->self, a, out));
    bool markup = b->self.kind == J_STRING && b->self.s->markup;
    if (markup && out->kind == J_STRING && out->s != b->self.s) j_set_markup(*out);
    return KVASIR_OK;
}

static kvasir_status call(jrun *r, jval f, const jargs *a, jval *out)
{
    switch (f.kind) {
    case J_UNDEFINED:
        return j_use_undefined(r, f);
    case J_FUNCTION:
        return j_call_builtin(r, f.function, j_none(), a, out);
    case J_METHOD:
        return call_method(r, f.bound, a, out);
    case J_MACRO:
        return j_call_macro(r, f.macro, a, out);
    case J_LOOP:
        return j_call_loop(r, f.loop, a, out);
    case J_JOINER:
        if (a->n + a->n_named) return j_fail(r, "a joiner takes no arguments");
        if (f.joiner->used)
            *out = f.joiner->separator;
        else
            TRY(j_text(r, "", out));
        f.joiner->used = true;
        return KVASIR_OK;
    default:
        return j_fail(r, "'%s' object is not callable", j_type_name(f));
    }
}

kvasir_status j_call(jrun *r, jval f, const jargs *a, jval *out)
{
    TRY(j_step(r, 1));
    TRY(j_down(r));
    kvasir_status status = call(r, f, a, out);
    j_up(r);
    return status;
}
