/* Expressions, with Jinja's precedence. */
#include "jinja/builtins/builtins.h"
#include "jinja/syntax/syntax.h"

#include <string.h>

static kvasir_status unary(jparser *p, jnode_type type, uint32_t line, jnode *a, jnode **out)
{
    TRY(j_node(p, type, line, out));
    (*out)->a = a;
    return j_close(p, *out);
}

static kvasir_status binary(jparser *p, jnode_type type, uint32_t line, jnode *a, jnode *b, jnode **out)
{
    TRY(j_node(p, type, line, out));
    (*out)->a = a;
    (*out)->b = b;
    return j_close(p, *out);
}

static kvasir_status constant(jparser *p, uint32_t line, jval v, jnode **out)
{
    TRY(j_node(p, N_CONST, line, out));
    (*out)->value = v;
    return KVASIR_OK;
}

/* ---- primaries ---------------------------------------------------------------------------------------- */

static kvasir_status parse_name(jparser *p, jnode **out)
{
    jtoken t = p->now;
    TRY(j_next(p));
    if (j_is_name(&t, "true") || j_is_name(&t, "True")) return constant(p, t.line, j_bool(true), out);
    if (j_is_name(&t, "false") || j_is_name(&t, "False")) return constant(p, t.line, j_bool(false), out);
    if (j_is_name(&t, "none") || j_is_name(&t, "None")) return constant(p, t.line, j_none(), out);
    TRY(j_node(p, N_NAME, t.line, out));
    return j_intern(p, t.s, t.n, &(*out)->name);
}

/* Strings that stand side by side are one string. */
static kvasir_status parse_string(jparser *p, jnode **out)
{
    jtoken first = p->now;
    char *text = NULL;
    size_t n = first.n, room = 0;
    const jstr *s = NULL;
    TRY(j_next(p));
    while (p->now.type == T_STRING) {
        if (!text || n + p->now.n > room) {
            room = 2 * (n + p->now.n) + 1;
            char *more = arena_alloc(p->mem, room, 1);
            if (!more) return fail_memory(room);
            memcpy(more, text ? text : first.s, n);
            text = more;
        }
        memcpy(text + n, p->now.s, p->now.n);
        n += p->now.n;
        TRY(j_next(p));
    }
    TRY(j_new_string(p, text ? text : first.s, n, &s));
    return constant(p, first.line, j_str(s), out);
}

static kvasir_status parse_list(jparser *p, jnode **out)
{
    jnodes items = {0};
    TRY(j_node(p, N_LIST, p->now.line, out));
    TRY(j_next(p));
    while (p->now.type != T_RBRACKET) {
        jnode *item;
        if (items.n > 0) {
            TRY(j_expect(p, T_COMMA));
            if (p->now.type == T_RBRACKET) break;
        }
        TRY(j_parse_expression(p, true, &item));
        TRY(j_push(p, &items, item));
    }
    (*out)->items = items.v;
    (*out)->n = items.n;
    TRY(j_close(p, *out));
    return j_next(p);
}

static kvasir_status parse_dict(jparser *p, jnode **out)
{
    jnodes items = {0};
    TRY(j_node(p, N_DICT, p->now.line, out));
    TRY(j_next(p));
    while (p->now.type != T_RBRACE) {
        jnode *item;
        if (items.n > 0) {
            TRY(j_expect(p, T_COMMA));
            if (p->now.type == T_RBRACE) break;
        }
        TRY(j_parse_expression(p, true, &item));
        TRY(j_push(p, &items, item));
        TRY(j_expect(p, T_COLON));
        TRY(j_parse_expression(p, true, &item));
        TRY(j_push(p, &items, item));
    }
    (*out)->items = items.v;
    (*out)->n = items.n;
    TRY(j_close(p, *out));
    return j_next(p);
}

static kvasir_status parse_primary(jparser *p, jnode **out)
{
    jtoken t = p->now;
    switch (t.type) {
    case T_NAME:
        return parse_name(p, out);
    case T_STRING:
        return parse_string(p, out);
    case T_INTEGER:
    case T_FLOAT:
        TRY(j_next(p));
        return constant(p, t.line, t.number, out);
    case T_LPAREN:
        TRY(j_next(p));
        TRY(j_parse_tuple(p, TUPLE_PARENS, out));
        return j_expect(p, T_RPAREN);
    case T_LBRACKET:
        return parse_list(p, out);
    case T_LBRACE:
        return parse_dict(p, out);
    default:
        return j_syntax(p, t.line, "unexpected %s", j_describe(t.type));
    }
}

