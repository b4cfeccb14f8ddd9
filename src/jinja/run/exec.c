/* Statements: output, scopes, loops, macros. */
#include "jinja/run/run.h"

#include <string.h>

kvasir_status j_enter_scope(jrun *r, const jscope *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const jload *load = &s->loads[i];
        jval v = {.kind = J_MISSING};
        if (load->kind == LOAD_ALIAS) v = *j_slot(r, load->from);
        if (load->kind == LOAD_RESOLVE) {
            TRY(j_dict_get_text(r, r->context, load->name, &v));
            if (v.kind == J_MISSING) v = j_global(load->name);
        }
        r->env->slots[load->slot] = v;
    }
    return KVASIR_OK;
}

/* ---- variables ---------------------------------------------------------------------------------------- */

static kvasir_status assign_items(jrun *r, const jnode *target, jval v)
{
    jlist *list;
    TRY(j_to_list(r, v, &list));
    if (list->n != target->n) return j_fail(r, "%zu values cannot be assigned to %zu names", list->n, target->n);
    for (size_t i = 0; i < list->n; i++) TRY(j_assign(r, target->items[i], list->v[i]));
    return KVASIR_OK;
}

kvasir_status j_assign(jrun *r, const jnode *target, jval v)
{
    if (target->type == N_TUPLE) return assign_items(r, target, v);
    jval *slot = j_slot(r, target->ref);
    if (target->type == N_NAME) {
        *slot = v;
        return KVASIR_OK;
    }
    if (slot->kind != J_NAMESPACE) return j_fail(r, "cannot assign attribute on non-namespace object");
    return j_dict_put(r, slot->dict, target->value, v);
}

static kvasir_status exec_set(jrun *r, const jnode *node)
{
    jval v;
    TRY(j_eval(r, node->b, &v));
    return j_assign(r, node->a, v);
}

/* The text of a body, as a value. There is none after break or continue. */
static kvasir_status capture(jrun *r, const jnode *body, jval *out)
{
    size_t mark = j_mark(r);
    TRY(j_exec(r, body));
    return j_cut(r, mark, out);
}

/* The result of a block's filter or of a call block's macro is written unescaped, so it has to be text. */
static kvasir_status emit_result(jrun *r, jval v)
{
    if (v.kind != J_STRING) return j_fail(r, "a block has to give text, not %s", j_type_name(v));
    return j_emit(r, v.s->s, v.s->n);
}

static kvasir_status exec_captured(jrun *r, const jnode *node)
{
    jval text;
    TRY(j_enter_scope(r, &node->block->scope));
    TRY(capture(r, node->block->body, &text));
    if (r->flow != FLOW_ON) return KVASIR_OK;
    if (node->b) TRY(j_eval_filter(r, node->b, text, &text));
    return node->type == N_SET_BLOCK ? j_assign(r, node->a, text) : emit_result(r, text);
}

static kvasir_status exec_with(jrun *r, const jnode *node)
{
    TRY(j_enter_scope(r, &node->block->scope));
    for (size_t i = 0; i < node->n; i += 2) {
        jval v;
        TRY(j_eval(r, node->items[i + 1], &v));
        TRY(j_assign(r, node->items[i], v));
    }
    return j_exec(r, node->block->body);
}

static kvasir_status exec_if(jrun *r, const jnode *node)
{
    for (size_t i = 0; i + 1 < node->n; i += 2) {
        jval test;
        TRY(j_eval(r, node->items[i], &test));
        if (j_truth(test)) return j_exec(r, node->items[i + 1]);
    }
    return node->b ? j_exec(r, node->b) : KVASIR_OK;
}

/* ---- functions' variables ----------------------------------------------------------------------------- */

static kvasir_status new_activation(jrun *r, const jfunc *f, jactivation *up, jactivation **out)
{
    *out = r->spare[f->id];
    if (*out) {
        r->spare[f->id] = (*out)->up;
        memset((*out)->slots, 0, f->slots * sizeof(jval));
    } else {
        TRY(j_take(r, 1, sizeof **out, out));
        TRY(j_take(r, f->slots, sizeof(jval), &(*out)->slots));
    }
    (*out)->up = up;
    return KVASIR_OK;
}

