/* Expressions. */
#include "jinja/run/run.h"

#include <string.h>

static kvasir_status eval_name(jrun *r, const jnode *node, jval *out)
{
    *out = *j_slot(r, node->ref);
    return out->kind == J_MISSING ? j_undefined_name(r, node->name, out) : KVASIR_OK;
}

static kvasir_status eval_items(jrun *r, const jnode *node, jkind kind, jval *out)
{
    TRY(j_new_list(r, kind, node->n, out));
    for (size_t i = 0; i < node->n; i++) TRY(j_eval(r, node->items[i], &out->list->v[i]));
    return KVASIR_OK;
}

static kvasir_status eval_dict(jrun *r, const jnode *node, jval *out)
{
    jdict *d;
    TRY(j_new_dict(r, node->n / 2, &d));
    for (size_t i = 0; i + 1 < node->n; i += 2) {
        jval key, value;
        TRY(j_eval(r, node->items[i], &key));
        TRY(j_eval(r, node->items[i + 1], &value));
        TRY(j_dict_put(r, d, key, value));
    }
    *out = (jval){.kind = J_DICT, .dict = d};
    return KVASIR_OK;
}

static kvasir_status eval_binary(jrun *r, const jnode *node, jval *out)
{
    jval a, b;
    TRY(j_eval(r, node->a, &a));
    TRY(j_eval(r, node->b, &b));
    return j_binary(r, node->type, a, b, out);
}

/* and, or: the result is the value that decides, not its truth. */
static kvasir_status eval_logic(jrun *r, const jnode *node, jval *out)
{
    TRY(j_eval(r, node->a, out));
    return j_truth(*out) == (node->type == N_AND) ? j_eval(r, node->b, out) : KVASIR_OK;
}

static kvasir_status eval_concat(jrun *r, const jnode *node, jval *out)
{
    size_t mark = j_mark(r);
    jval *parts;
    TRY(j_take(r, node->n, sizeof *parts, &parts));
    for (size_t i = 0; i < node->n; i++) TRY(j_eval(r, node->items[i], &parts[i]));
    for (size_t i = 0; i < node->n; i++) TRY(j_emit_str(r, parts[i]));
    return j_cut(r, mark, out);
}

/* a < b < c compares both pairs; b is evaluated once, and the first comparison that fails ends it. */
static kvasir_status eval_compare(jrun *r, const jnode *node, jval *out)
{
    jval left, right;
    bool is = true;
    TRY(j_eval(r, node->items[0], &left));
    for (size_t i = 1; is && i < node->n; i++) {
        TRY(j_eval(r, node->items[i], &right));
        TRY(j_compare(r, node->ops[i - 1], left, right, &is));
        left = right;
    }
    *out = j_bool(is);
    return KVASIR_OK;
}

static kvasir_status eval_cond(jrun *r, const jnode *node, jval *out)
{
    jval test;
    TRY(j_eval(r, node->a, &test));
    if (j_truth(test)) return j_eval(r, node->b, out);
    if (node->c) return j_eval(r, node->c, out);
    return j_new_undefined(r, "the inline if-expression evaluated to false and no else section was defined", NULL,
                           j_none(), out);
}

static kvasir_status eval_item(jrun *r, const jnode *node, jval *out)
{
    jval v, key, part[3] = {{.kind = J_MISSING}};
    const jnode *s = node->b, *const of[3] = {s->a, s->b, s->c};
    TRY(j_eval(r, node->a, &v));
    if (s->type != N_SLICE) {
        TRY(j_eval(r, s, &key));
        return j_get_item(r, v, key, out);
    }
    for (int i = 0; i < 3; i++)
        if (of[i]) TRY(j_eval(r, of[i], &part[i]));
    return j_slice(r, v, part[0], part[1], part[2], out);
}

/* ---- calls -------------------------------------------------------------------------------------------- */

static kvasir_status add_rest(jrun *r, const jnode *rest, jargs *out)
{
    jval v;
    jlist *list;
    TRY(j_eval(r, rest, &v));
    TRY(j_to_list(r, v, &list));
    jval *all;
    TRY(j_take(r, out->n + list->n, sizeof *all, &all));
    if (out->n) memcpy(all, out->v, out->n * sizeof *all);
    if (list->n) memcpy(all + out->n, list->v, list->n * sizeof *all);
    out->v = all;
    out->n += list->n;
    return KVASIR_OK;
}