static bool tuple_ends(const jparser *p, unsigned flags)
{
    jtoken_type t = p->now.type;
    return t == T_VARIABLE_END || t == T_BLOCK_END || t == T_RPAREN || (flags & TUPLE_END_IN && j_at_name(p, "in")) ||
           (flags & TUPLE_END_RECURSIVE && j_at_name(p, "recursive"));
}

kvasir_status j_parse_tuple(jparser *p, unsigned flags, jnode **out)
{
    jnodes items = {0};
    uint32_t line = p->now.line;
    bool is_tuple = false;
    for (;;) {
        jnode *item;
        if (items.n > 0) TRY(j_expect(p, T_COMMA));
        if (tuple_ends(p, flags)) break;
        TRY(j_enter(p));
        TRY(flags & TUPLE_SIMPLE ? parse_primary(p, &item) : j_parse_expression(p, !(flags & TUPLE_NO_COND), &item));
        j_leave(p);
        TRY(j_push(p, &items, item));
        if (p->now.type != T_COMMA) break;
        is_tuple = true;
    }
    if (!is_tuple && items.n > 0) {
        *out = items.v[0];
        return KVASIR_OK;
    }
    if (!is_tuple && !(flags & TUPLE_PARENS))
        return j_syntax(p, 0, "expected an expression, got %s", j_describe(p->now.type));
    TRY(j_node(p, N_TUPLE, line, out));
    (*out)->items = items.v;
    (*out)->n = items.n;
    return j_close(p, *out);
}

/* ---- what follows a primary --------------------------------------------------------------------------- */

static kvasir_status parse_named_arg(jparser *p, jnode_args *args, jnodes *named, size_t *room)
{
    const jstr *name;
    jnode *value;
    TRY(j_intern(p, p->now.s, p->now.n, &name));
    for (size_t i = 0; i < args->n_named; i++)
        if (args->names[i] == name) return j_syntax(p, 0, "keyword argument %s is repeated", quoted(name->s, name->n));
    if (args->n_named == 255) return j_syntax(p, 0, "more than 255 keyword arguments");
    if (args->n_named == *room) {
        *room = *room ? *room * 2 : 4;
        const jstr **names = arena_alloc(p->mem, *room, sizeof *names);
        if (!names) return fail_memory(*room * sizeof *names);
        if (args->n_named) memcpy(names, args->names, args->n_named * sizeof *names);
        args->names = names;
    }
    args->names[args->n_named++] = name;
    TRY(j_next(p));
    TRY(j_next(p));
    TRY(j_parse_expression(p, true, &value));
    return j_push(p, named, value);
}

static kvasir_status parse_arg(jparser *p, jnode_args *args, jnodes *plain, jnodes *named, size_t *room)
{
    jnode *value;
    jtoken *ahead;
    uint32_t line = p->now.line;
    bool bad = args->named_rest != NULL;
    if (p->now.type == T_MUL) {
        TRY(j_next(p));
        bad |= args->rest != NULL;
        TRY(j_parse_expression(p, true, &args->rest));
    } else if (p->now.type == T_POW) {
        TRY(j_next(p));
        TRY(j_parse_expression(p, true, &args->named_rest));
    } else {
        TRY(j_look(p, &ahead));
        if (p->now.type == T_NAME && ahead->type == T_ASSIGN) {
            TRY(parse_named_arg(p, args, named, room));
        } else {
            bad |= args->rest || named->n > 0;
            TRY(j_parse_expression(p, true, &value));
            TRY(j_push(p, plain, value));
        }
    }
    return bad ? j_syntax(p, line, "the arguments of a call are in the wrong order") : KVASIR_OK;
}

static kvasir_status parse_args(jparser *p, jnode_args **out)
{
    jnodes plain = {0}, named = {0};
    size_t room = 0;
    jnode_args *args = *out = arena_alloc(p->mem, 1, sizeof *args);
    if (!args) return fail_memory(sizeof *args);
    TRY(j_expect(p, T_LPAREN));
    for (bool first = true; p->now.type != T_RPAREN; first = false) {
        if (!first) {
            TRY(j_expect(p, T_COMMA));
            if (p->now.type == T_RPAREN) break;
        }
        TRY(parse_arg(p, args, &plain, &named, &room));
    }
    args->v = plain.v;
    args->n = plain.n;
    args->named = named.v;
    return j_next(p);
}

static kvasir_status parse_call(jparser *p, jnode *callee, jnode **out)
{
    TRY(j_node(p, N_CALL, p->now.line, out));
    (*out)->a = callee;
    TRY(parse_args(p, &(*out)->args));
    return j_close(p, *out);
}