/* After a call: if nothing can refer to its variables any more, their memory is kept for the next call. */
static void drop_activation(jrun *r, const jfunc *f, jactivation *env)
{
    if (f->keeps) return;
    env->up = r->spare[f->id];
    r->spare[f->id] = env;
}

/* ---- loops -------------------------------------------------------------------------------------------- */

typedef struct filtered {
    const jnode *node;
    jactivation *env;
} filtered;

/* The items of a `for ... if`, each tested only when the loop reaches it. */
static kvasir_status next_filtered(jrun *r, jiter *it, jval *out)
{
    const filtered *f = it->state;
    jactivation *env = r->env;
    for (;;) {
        jval test;
        TRY(j_iter_next(r, it->inner, out));
        if (out->kind == J_MISSING) return KVASIR_OK;
        r->env = f->env;
        TRY(j_enter_scope(r, &f->node->block->test_scope));
        TRY(j_assign(r, f->node->block->test_target, *out));
        TRY(j_eval(r, f->node->c, &test));
        r->env = env;
        if (j_truth(test)) return KVASIR_OK;
    }
}

static kvasir_status filter_items(jrun *r, const jnode *node, jval *iterable)
{
    filtered *f;
    jiter *it;
    TRY(j_take(r, 1, sizeof *f, &f));
    *f = (filtered){node, r->env};
    TRY(j_new_iter(r, "generator", next_filtered, *iterable, &it));
    TRY(j_iterate(r, *iterable, &it->inner));
    it->state = f;
    *iterable = (jval){.kind = J_ITER, .iter = it};
    return KVASIR_OK;
}

static kvasir_status next_round(jrun *r, jloop *loop)
{
    jval next = loop->after;
    loop->after = (jval){.kind = J_MISSING};
    if (next.kind == J_MISSING) TRY(j_iter_next(r, loop->iter, &next));
    if (next.kind != J_MISSING) {
        loop->index0++;
        loop->before = loop->current;
    }
    loop->current = next;
    return KVASIR_OK;
}

static kvasir_status run_rounds(jrun *r, jloop *loop, bool *any)
{
    const jnode *node = loop->node;
    const jblock *b = node->block;
    for (;;) {
        TRY(j_step(r, 1));
        TRY(next_round(r, loop));
        if (loop->current.kind == J_MISSING) return KVASIR_OK;
        TRY(j_assign(r, node->a, loop->current));
        *j_slot(r, b->loop) = (jval){.kind = J_LOOP, .loop = loop};
        TRY(j_enter_scope(r, &b->scope));
        TRY(j_exec(r, b->body));
        jflow flow = r->flow;
        r->flow = FLOW_ON;
        if (flow == FLOW_BREAK) return KVASIR_OK;
        if (flow == FLOW_ON) *any = true; /* as in Jinja, a round that `continue` ended does not count */
    }
}

static kvasir_status run_loop(jrun *r, const jnode *node, jval iterable, jint depth, jactivation *env)
{
    jloop *loop;
    bool any = false;
    if (node->c) TRY(filter_items(r, node, &iterable));
    TRY(j_take(r, 1, sizeof *loop, &loop));
    *loop = (jloop){.iterable = iterable, .length = -1, .index0 = -1, .depth0 = depth, .node = node, .env = env};
    TRY(j_iterate(r, iterable, &loop->iter));
    TRY(run_rounds(r, loop, &any));
    if (any || !node->block->otherwise) return KVASIR_OK;
    TRY(j_enter_scope(r, &node->block->else_scope));
    return j_exec(r, node->block->otherwise);
}

/* A recursive loop is a function. Each call has variables of its own; the variables around them are those of the place
   where the loop stands. */
static kvasir_status run_recursive(jrun *r, const jnode *node, jval iterable, jint depth, jactivation *up)
{
    jactivation *env = r->env;
    TRY(new_activation(r, node->block->func, up, &r->env));
    TRY(run_loop(r, node, iterable, depth, up));
    r->env = env;
    return KVASIR_OK;
}

static kvasir_status exec_for(jrun *r, const jnode *node)
{
    jval iterable;
    TRY(j_eval(r, node->b, &iterable));
    if (node->block->recursive) return run_recursive(r, node, iterable, 0, r->env);
    return run_loop(r, node, iterable, 0, r->env);
}

