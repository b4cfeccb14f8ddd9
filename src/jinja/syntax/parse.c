/* Statements, and the template as a whole. */
#include "jinja/syntax/syntax.h"

#include <string.h>

/* Up to three names of tags; each of them ends a body. */
typedef struct ends {
    const char *name[3];
} ends;

static kvasir_status parse_block(jparser *p, const ends *until, jnode **out);

static bool at_any(const jparser *p, const ends *e)
{
    for (int i = 0; i < 3 && e->name[i]; i++)
        if (j_at_name(p, e->name[i])) return true;
    return false;
}

/* The rest of a tag and the body after it, up to one of the names. That name is then the current token. */
static kvasir_status parse_body(jparser *p, const ends *until, jnode **out)
{
    if (p->now.type == T_COLON) TRY(j_next(p));
    TRY(j_expect(p, T_BLOCK_END));
    TRY(j_enter(p));
    TRY(parse_block(p, until, out));
    j_leave(p);
    if (p->now.type == T_EOF) return j_syntax(p, 0, "the template ends where %s is missing", until->name[0]);
    return KVASIR_OK;
}

/* A body that only one tag can end. This tag is consumed. */
static kvasir_status parse_body_to(jparser *p, const char *end, jnode **out)
{
    TRY(parse_body(p, &(ends){{end}}, out));
    return j_next(p);
}

static kvasir_status new_statement(jparser *p, jnode_type type, bool with_block, jnode **out)
{
    TRY(j_node(p, type, p->now.line, out));
    if (!with_block) return KVASIR_OK;
    (*out)->block = arena_alloc(p->mem, 1, sizeof(jblock));
    return (*out)->block ? KVASIR_OK : fail_memory(sizeof(jblock));
}

/* ---- what can be assigned to -------------------------------------------------------------------------- */

static kvasir_status check_target(const jparser *p, const jnode *node)
{
    if (node->type == N_TUPLE) {
        for (size_t i = 0; i < node->n; i++) TRY(check_target(p, node->items[i]));
        return KVASIR_OK;
    }
    if (node->type != N_NAME) return j_syntax(p, node->line, "cannot assign to this expression");
    if (p->forbid > 0 && j_is(node->name, "loop"))
        return j_syntax(p, node->line, "cannot assign to loop in a for loop");
    return KVASIR_OK;
}

static kvasir_status parse_target(jparser *p, unsigned flags, jnode **out)
{
    TRY(j_parse_tuple(p, TUPLE_SIMPLE | flags, out));
    return check_target(p, *out);
}

static kvasir_status parse_target_name(jparser *p, jnode **out)
{
    static const char *const constants[] = {"true", "false", "none", "True", "False", "None"};
    if (p->now.type != T_NAME) return j_expect(p, T_NAME);
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (j_at_name(p, constants[i])) return j_syntax(p, 0, "cannot assign to %s", constants[i]);
    TRY(j_node(p, N_NAME, p->now.line, out));
    TRY(j_intern(p, p->now.s, p->now.n, &(*out)->name));
    return j_next(p);
}

/* The target of set: a name, names, or an attribute of a namespace. */
static kvasir_status parse_set_target(jparser *p, jnode **out)
{
    jtoken *ahead;
    const jstr *attribute;
    TRY(j_look(p, &ahead));
    if (ahead->type != T_DOT) return parse_target(p, 0, out);
    if (p->now.type != T_NAME) return j_expect(p, T_NAME);
    TRY(j_node(p, N_NAMESPACE_SET, p->now.line, out));
    TRY(j_intern(p, p->now.s, p->now.n, &(*out)->name));
    TRY(j_next(p));
    TRY(j_next(p));
    if (p->now.type != T_NAME) return j_expect(p, T_NAME);
    TRY(j_intern(p, p->now.s, p->now.n, &attribute));
    (*out)->value = j_str(attribute);
    return j_next(p);
}

/* ---- statements --------------------------------------------------------------------------------------- */

static kvasir_status parse_set(jparser *p, jnode **out)
{
    jnode *target;
    TRY(new_statement(p, N_SET, true, out));
    TRY(j_next(p));
    TRY(parse_set_target(p, &target));
    (*out)->a = target;
    if (p->now.type == T_ASSIGN) {
        TRY(j_next(p));
        TRY(j_parse_tuple(p, 0, &(*out)->b));
        return j_close(p, *out);
    }
    (*out)->type = N_SET_BLOCK;
    TRY(j_parse_filters(p, NULL, false, &(*out)->b));
    TRY(parse_body_to(p, "endset", &(*out)->block->body));
    return j_close(p, *out);
}

static kvasir_status parse_if(jparser *p, jnode **out)
{
    jnodes items = {0};
    jnode *part;
    TRY(new_statement(p, N_IF, false, out));
    for (;;) {
        TRY(j_next(p)); /* if, elif */
        TRY(j_parse_tuple(p, TUPLE_NO_COND, &part));
        TRY(j_push(p, &items, part));
        TRY(parse_body(p, &(ends){{"endif", "else", "elif"}}, &part));
        TRY(j_push(p, &items, part));
        if (!j_at_name(p, "elif")) break;
    }
    (*out)->items = items.v;
    (*out)->n = items.n;
    bool has_else = j_at_name(p, "else");
    TRY(j_next(p));
    if (has_else) TRY(parse_body_to(p, "endif", &(*out)->b));
    return j_close(p, *out);
}