/* What stands in brackets after a value: an index or a slice. */
static kvasir_status parse_subscribed(jparser *p, jnode **out)
{
    jnode *part[3] = {NULL, NULL, NULL};
    uint32_t line = p->now.line;
    if (p->now.type != T_COLON) {
        TRY(j_parse_expression(p, true, &part[0]));
        if (p->now.type != T_COLON) {
            *out = part[0];
            return KVASIR_OK;
        }
    }
    for (int i = 1; i < 3 && p->now.type == T_COLON; i++) {
        TRY(j_next(p));
        if (p->now.type != T_COLON && p->now.type != T_RBRACKET && p->now.type != T_COMMA)
            TRY(j_parse_expression(p, true, &part[i]));
    }
    TRY(j_node(p, N_SLICE, line, out));
    (*out)->a = part[0];
    (*out)->b = part[1];
    (*out)->c = part[2];
    return j_close(p, *out);
}

static kvasir_status parse_brackets(jparser *p, jnode *node, uint32_t line, jnode **out)
{
    jnodes items = {0};
    jnode *key = NULL;
    while (p->now.type != T_RBRACKET) {
        if (items.n > 0) TRY(j_expect(p, T_COMMA));
        TRY(parse_subscribed(p, &key));
        if (items.n > 0 && (key->type == N_SLICE || items.v[0]->type == N_SLICE))
            return j_syntax(p, line, "a slice cannot stand in a tuple");
        TRY(j_push(p, &items, key));
    }
    TRY(j_next(p));
    if (items.n != 1) {
        TRY(j_node(p, N_TUPLE, line, &key));
        key->items = items.v;
        key->n = items.n;
        TRY(j_close(p, key));
    }
    return binary(p, N_ITEM, line, node, key, out);
}

static kvasir_status parse_dot(jparser *p, jnode *node, uint32_t line, jnode **out)
{
    jtoken t = p->now;
    jnode *key = NULL;
    TRY(j_next(p));
    if (t.type == T_INTEGER) {
        TRY(constant(p, t.line, t.number, &key));
        return binary(p, N_ITEM, line, node, key, out);
    }
    if (t.type != T_NAME) return j_syntax(p, t.line, "expected a name or a number after the dot");
    TRY(unary(p, N_ATTR, line, node, out));
    return j_intern(p, t.s, t.n, &(*out)->name);
}

static kvasir_status parse_postfix(jparser *p, jnode *node, jnode **out)
{
    for (*out = node;; node = *out) {
        uint32_t line = p->now.line;
        if (p->now.type == T_LPAREN) {
            TRY(parse_call(p, node, out));
        } else if (p->now.type == T_DOT) {
            TRY(j_next(p));
            TRY(parse_dot(p, node, line, out));
        } else if (p->now.type == T_LBRACKET) {
            TRY(j_next(p));
            TRY(parse_brackets(p, node, line, out));
        } else {
            return KVASIR_OK;
        }
    }
}

/* The name of a filter or test. It may have dots in it. */
static kvasir_status parse_builtin_name(jparser *p, const jstr **out)
{
    if (p->now.type != T_NAME) return j_expect(p, T_NAME);
    TRY(j_intern(p, p->now.s, p->now.n, out));
    TRY(j_next(p));
    while (p->now.type == T_DOT) {
        TRY(j_next(p));
        if (p->now.type != T_NAME) return j_expect(p, T_NAME);
        size_t n = (*out)->n + 1 + p->now.n;
        char *text = arena_alloc(p->mem, n, 1);
        if (!text) return fail_memory(n);
        memcpy(text, (*out)->s, (*out)->n);
        text[(*out)->n] = '.';
        memcpy(text + (*out)->n + 1, p->now.s, p->now.n);
        TRY(j_intern(p, text, n, out));
        TRY(j_next(p));
    }
    return KVASIR_OK;
}

kvasir_status j_parse_filters(jparser *p, jnode *node, bool first_here, jnode **out)
{
    for (*out = node; first_here || p->now.type == T_PIPE; first_here = false) {
        if (!first_here) TRY(j_next(p));
        TRY(unary(p, N_FILTER, p->now.line, *out, out));
        TRY(parse_builtin_name(p, &(*out)->name));
        (*out)->builtin = j_find_filter((*out)->name);
        if (p->now.type == T_LPAREN) TRY(parse_args(p, &(*out)->args));
        TRY(j_close(p, *out));
    }
    return KVASIR_OK;
}

