/* Where names live. Jinja compiles a template to Python, and its names to Python's local variables. Which variable a
   name is, and whether it starts as the outer one, as the context's or as nothing, is decided by looking at a whole
   scope before it runs. The rules are those of jinja2's idtracking.py:
   - A scope is the template, or the body of a loop, of a macro, of with, set, filter or call. `if` has none.
   - A name that is read in a scope is the innermost variable outside that exists. If there is none, the scope gets one
     that starts with what the context has.
   - A name that is written in a scope is a variable of that scope. It starts as a copy of the one outside. If there is
     none outside, it starts with nothing; but with what the context has if it was read before, or is not written in
     every branch of an `if`.
   The branches of an `if` are looked at one by one from the same state, and then merged. */
#include "jinja/syntax/syntax.h"

#include <string.h>

typedef struct function {
    struct function *up;
    jfunc *f;
    uint32_t depth;
} function;

typedef enum start { START_RESOLVE, START_ALIAS, START_MISSING, START_PARAMETER } start;
typedef struct state {
    bool known, stored;
    start how;
} state;

typedef struct symbol {
    const jstr *name;
    struct scope *scope;
    struct symbol *next; /* of this scope */
    state s;
    uint32_t slot;
    /* while branches are merged: */
    bool was_stored;
    unsigned branches;
    size_t seen;
} symbol;

typedef struct scope {
    struct scope *up;
    function *fn;
    symbol *first, *last;
} scope;

typedef struct change {
    symbol *of;
    state before;
} change;

typedef struct branch {
    change *v; /* `before` holds what the branch made of it */
    size_t n;
} branch;

typedef struct pass {
    jparser *p;
    jinja *j;
    arena mem; /* for the time of the pass */
    symbol **table;
    size_t n, room;
    change *log;
    size_t n_log, room_log;
    size_t serial;
} pass;

/* ---- symbols ------------------------------------------------------------------------------------------ */

static size_t hash_of(const scope *s, const jstr *name)
{
    uint64_t h = ((uint64_t)(uintptr_t)s >> 4) * 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)name >> 4;
    h *= 0xff51afd7ed558ccdu;
    return (size_t)(h ^ h >> 32);
}

static symbol *lookup(const pass *t, const scope *s, const jstr *name)
{
    if (t->room == 0) return NULL;
    for (size_t at = hash_of(s, name);; at++) {
        symbol *found = t->table[at & (t->room - 1)];
        if (!found || (found->scope == s && found->name == name)) return found;
    }
}

static kvasir_status grow(pass *t)
{
    size_t old_room = t->room;
    symbol **old = t->table;
    t->room = old_room ? old_room * 2 : 128;
    t->table = arena_alloc(&t->mem, t->room, sizeof *t->table);
    if (!t->table) return fail_memory(t->room * sizeof *t->table);
    for (size_t i = 0; i < old_room; i++) {
        if (!old[i]) continue;
        size_t at = hash_of(old[i]->scope, old[i]->name);
        while (t->table[at & (t->room - 1)]) at++;
        t->table[at & (t->room - 1)] = old[i];
    }
    return KVASIR_OK;
}

static kvasir_status get(pass *t, scope *s, const jstr *name, symbol **out)
{
    *out = lookup(t, s, name);
    if (*out) return KVASIR_OK;
    if (t->n * 2 >= t->room) TRY(grow(t));
    symbol *made = *out = arena_alloc(&t->mem, 1, sizeof *made);
    if (!made) return fail_memory(sizeof *made);
    *made = (symbol){.name = name, .scope = s, .slot = s->fn->f->slots++};
    if (s->last)
        s->last->next = made;
    else
        s->first = made;
    s->last = made;
    size_t at = hash_of(s, name);
    while (t->table[at & (t->room - 1)]) at++;
    t->table[at & (t->room - 1)] = made;
    t->n++;
    return KVASIR_OK;
}

/* The innermost symbol of that name, in s or around it. */
static symbol *find(const pass *t, const scope *s, const jstr *name)
{
    for (; s; s = s->up) {
        symbol *found = lookup(t, s, name);
        if (found && found->s.known) return found;
    }
    return NULL;
}