kvasir_status j_call_loop(jrun *r, jloop *loop, const jargs *a, jval *out)
{
    size_t mark = j_mark(r);
    if (!loop->node->block->recursive) return j_fail(r, "only a loop marked 'recursive' can be called");
    if (a->n != 1 || a->n_named) return j_fail(r, "a recursive loop is called with one iterable");
    TRY(run_recursive(r, loop->node, a->v[0], loop->depth0 + 1, loop->env));
    return j_cut(r, mark, out);
}

/* ---- macros ------------------------------------------------------------------------------------------- */

static kvasir_status new_macro(jrun *r, const jnode *node, jval *out)
{
    jmacro *m;
    TRY(j_take(r, 1, sizeof *m, &m));
    *m = (jmacro){.node = node, .up = r->env, .name = node->name};
    *out = (jval){.kind = J_MACRO, .macro = m};
    return KVASIR_OK;
}

static kvasir_status exec_macro(jrun *r, const jnode *node)
{
    return new_macro(r, node, j_slot(r, node->ref));
}

static bool is_caller(const jstr *name)
{
    return j_is(name, "caller");
}

/* Arguments whose names are no parameters: they become the macro's **kwargs, if it has them. */
static kvasir_status bind_kwargs(jrun *r, const jmacro *m, const jargs *a, const bool *used, jactivation *env)
{
    const jblock *b = m->node->block;
    jdict *d;
    TRY(j_new_dict(r, 0, &d));
    for (size_t i = 0; i < a->n_named; i++) {
        if (used[i]) continue;
        if (!b->takes_kwargs) {
            if (is_caller(a->names[i])) return j_fail(r, "the macro has no use for a caller");
            return j_fail(r, "the macro takes no keyword argument %s", quoted(a->names[i]->s, a->names[i]->n));
        }
        TRY(j_dict_put(r, d, j_str(a->names[i]), a->named[i]));
    }
    if (b->takes_kwargs) env->slots[b->kwargs.slot] = (jval){.kind = J_DICT, .dict = d};
    return KVASIR_OK;
}

static kvasir_status bind_varargs(jrun *r, const jblock *b, const jargs *a, jactivation *env)
{
    size_t more = a->n > b->n_params ? a->n - b->n_params : 0;
    if (!b->takes_varargs)
        return more ? j_fail(r, "the macro takes not more than %zu arguments", b->n_params) : KVASIR_OK;
    jval *slot = &env->slots[b->varargs.slot];
    TRY(j_new_list(r, J_TUPLE, more, slot));
    if (more) memcpy(slot->list->v, a->v + b->n_params, more * sizeof(jval));
    return KVASIR_OK;
}

static kvasir_status bind_args(jrun *r, const jmacro *m, const jargs *a, jactivation *env)
{
    const jblock *b = m->node->block;
    bool *used, found_caller = b->n_params <= a->n && b->explicit_caller;
    TRY(j_take(r, a->n_named, sizeof *used, &used));
    for (size_t i = 0; i < b->n_params; i++) {
        jval *slot = &env->slots[b->params[i]->ref.slot];
        if (i < a->n) {
            *slot = a->v[i];
            continue;
        }
        found_caller |= is_caller(b->params[i]->name);
        for (size_t k = 0; k < a->n_named; k++) {
            if (used[k] || !j_same(j_str(a->names[k]), j_str(b->params[i]->name))) continue;
            *slot = a->named[k];
            used[k] = true;
        }
    }
    if (b->takes_caller && !found_caller) {
        jval *slot = &env->slots[b->caller.slot];
        for (size_t k = 0; k < a->n_named; k++) {
            if (used[k] || !is_caller(a->names[k])) continue;
            *slot = a->named[k];
            used[k] = true;
        }
        if (slot->kind == J_MISSING || slot->kind == J_NONE)
            TRY(j_new_undefined(r, "No caller defined", NULL, j_none(), slot));
    }
    TRY(bind_kwargs(r, m, a, used, env));
    return bind_varargs(r, b, a, env);
}