static kvasir_status parse_for(jparser *p, jnode **out)
{
    bool is;
    TRY(new_statement(p, N_FOR, true, out));
    jblock *b = (*out)->block;
    p->forbid++;
    TRY(j_next(p));
    TRY(parse_target(p, TUPLE_END_IN, &(*out)->a));
    TRY(j_skip_name(p, "in", &is));
    if (!is) return j_syntax(p, 0, "expected 'in' after the names of the for loop");
    TRY(j_parse_tuple(p, TUPLE_NO_COND | TUPLE_END_RECURSIVE, &(*out)->b));
    TRY(j_skip_name(p, "if", &is));
    if (is) TRY(j_parse_expression(p, true, &(*out)->c));
    TRY(j_skip_name(p, "recursive", &b->recursive));
    p->loops++;
    TRY(parse_body(p, &(ends){{"endfor", "else"}}, &b->body));
    p->loops--;
    bool has_else = j_at_name(p, "else");
    TRY(j_next(p));
    if (has_else) {
        int loops = p->loops;
        if (b->recursive) p->loops = 0; /* a recursive loop is a function, and we are behind its `for` */
        TRY(parse_body_to(p, "endfor", &b->otherwise));
        p->loops = loops;
    }
    p->forbid--;
    return j_close(p, *out);
}

static kvasir_status parse_with(jparser *p, jnode **out)
{
    jnodes items = {0};
    jnode *part;
    TRY(new_statement(p, N_WITH, true, out));
    TRY(j_next(p));
    while (p->now.type != T_BLOCK_END) {
        if (items.n > 0) TRY(j_expect(p, T_COMMA));
        int forbid = p->forbid;
        p->forbid = 0; /* its names are parameters, which may be called `loop` */
        TRY(parse_target(p, 0, &part));
        p->forbid = forbid;
        TRY(j_push(p, &items, part));
        TRY(j_expect(p, T_ASSIGN));
        TRY(j_parse_expression(p, true, &part));
        TRY(j_push(p, &items, part));
    }
    (*out)->items = items.v;
    (*out)->n = items.n;
    TRY(parse_body_to(p, "endwith", &(*out)->block->body));
    return j_close(p, *out);
}

static kvasir_status parse_signature(jparser *p, jblock *b)
{
    jnodes params = {0}, defaults = {0};
    TRY(j_expect(p, T_LPAREN));
    while (p->now.type != T_RPAREN) {
        jnode *part;
        if (params.n > 0) TRY(j_expect(p, T_COMMA));
        TRY(parse_target_name(p, &part));
        for (size_t i = 0; i < params.n; i++)
            if (params.v[i]->name == part->name)
                return j_syntax(p, part->line, "parameter %s is repeated", quoted(part->name->s, part->name->n));
        if (params.n == 255) return j_syntax(p, part->line, "more than 255 parameters");
        TRY(j_push(p, &params, part));
        if (p->now.type == T_ASSIGN) {
            TRY(j_next(p));
            TRY(j_parse_expression(p, true, &part));
            TRY(j_push(p, &defaults, part));
        } else if (defaults.n > 0) {
            return j_syntax(p, 0, "a parameter without default follows one with default");
        }
    }
    b->params = params.v;
    b->n_params = params.n;
    b->defaults = defaults.v;
    b->n_defaults = defaults.n;
    return j_next(p);
}

/* The body of a function: break and continue in it do not reach the loops around it. */
static kvasir_status parse_function_body(jparser *p, const char *end, jnode **out)
{
    int loops = p->loops;
    p->loops = 0;
    TRY(parse_body_to(p, end, out));
    p->loops = loops;
    return KVASIR_OK;
}

static kvasir_status parse_macro(jparser *p, jnode **out)
{
    jnode *name;
    TRY(new_statement(p, N_MACRO, true, out));
    TRY(j_next(p));
    TRY(parse_target_name(p, &name));
    (*out)->name = name->name;
    TRY(parse_signature(p, (*out)->block));
    TRY(parse_function_body(p, "endmacro", &(*out)->block->body));
    return j_close(p, *out);
}

static kvasir_status parse_call_block(jparser *p, jnode **out)
{
    TRY(new_statement(p, N_CALL_BLOCK, true, out));
    TRY(j_next(p));
    if (p->now.type == T_LPAREN) TRY(parse_signature(p, (*out)->block));
    TRY(j_parse_expression(p, true, &(*out)->a));
    if ((*out)->a->type != N_CALL) return j_syntax(p, (*out)->line, "expected a call after 'call'");
    TRY(parse_function_body(p, "endcall", &(*out)->block->body));
    return j_close(p, *out);
}