static kvasir_status set_state(pass *t, symbol *of, state to)
{
    if (t->n_log == t->room_log) {
        size_t room = t->room_log ? t->room_log * 2 : 64;
        change *more = arena_alloc(&t->mem, room, sizeof *more);
        if (!more) return fail_memory(room * sizeof *more);
        if (t->n_log) memcpy(more, t->log, t->n_log * sizeof *more);
        t->log = more;
        t->room_log = room;
    }
    t->log[t->n_log++] = (change){of, of->s};
    of->s = to;
    return KVASIR_OK;
}

static kvasir_status note_load(pass *t, scope *s, const jstr *name)
{
    symbol *y;
    if (find(t, s, name)) return KVASIR_OK;
    TRY(get(t, s, name, &y));
    return set_state(t, y, (state){.known = true, .stored = y->s.stored, .how = START_RESOLVE});
}

static kvasir_status note_store(pass *t, scope *s, const jstr *name)
{
    symbol *y;
    TRY(get(t, s, name, &y));
    state to = {.known = true, .stored = true, .how = y->s.how};
    if (!y->s.known) to.how = s->up && find(t, s->up, name) ? START_ALIAS : START_MISSING;
    return set_state(t, y, to);
}

static kvasir_status note_parameter(pass *t, scope *s, const jstr *name)
{
    symbol *y;
    TRY(get(t, s, name, &y));
    return set_state(t, y, (state){.known = true, .stored = true, .how = START_PARAMETER});
}

/* ---- looking at a scope, not into those inside it ----------------------------------------------------- */

static kvasir_status look_expr(pass *t, scope *s, const jnode *node);
static kvasir_status look(pass *t, scope *s, const jnode *node);

static kvasir_status look_args(pass *t, scope *s, const jnode_args *a)
{
    if (!a) return KVASIR_OK;
    for (size_t i = 0; i < a->n; i++) TRY(look_expr(t, s, a->v[i]));
    for (size_t i = 0; i < a->n_named; i++) TRY(look_expr(t, s, a->named[i]));
    TRY(look_expr(t, s, a->rest));
    return look_expr(t, s, a->named_rest);
}

static kvasir_status look_expr(pass *t, scope *s, const jnode *node)
{
    if (!node) return KVASIR_OK;
    if (node->type == N_NAME) return note_load(t, s, node->name);
    TRY(look_expr(t, s, node->a));
    TRY(look_expr(t, s, node->b));
    TRY(look_expr(t, s, node->c));
    for (size_t i = 0; i < node->n; i++) TRY(look_expr(t, s, node->items[i]));
    return look_args(t, s, node->args);
}

static kvasir_status look_target(pass *t, scope *s, const jnode *node, bool parameter)
{
    if (node->type == N_NAME) return parameter ? note_parameter(t, s, node->name) : note_store(t, s, node->name);
    if (node->type == N_NAMESPACE_SET) return note_load(t, s, node->name);
    for (size_t i = 0; i < node->n; i++) TRY(look_target(t, s, node->items[i], parameter));
    return KVASIR_OK;
}

/* Ends a branch: moves what it changed since `mark` to *out, and undoes the changes. */
static kvasir_status end_branch(pass *t, size_t mark, branch *out)
{
    size_t changes = t->n_log - mark, serial = ++t->serial;
    out->n = 0;
    out->v = arena_alloc(&t->mem, changes, sizeof *out->v);
    if (!out->v) return fail_memory(changes * sizeof *out->v);
    for (size_t i = mark; i < t->n_log; i++) {
        symbol *y = t->log[i].of;
        if (y->seen == serial) continue;
        y->seen = serial;
        out->v[out->n++] = (change){y, y->s};
    }
    while (t->n_log > mark) {
        t->n_log--;
        t->log[t->n_log].of->s = t->log[t->n_log].before;
    }
    return KVASIR_OK;
}