/* An argument without parentheses, as in `is divisibleby 3`. */
static kvasir_status parse_test_operand(jparser *p, jnode *test)
{
    jtoken_type t = p->now.type;
    bool starts = t == T_STRING || t == T_INTEGER || t == T_FLOAT || t == T_LBRACKET || t == T_LBRACE || t == T_NAME;
    if (!starts || j_at_name(p, "else") || j_at_name(p, "or") || j_at_name(p, "and")) return KVASIR_OK;
    if (j_at_name(p, "is")) return j_syntax(p, 0, "tests with 'is' cannot be chained");
    jnode_args *args = test->args = arena_alloc(p->mem, 1, sizeof *args);
    if (!args) return fail_memory(sizeof *args);
    jnodes operand = {0};
    jnode *node;
    TRY(parse_primary(p, &node));
    TRY(parse_postfix(p, node, &node));
    TRY(j_push(p, &operand, node));
    args->v = operand.v;
    args->n = operand.n;
    return KVASIR_OK;
}

static kvasir_status parse_test(jparser *p, jnode *node, jnode **out)
{
    uint32_t line = p->now.line;
    bool negated;
    TRY(j_next(p));
    TRY(j_skip_name(p, "not", &negated));
    TRY(unary(p, N_TEST, line, node, out));
    TRY(parse_builtin_name(p, &(*out)->name));
    (*out)->builtin = j_find_test((*out)->name);
    if (p->now.type == T_LPAREN)
        TRY(parse_args(p, &(*out)->args));
    else
        TRY(parse_test_operand(p, *out));
    TRY(j_close(p, *out));
    return negated ? unary(p, N_NOT, line, *out, out) : KVASIR_OK;
}

static kvasir_status parse_filters_and_tests(jparser *p, jnode *node, jnode **out)
{
    for (*out = node;; node = *out) {
        if (p->now.type == T_PIPE)
            TRY(j_parse_filters(p, node, false, out));
        else if (j_at_name(p, "is"))
            TRY(parse_test(p, node, out));
        else if (p->now.type == T_LPAREN)
            TRY(parse_call(p, node, out));
        else
            return KVASIR_OK;
    }
}

/* ---- operators, from the tightest to the loosest ------------------------------------------------------ */

static kvasir_status parse_unary(jparser *p, bool with_filter, jnode **out)
{
    uint32_t line = p->now.line;
    jtoken_type t = p->now.type;
    TRY(j_enter(p));
    if (t == T_SUB || t == T_ADD) {
        jnode *operand;
        TRY(j_next(p));
        TRY(parse_unary(p, false, &operand));
        TRY(unary(p, t == T_SUB ? N_NEG : N_POS, line, operand, out));
    } else {
        TRY(parse_primary(p, out));
    }
    TRY(parse_postfix(p, *out, out));
    if (with_filter) TRY(parse_filters_and_tests(p, *out, out));
    j_leave(p);
    return KVASIR_OK;
}

static kvasir_status parse_pow(jparser *p, jnode **out)
{
    TRY(parse_unary(p, true, out));
    while (p->now.type == T_POW) {
        jnode *right;
        TRY(j_next(p));
        TRY(parse_unary(p, true, &right));
        TRY(binary(p, N_POW, right->line, *out, right, out));
    }
    return KVASIR_OK;
}

static kvasir_status parse_product(jparser *p, jnode **out)
{
    TRY(parse_pow(p, out));
    for (;;) {
        jtoken_type t = p->now.type;
        jnode_type type = t == T_MUL ? N_MUL : t == T_DIV ? N_DIV : t == T_FLOORDIV ? N_FLOORDIV : N_MOD;
        jnode *right;
        if (t != T_MUL && t != T_DIV && t != T_FLOORDIV && t != T_MOD) return KVASIR_OK;
        TRY(j_next(p));
        TRY(parse_pow(p, &right));
        TRY(binary(p, type, right->line, *out, right, out));
    }
}

static kvasir_status parse_concat(jparser *p, jnode **out)
{
    jnodes items = {0};
    uint32_t line = p->now.line;
    jnode *part;
    TRY(parse_product(p, out));
    if (p->now.type != T_TILDE) return KVASIR_OK;
    TRY(j_push(p, &items, *out));
    while (p->now.type == T_TILDE) {
        TRY(j_next(p));
        TRY(parse_product(p, &part));
        TRY(j_push(p, &items, part));
    }
    TRY(j_node(p, N_CONCAT, line, out));
    (*out)->items = items.v;
    (*out)->n = items.n;
    return j_close(p, *out);
}