/* A parameter without an argument gets its default, which is evaluated now, or is undefined. */
static kvasir_status fill_defaults(jrun *r, const jblock *b)
{
    for (size_t i = 0; i < b->n_params; i++) {
        jval v;
        const jnode *param = b->params[i];
        if (j_slot(r, param->ref)->kind != J_MISSING) continue;
        size_t without = b->n_params - b->n_defaults;
        if (i < without)
            TRY(j_new_undefined(r, "a parameter of the macro was not provided", NULL, j_str(param->name), &v));
        else
            TRY(j_eval(r, b->defaults[i - without], &v));
        *j_slot(r, param->ref) = v;
    }
    return KVASIR_OK;
}

kvasir_status j_call_macro(jrun *r, const jmacro *m, const jargs *a, jval *out)
{
    const jblock *b = m->node->block;
    jactivation *env = r->env, *own;
    size_t mark = j_mark(r);
    TRY(new_activation(r, b->func, m->up, &own));
    TRY(bind_args(r, m, a, own));
    r->env = own;
    TRY(j_enter_scope(r, &b->scope));
    TRY(fill_defaults(r, b));
    TRY(j_exec(r, b->body));
    r->env = env;
    drop_activation(r, b->func, own);
    return j_cut(r, mark, out);
}

static kvasir_status exec_call_block(jrun *r, const jnode *node)
{
    static const jstr caller = {.s = "caller", .n = 6, .chars = 6};
    jval macro, f, text;
    jargs args;
    TRY(new_macro(r, node, &macro));
    if (!node->a) { /* the generation tag */
        TRY(j_call(r, macro, &(jargs){0}, &text));
        return j_emit_str(r, text);
    }
    TRY(j_eval(r, node->a->a, &f));
    TRY(j_eval_args(r, node->a->args, &args));
    const jstr **names;
    jval *named;
    size_t n = args.n_named;
    TRY(j_take(r, n + 1, sizeof *names, &names));
    TRY(j_take(r, n + 1, sizeof *named, &named));
    for (size_t i = 0; i < n; i++) {
        if (is_caller(args.names[i])) return j_fail(r, "a call block's caller is given twice");
        names[i] = args.names[i];
        named[i] = args.named[i];
    }
    names[n] = &caller;
    named[n] = macro;
    TRY(j_call(r, f, &(jargs){args.v, args.n, names, named, n + 1}, &text));
    return emit_result(r, text);
}

/* ---- all of them -------------------------------------------------------------------------------------- */

static kvasir_status exec_print(jrun *r, const jnode *node)
{
    jval v;
    TRY(j_eval(r, node->a, &v));
    return j_emit_str(r, v);
}

static kvasir_status exec_block(jrun *r, const jnode *node)
{
    for (size_t i = 0; i < node->n && r->flow == FLOW_ON; i++) TRY(j_exec(r, node->items[i]));
    return KVASIR_OK;
}

static kvasir_status exec(jrun *r, const jnode *node)
{
    switch (node->type) {
    case N_BLOCK:
        return exec_block(r, node);
    case N_DATA:
        return j_emit(r, node->value.s->s, node->value.s->n);
    case N_PRINT:
        return exec_print(r, node);
    case N_IF:
        return exec_if(r, node);
    case N_FOR:
        return exec_for(r, node);
    case N_SET:
        return exec_set(r, node);
    case N_SET_BLOCK:
    case N_FILTER_BLOCK:
        return exec_captured(r, node);
    case N_WITH:
        return exec_with(r, node);
    case N_MACRO:
        return exec_macro(r, node);
    case N_CALL_BLOCK:
        return exec_call_block(r, node);
    case N_BREAK:
        r->flow = FLOW_BREAK;
        return KVASIR_OK;
    case N_CONTINUE:
        r->flow = FLOW_CONTINUE;
        return KVASIR_OK;
    default:
        return fail(KVASIR_E_INTERNAL, "a chat template has an expression where a statement is wanted");
    }
}

kvasir_status j_exec(jrun *r, const jnode *node)
{
    TRY(j_step(r, 1));
    TRY(j_nest(r));
    r->line = node->line;
    kvasir_status status = exec(r, node);
    r->nodes--;
    return status;
}