static kvasir_status merge(pass *t, scope *s, const branch b[3])
{
    for (int k = 0; k < 3; k++) {
        for (size_t i = 0; i < b[k].n; i++) {
            symbol *y = b[k].v[i].of;
            y->was_stored = y->s.stored;
            y->branches = 0;
        }
    }
    for (int k = 0; k < 3; k++) {
        for (size_t i = 0; i < b[k].n; i++) {
            symbol *y = b[k].v[i].of;
            state after = b[k].v[i].before;
            y->branches += after.stored && !y->was_stored;
            after.stored |= y->s.stored;
            TRY(set_state(t, y, after));
        }
    }
    for (int k = 0; k < 3; k++) {
        for (size_t i = 0; i < b[k].n; i++) {
            symbol *y = b[k].v[i].of;
            if (y->branches == 0 || y->branches == 3) continue;
            state to = y->s;
            to.how = s->up && find(t, s->up, y->name) ? START_ALIAS : START_RESOLVE;
            TRY(set_state(t, y, to));
            y->branches = 0;
        }
    }
    return KVASIR_OK;
}

/* To Jinja all elifs together are the second branch, and each of them is an `if` of its own. */
static kvasir_status look_if(pass *t, scope *s, const jnode *node)
{
    branch whole[3] = {{0}}, one[3] = {{0}};
    TRY(look_expr(t, s, node->items[0]));
    size_t mark = t->n_log;
    TRY(look(t, s, node->items[1]));
    TRY(end_branch(t, mark, &whole[0]));
    for (size_t i = 2; i + 1 < node->n; i += 2) {
        TRY(look_expr(t, s, node->items[i]));
        size_t inner = t->n_log;
        TRY(look(t, s, node->items[i + 1]));
        TRY(end_branch(t, inner, &one[0]));
        TRY(merge(t, s, one));
    }
    TRY(end_branch(t, mark, &whole[1]));
    if (node->b) TRY(look(t, s, node->b));
    TRY(end_branch(t, mark, &whole[2]));
    return merge(t, s, whole);
}

static kvasir_status look(pass *t, scope *s, const jnode *node)
{
    switch (node->type) {
    case N_BLOCK:
        for (size_t i = 0; i < node->n; i++) TRY(look(t, s, node->items[i]));
        return KVASIR_OK;
    case N_PRINT:
        return look_expr(t, s, node->a);
    case N_SET:
        TRY(look_expr(t, s, node->b));
        return look_target(t, s, node->a, false);
    case N_SET_BLOCK:
        return look_target(t, s, node->a, false);
    case N_IF:
        return look_if(t, s, node);
    case N_FOR:
    case N_FILTER_BLOCK:
        return look_expr(t, s, node->b);
    case N_CALL_BLOCK:
        return look_expr(t, s, node->a);
    case N_MACRO:
        return note_store(t, s, node->name);
    case N_WITH:
        for (size_t i = 1; i < node->n; i += 2) TRY(look_expr(t, s, node->items[i]));
        return KVASIR_OK;
    default:
        return KVASIR_OK;
    }
}

/* Is the name read somewhere below before it is written? `over` is set once it is written: that ends the search. */
static bool reads(const jnode *node, const jstr *name, bool *over);

static bool reads_all(jnode *const *v, size_t n, const jstr *name, bool *over)
{
    for (size_t i = 0; i < n; i++)
        if (reads(v[i], name, over)) return true;
    return false;
}

static void writes(const jnode *target, const jstr *name, bool *over)
{
    if (target->type == N_NAME && target->name == name) *over = true;
    for (size_t i = 0; target->type == N_TUPLE && i < target->n; i++) writes(target->items[i], name, over);
}