static kvasir_status parse_sum(jparser *p, jnode **out)
{
    TRY(parse_concat(p, out));
    while (p->now.type == T_ADD || p->now.type == T_SUB) {
        jnode_type type = p->now.type == T_ADD ? N_ADD : N_SUB;
        jnode *right;
        TRY(j_next(p));
        TRY(parse_concat(p, &right));
        TRY(binary(p, type, right->line, *out, right, out));
    }
    return KVASIR_OK;
}

/* Reads a comparison operator if one is there. */
static kvasir_status parse_compare_op(jparser *p, bool *is, uint8_t *op)
{
    static const struct {
        jtoken_type t;
        uint8_t op;
    } all[] = {{T_EQ, CMP_EQ}, {T_NE, CMP_NE}, {T_LT, CMP_LT}, {T_LE, CMP_LE}, {T_GT, CMP_GT}, {T_GE, CMP_GE}};
    jtoken *ahead;
    *is = true;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (p->now.type != all[i].t) continue;
        *op = all[i].op;
        return j_next(p);
    }
    if (j_at_name(p, "in")) {
        *op = CMP_IN;
        return j_next(p);
    }
    if (j_at_name(p, "not")) {
        TRY(j_look(p, &ahead));
        if (j_is_name(ahead, "in")) {
            *op = CMP_NOT_IN;
            TRY(j_next(p));
            return j_next(p);
        }
    }
    *is = false;
    return KVASIR_OK;
}

static kvasir_status parse_compare(jparser *p, jnode **out)
{
    jnodes items = {0};
    uint32_t line = p->now.line;
    uint8_t op = 0, *ops = NULL;
    bool is;
    TRY(parse_sum(p, out));
    for (size_t n = 0, room = 0;; n++) {
        jnode *right;
        TRY(parse_compare_op(p, &is, &op));
        if (!is) break;
        if (n == 0) TRY(j_push(p, &items, *out));
        if (n == room) {
            room = room ? room * 2 : 8;
            uint8_t *more = arena_alloc(p->mem, room, 1);
            if (!more) return fail_memory(room);
            if (n) memcpy(more, ops, n);
            ops = more;
        }
        ops[n] = op;
        TRY(parse_sum(p, &right));
        TRY(j_push(p, &items, right));
    }
    if (items.n == 0) return KVASIR_OK;
    TRY(j_node(p, N_COMPARE, line, out));
    (*out)->items = items.v;
    (*out)->n = items.n;
    (*out)->ops = ops;
    return j_close(p, *out);
}

static kvasir_status parse_not(jparser *p, jnode **out)
{
    uint32_t line = p->now.line;
    bool is;
    TRY(j_skip_name(p, "not", &is));
    if (!is) return parse_compare(p, out);
    TRY(j_enter(p));
    TRY(parse_not(p, out));
    j_leave(p);
    return unary(p, N_NOT, line, *out, out);
}

static kvasir_status parse_and(jparser *p, jnode **out)
{
    TRY(parse_not(p, out));
    for (;;) {
        jnode *right;
        bool is;
        TRY(j_skip_name(p, "and", &is));
        if (!is) return KVASIR_OK;
        TRY(parse_not(p, &right));
        TRY(binary(p, N_AND, right->line, *out, right, out));
    }
}

static kvasir_status parse_or(jparser *p, jnode **out)
{
    TRY(parse_and(p, out));
    for (;;) {
        jnode *right;
        bool is;
        TRY(j_skip_name(p, "or", &is));
        if (!is) return KVASIR_OK;
        TRY(parse_and(p, &right));
        TRY(binary(p, N_OR, right->line, *out, right, out));
    }
}

static kvasir_status parse_cond(jparser *p, jnode **out)
{
    uint32_t line = p->now.line;
    TRY(parse_or(p, out));
    for (;;) {
        jnode *test, *cond = NULL;
        bool is;
        TRY(j_skip_name(p, "if", &is));
        if (!is) break;
        TRY(parse_or(p, &test));
        TRY(j_node(p, N_COND, line, &cond));
        cond->a = test;
        cond->b = *out;
        TRY(j_skip_name(p, "else", &is));
        if (is) {
            TRY(j_enter(p));
            TRY(parse_cond(p, &cond->c));
            j_leave(p);
        }
        TRY(j_close(p, cond));
        *out = cond;
        line = p->now.line;
    }
    return KVASIR_OK;
}

kvasir_status j_parse_expression(jparser *p, bool with_cond, jnode **out)
{
    TRY(j_enter(p));
    TRY(with_cond ? parse_cond(p, out) : parse_or(p, out));
    j_leave(p);
    return KVASIR_OK;
}