/* transformers marks with it what the model wrote. The body is rendered as it is. */
static kvasir_status parse_generation(jparser *p, jnode **out)
{
    TRY(new_statement(p, N_CALL_BLOCK, true, out));
    TRY(j_next(p));
    TRY(parse_function_body(p, "endgeneration", &(*out)->block->body));
    return j_close(p, *out);
}

static kvasir_status parse_filter_block(jparser *p, jnode **out)
{
    TRY(new_statement(p, N_FILTER_BLOCK, true, out));
    TRY(j_next(p));
    TRY(j_parse_filters(p, NULL, true, &(*out)->b));
    TRY(parse_body_to(p, "endfilter", &(*out)->block->body));
    return j_close(p, *out);
}

static kvasir_status parse_print(jparser *p, jnode **out)
{
    jnodes items = {0};
    TRY(new_statement(p, N_BLOCK, false, out));
    TRY(j_next(p));
    while (p->now.type != T_BLOCK_END) {
        jnode *print;
        if (items.n > 0) TRY(j_expect(p, T_COMMA));
        TRY(j_node(p, N_PRINT, p->now.line, &print));
        TRY(j_parse_expression(p, true, &print->a));
        TRY(j_close(p, print));
        TRY(j_push(p, &items, print));
    }
    (*out)->items = items.v;
    (*out)->n = items.n;
    return j_close(p, *out);
}

static kvasir_status parse_jump(jparser *p, jnode **out)
{
    bool is_break = j_at_name(p, "break");
    if (p->loops == 0) return j_syntax(p, 0, "'%s' outside of a loop", is_break ? "break" : "continue");
    TRY(new_statement(p, is_break ? N_BREAK : N_CONTINUE, false, out));
    return j_next(p);
}

static kvasir_status parse_statement(jparser *p, jnode **out)
{
    static const struct {
        const char *tag;
        kvasir_status (*parse)(jparser *p, jnode **out);
    } tags[] = {{"if", parse_if},
                {"for", parse_for},
                {"set", parse_set},
                {"macro", parse_macro},
                {"call", parse_call_block},
                {"generation", parse_generation},
                {"filter", parse_filter_block},
                {"with", parse_with},
                {"print", parse_print},
                {"break", parse_jump},
                {"continue", parse_jump}};
    static const char *const others[] = {"include", "import", "from", "extends", "block", "autoescape"};
    if (p->now.type != T_NAME) return j_syntax(p, 0, "a statement starts with its name");
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (j_at_name(p, tags[i].tag)) return tags[i].parse(p, out);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (j_at_name(p, others[i])) return j_syntax(p, 0, "'%s' does not exist in chat templates", others[i]);
    return j_syntax(p, 0, "unknown tag %s", quoted(p->now.s, p->now.n));
}

/* ---- the template ------------------------------------------------------------------------------------- */

static kvasir_status parse_data(jparser *p, jnode **out)
{
    jstr *text = arena_alloc(p->mem, 1, sizeof *text);
    if (!text) return fail_memory(sizeof *text);
    *text = (jstr){.s = p->now.s, .n = p->now.n, .chars = j_count(p->now.s, p->now.n)};
    TRY(j_node(p, N_DATA, p->now.line, out));
    (*out)->value = j_str(text);
    return j_next(p);
}

/* Everything up to the end of the template, or up to a tag named in `until`. */
static kvasir_status parse_block(jparser *p, const ends *until, jnode **out)
{
    jnodes items = {0};
    TRY(j_node(p, N_BLOCK, p->now.line, out));
    while (p->now.type != T_EOF) {
        jnode *part;
        if (p->now.type == T_DATA) {
            TRY(parse_data(p, &part));
        } else if (p->now.type == T_VARIABLE_BEGIN) {
            TRY(j_next(p));
            TRY(j_node(p, N_PRINT, p->now.line, &part));
            TRY(j_parse_tuple(p, 0, &part->a));
            TRY(j_close(p, part));
            TRY(j_expect(p, T_VARIABLE_END));
        } else {
            TRY(j_expect(p, T_BLOCK_BEGIN));
            if (until && at_any(p, until)) break;
            TRY(parse_statement(p, &part));
            TRY(j_expect(p, T_BLOCK_END));
        }
        TRY(j_push(p, &items, part));
    }
    (*out)->items = items.v;
    (*out)->n = items.n;
    return j_close(p, *out);
}

static kvasir_status parse_template(jinja *j, const char *text, size_t n)
{
    jparser p = {.mem = &j->mem};
    TRY(j_lex_open(&p.lex, &j->mem, text, n));
    TRY(j_next(&p));
    TRY(parse_block(&p, NULL, &j->root));
    return j_resolve_names(&p, j);
}

kvasir_status jinja_parse(const char *text, size_t n, jinja **out)
{
    jinja *j = mem_alloc(1, sizeof *j);
    if (!j) return fail_memory(sizeof *j);
    kvasir_status status = parse_template(j, text, n);
    if (status != KVASIR_OK) {
        jinja_free(j);
        return status;
    }
    *out = j;
    return KVASIR_OK;
}

void jinja_free(jinja *j)
{
    if (!j) return;
    arena_free(&j->mem);
    mem_free(j);
}