static bool reads(const jnode *node, const jstr *name, bool *over)
{
    if (!node || *over) return false;
    const jblock *b = node->block;
    switch (node->type) {
    case N_NAME:
        return node->name == name;
    case N_SET:
    case N_SET_BLOCK:
    case N_FOR:
        writes(node->a, name, over);
        if (reads(node->b, name, over)) return true;
        break;
    case N_WITH:
        for (size_t i = 0; i < node->n; i += 2) writes(node->items[i], name, over);
        for (size_t i = 1; i < node->n; i += 2)
            if (reads(node->items[i], name, over)) return true;
        break;
    default:
        if (reads(node->a, name, over) || reads_all(node->items, node->n, name, over)) return true;
        if (node->type != N_FILTER_BLOCK && reads(node->b, name, over)) return true;
        if (reads(node->c, name, over)) return true;
    }
    if (node->args && (reads_all(node->args->v, node->args->n, name, over) ||
                       reads_all(node->args->named, node->args->n_named, name, over) ||
                       reads(node->args->rest, name, over) || reads(node->args->named_rest, name, over)))
        return true;
    if (!b) return false;
    for (size_t i = 0; i < b->n_params; i++) writes(b->params[i], name, over);
    if (reads_all(b->defaults, b->n_defaults, name, over)) return true;
    if (reads(b->body, name, over) || reads(b->otherwise, name, over)) return true;
    if (node->type == N_FOR) return reads(node->c, name, over);
    return node->type == N_FILTER_BLOCK && reads(node->b, name, over);
}

/* ---- giving places ------------------------------------------------------------------------------------ */

static kvasir_status place(pass *t, scope *s, jnode *node, bool soft);

static jref ref_to(const scope *from, const symbol *y)
{
    return (jref){.hops = from->fn->depth - y->scope->fn->depth, .slot = y->slot};
}

static kvasir_status new_scope(pass *t, scope *up, function *fn, scope **out)
{
    scope *s = *out = arena_alloc(&t->mem, 1, sizeof *s);
    if (!s) return fail_memory(sizeof *s);
    s->up = up;
    s->fn = fn;
    t->n_log = 0;
    return KVASIR_OK;
}

static kvasir_status new_function(pass *t, function *up, function **out)
{
    function *fn = *out = arena_alloc(&t->mem, 1, sizeof *fn);
    jfunc *f = arena_alloc(&t->j->mem, 1, sizeof *f);
    if (!fn || !f) return fail_memory(sizeof *fn + sizeof *f);
    *fn = (function){.up = up, .f = f, .depth = up ? up->depth + 1 : 0};
    f->id = t->j->n_funcs++;
    if (up) up->f->keeps = true;
    return KVASIR_OK;
}

static kvasir_status note_context(pass *t, const jstr *name)
{
    jname *n = arena_alloc(&t->j->mem, 1, sizeof *n);
    if (!n) return fail_memory(sizeof *n);
    *n = (jname){name, t->j->from_context};
    t->j->from_context = n;
    return KVASIR_OK;
}

/* Lists what has to be done on entering the scope, now that all of it has been looked at. */
static kvasir_status seal(pass *t, const scope *s, jscope *out)
{
    size_t n = 0;
    for (const symbol *y = s->first; y; y = y->next) n += y->s.known && y->s.how != START_PARAMETER;
    out->loads = arena_alloc(&t->j->mem, n, sizeof *out->loads);
    if (!out->loads) return fail_memory(n * sizeof *out->loads);
    for (const symbol *y = s->first; y; y = y->next) {
        if (!y->s.known || y->s.how == START_PARAMETER) continue;
        jload *load = &out->loads[out->n++];
        *load = (jload){.kind = LOAD_MISSING, .slot = y->slot, .name = y->name};
        if (y->s.how == START_RESOLVE) {
            load->kind = LOAD_RESOLVE;
            TRY(note_context(t, y->name));
        }
        if (y->s.how == START_ALIAS) {
            load->kind = LOAD_ALIAS;
            load->from = ref_to(s, find(t, s->up, y->name));
        }
    }
    return KVASIR_OK;
}

static kvasir_status place_args(pass *t, scope *s, const jnode_args *a, bool soft)
{
    if (!a) return KVASIR_OK;
    for (size_t i = 0; i < a->n; i++) TRY(place(t, s, a->v[i], soft));
    for (size_t i = 0; i < a->n_named; i++) TRY(place(t, s, a->named[i], soft));
    TRY(place(t, s, a->rest, soft));
    return place(t, s, a->named_rest, soft);
}