static kvasir_status add_named_rest(jrun *r, const jnode *rest, jargs *out)
{
    jval v;
    TRY(j_eval(r, rest, &v));
    if (v.kind != J_DICT) return j_fail(r, "the value after ** must be a mapping, not %s", j_type_name(v));
    size_t more = j_dict_size(v.dict), n = out->n_named;
    const jstr **names;
    jval *named;
    TRY(j_take(r, n + more, sizeof *names, &names));
    TRY(j_take(r, n + more, sizeof *named, &named));
    if (n) memcpy(names, out->names, n * sizeof *names);
    if (n) memcpy(named, out->named, n * sizeof *named);
    for (size_t i = 0; i < more; i++) {
        TRY(j_arg_text(r, j_dict_key(v.dict, i), &names[n + i]));
        for (size_t k = 0; k < n; k++)
            if (j_same(j_str(names[k]), j_str(names[n + i]))) return j_fail(r, "a keyword argument is given twice");
        named[n + i] = j_dict_value(v.dict, i);
    }
    *out = (jargs){out->v, out->n, names, named, n + more};
    return KVASIR_OK;
}

kvasir_status j_eval_args(jrun *r, const jnode_args *from, jargs *out)
{
    *out = (jargs){0};
    if (!from) return KVASIR_OK;
    TRY(j_take(r, from->n, sizeof *out->v, &out->v));
    TRY(j_take(r, from->n_named, sizeof *out->named, &out->named));
    out->n = from->n;
    out->names = from->names;
    out->n_named = from->n_named;
    for (size_t i = 0; i < from->n; i++) TRY(j_eval(r, from->v[i], &out->v[i]));
    for (size_t i = 0; i < from->n_named; i++) TRY(j_eval(r, from->named[i], &out->named[i]));
    if (from->rest) TRY(add_rest(r, from->rest, out));
    return from->named_rest ? add_named_rest(r, from->named_rest, out) : KVASIR_OK;
}

static kvasir_status eval_call(jrun *r, const jnode *node, jval *out)
{
    jval f;
    jargs args;
    TRY(j_eval(r, node->a, &f));
    TRY(j_eval_args(r, node->args, &args));
    r->line = node->line;
    return j_call(r, f, &args, out);
}

kvasir_status j_eval_filter(jrun *r, const jnode *node, jval text, jval *out)
{
    jval v = text;
    jargs args;
    if (node->a && node->a->type == N_FILTER)
        TRY(j_eval_filter(r, node->a, text, &v));
    else if (node->a)
        TRY(j_eval(r, node->a, &v));
    r->line = node->line;
    if (!node->builtin) return j_fail(r, "there is no filter named %s", quoted(node->name->s, node->name->n));
    TRY(j_eval_args(r, node->args, &args));
    TRY(j_step(r, 1));
    return j_call_builtin(r, node->builtin, v, &args, out);
}

static kvasir_status eval_test(jrun *r, const jnode *node, jval *out)
{
    jval v;
    jargs args;
    bool is;
    TRY(j_eval(r, node->a, &v));
    if (!node->builtin) return j_fail(r, "there is no test named %s", quoted(node->name->s, node->name->n));
    TRY(j_eval_args(r, node->args, &args));
    TRY(j_run_test(r, node->builtin, v, &args, &is));
    *out = j_bool(is);
    return KVASIR_OK;
}

/* ---- all of them -------------------------------------------------------------------------------------- */

static kvasir_status eval_unary(jrun *r, const jnode *node, jval *out)
{
    jval v;
    TRY(j_eval(r, node->a, &v));
    if (node->type == N_ATTR) return j_get_attr(r, v, node->name, out);
    if (node->type != N_NOT) return j_negate(r, node->type == N_NEG, v, out);
    *out = j_bool(!j_truth(v));
    return KVASIR_OK;
}

static kvasir_status eval(jrun *r, const jnode *node, jval *out)
{
    switch (node->type) {
    case N_CONST:
        *out = node->value;
        return KVASIR_OK;
    case N_NAME:
        return eval_name(r, node, out);
    case N_TUPLE:
        return eval_items(r, node, J_TUPLE, out);
    case N_LIST:
        return eval_items(r, node, J_LIST, out);
    case N_DICT:
        return eval_dict(r, node, out);
    case N_NEG:
    case N_POS:
    case N_NOT:
    case N_ATTR:
        return eval_unary(r, node, out);
    case N_AND:
    case N_OR:
        return eval_logic(r, node, out);
    case N_CONCAT:
        return eval_concat(r, node, out);
    case N_COMPARE:
        return eval_compare(r, node, out);
    case N_COND:
        return eval_cond(r, node, out);
    case N_ITEM:
        return eval_item(r, node, out);
    case N_CALL:
        return eval_call(r, node, out);
    case N_FILTER:
        return j_eval_filter(r, node, (jval){.kind = J_MISSING}, out);
    case N_TEST:
        return eval_test(r, node, out);
    default:
        return eval_binary(r, node, out);
    }
}

kvasir_status j_eval(jrun *r, const jnode *node, jval *out)
{
    TRY(j_step(r, 1));
    TRY(j_nest(r));
    r->line = node->line;
    kvasir_status status = eval(r, node, out);
    r->nodes--;
    return status;
}