/* Places names in expressions and in statements without a scope. Unknown filters and tests are an error here. Within an
   `if` (`soft`) they are an error only when the rendering reaches them. */
static kvasir_status place_plain(pass *t, scope *s, jnode *node, bool soft)
{
    if (node->type == N_NAME || node->type == N_NAMESPACE_SET) {
        symbol *y = find(t, s, node->name);
        if (!y) return fail(KVASIR_E_INTERNAL, "a name of a chat template has no place");
        node->ref = ref_to(s, y);
    }
    if ((node->type == N_FILTER || node->type == N_TEST) && !node->builtin && !soft)
        return j_syntax(t->p, node->line, "there is no %s named %s", node->type == N_FILTER ? "filter" : "test",
                        quoted(node->name->s, node->name->n));
    soft |= node->type == N_IF || node->type == N_COND;
    TRY(place(t, s, node->a, soft));
    TRY(place(t, s, node->b, soft));
    TRY(place(t, s, node->c, soft));
    for (size_t i = 0; i < node->n; i++) TRY(place(t, s, node->items[i], soft));
    return place_args(t, s, node->args, soft);
}

static kvasir_status clone_target(pass *t, const jnode *node, jnode **out)
{
    TRY(j_node(t->p, node->type, node->line, out));
    **out = *node;
    if (node->n == 0) return KVASIR_OK;
    (*out)->items = arena_alloc(&t->j->mem, node->n, sizeof *node->items);
    if (!(*out)->items) return fail_memory(node->n * sizeof *node->items);
    for (size_t i = 0; i < node->n; i++) TRY(clone_target(t, node->items[i], &(*out)->items[i]));
    return KVASIR_OK;
}

static kvasir_status place_for(pass *t, scope *s, jnode *node, bool soft)
{
    jblock *b = node->block;
    function *fn = s->fn;
    scope *inner;
    const jstr *loop;
    TRY(place(t, s, node->b, soft));
    if (b->recursive) TRY(new_function(t, s->fn, &fn));
    b->func = b->recursive ? fn->f : NULL;
    TRY(new_scope(t, s, fn, &inner));
    TRY(j_intern(t->p, "loop", 4, &loop));
    TRY(note_parameter(t, inner, loop));
    TRY(look_target(t, inner, node->a, true));
    TRY(look(t, inner, b->body));
    TRY(seal(t, inner, &b->scope));
    b->loop = ref_to(inner, lookup(t, inner, loop));
    if (node->c) TRY(clone_target(t, node->a, &b->test_target));
    TRY(place(t, inner, node->a, false));
    TRY(place(t, inner, b->body, false));
    if (node->c) {
        TRY(new_scope(t, s, fn, &inner));
        TRY(look_target(t, inner, b->test_target, true));
        TRY(look_expr(t, inner, node->c));
        TRY(seal(t, inner, &b->test_scope));
        TRY(place(t, inner, b->test_target, false));
        TRY(place(t, inner, node->c, false));
    }
    if (!b->otherwise) return KVASIR_OK;
    TRY(new_scope(t, s, fn, &inner));
    TRY(look(t, inner, b->otherwise));
    TRY(seal(t, inner, &b->else_scope));
    return place(t, inner, b->otherwise, false);
}

/* Gives a macro its caller, kwargs or varargs. They exist only in macros that read them. */
static kvasir_status special(pass *t, scope *s, jblock *b, const char *name, bool *takes, jref *ref, bool *explicit_)
{
    const jstr *interned;
    bool over = false;
    TRY(j_intern(t->p, name, strlen(name), &interned));
    *takes = reads(b->body, interned, &over);
    *explicit_ = false;
    for (size_t i = 0; i < b->n_params; i++) *explicit_ |= b->params[i]->name == interned;
    if (!*takes || *explicit_) return KVASIR_OK;
    TRY(note_parameter(t, s, interned));
    *ref = ref_to(s, lookup(t, s, interned));
    return KVASIR_OK;
}

static kvasir_status place_macro(pass *t, scope *s, jnode *node, bool soft)
{
    jblock *b = node->block;
    function *fn;
    scope *inner;
    bool is_param;
    if (node->type == N_CALL_BLOCK)
        TRY(place(t, s, node->a, soft));
    else
        node->ref = ref_to(s, find(t, s, node->name));
    TRY(new_function(t, s->fn, &fn));
    b->func = fn->f;
    TRY(new_scope(t, s, fn, &inner));
    for (size_t i = 0; i < b->n_params; i++) TRY(note_parameter(t, inner, b->params[i]->name));
    TRY(special(t, inner, b, "caller", &b->takes_caller, &b->caller, &b->explicit_caller));
    if (b->takes_caller && b->explicit_caller) {
        size_t at = 0;
        while (!j_is(b->params[at]->name, "caller")) at++;
        if (at < b->n_params - b->n_defaults) return j_syntax(t->p, node->line, "the parameter caller needs a default");
    }
    TRY(special(t, inner, b, "kwargs", &b->takes_kwargs, &b->kwargs, &is_param));
    b->takes_kwargs &= !is_param;
    TRY(special(t, inner, b, "varargs", &b->takes_varargs, &b->varargs, &is_param));
    b->takes_varargs &= !is_param;
    for (size_t i = 0; i < b->n_defaults; i++) TRY(look_expr(t, inner, b->defaults[i]));
    TRY(look(t, inner, b->body));
    TRY(seal(t, inner, &b->scope));
    for (size_t i = 0; i < b->n_params; i++) TRY(place(t, inner, b->params[i], false));
    for (size_t i = 0; i < b->n_defaults; i++) TRY(place(t, inner, b->defaults[i], false));
    return place(t, inner, b->body, false);
}

static kvasir_status place_with(pass *t, scope *s, jnode *node, bool soft)
{
    scope *inner;
    for (size_t i = 1; i < node->n; i += 2) TRY(place(t, s, node->items[i], soft));
    TRY(new_scope(t, s, s->fn, &inner));
    for (size_t i = 0; i < node->n; i += 2) TRY(look_target(t, inner, node->items[i], true));
    TRY(look(t, inner, node->block->body));
    TRY(seal(t, inner, &node->block->scope));
    for (size_t i = 0; i < node->n; i += 2) TRY(place(t, inner, node->items[i], false));
    return place(t, inner, node->block->body, false);
}

/* {% set x %} and {% filter f %}: the filter belongs to the scope of the body. */
static kvasir_status place_captured(pass *t, scope *s, jnode *node, bool soft)
{
    scope *inner;
    if (node->type == N_SET_BLOCK) TRY(place(t, s, node->a, soft));
    TRY(new_scope(t, s, s->fn, &inner));
    TRY(look(t, inner, node->block->body));
    TRY(look_expr(t, inner, node->b));
    TRY(seal(t, inner, &node->block->scope));
    TRY(place(t, inner, node->b, false));
    return place(t, inner, node->block->body, false);
}

static kvasir_status place(pass *t, scope *s, jnode *node, bool soft)
{
    if (!node) return KVASIR_OK;
    switch (node->type) {
    case N_FOR:
        return place_for(t, s, node, soft);
    case N_MACRO:
    case N_CALL_BLOCK:
        return place_macro(t, s, node, soft);
    case N_WITH:
        return place_with(t, s, node, soft);
    case N_SET_BLOCK:
    case N_FILTER_BLOCK:
        return place_captured(t, s, node, soft);
    default:
        return place_plain(t, s, node, soft);
    }
}

static kvasir_status run(pass *t)
{
    function *fn;
    scope *top;
    TRY(new_function(t, NULL, &fn));
    TRY(new_scope(t, NULL, fn, &top));
    TRY(look(t, top, t->j->root));
    TRY(seal(t, top, &t->j->scope));
    t->j->func = fn->f;
    return place(t, top, t->j->root, false);
}

kvasir_status j_resolve_names(jparser *p, jinja *j)
{
    pass t = {.p = p, .j = j};
    kvasir_status status = run(&t);
    arena_free(&t.mem);
    return status;
}
