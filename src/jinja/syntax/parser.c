/* What the parser's files stand on: tokens, names, nodes. */
#include "jinja/syntax/syntax.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_NESTING = 150, MAX_HEIGHT = 1000 };

kvasir_status j_syntax(const jparser *p, uint32_t line, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fail(KVASIR_E_TEMPLATE, "line %u: %s", line ? line : p->now.line, text);
}

kvasir_status j_next(jparser *p)
{
    if (p->has_ahead) {
        p->now = p->ahead;
        p->has_ahead = false;
        return KVASIR_OK;
    }
    return j_lex_next(&p->lex, &p->now);
}

kvasir_status j_look(jparser *p, jtoken **out)
{
    if (!p->has_ahead) {
        TRY(j_lex_next(&p->lex, &p->ahead));
        p->has_ahead = true;
    }
    *out = &p->ahead;
    return KVASIR_OK;
}

bool j_is_name(const jtoken *t, const char *name)
{
    return t->type == T_NAME && t->n == strlen(name) && memcmp(t->s, name, t->n) == 0;
}

bool j_at_name(const jparser *p, const char *name)
{
    return j_is_name(&p->now, name);
}

kvasir_status j_skip_name(jparser *p, const char *name, bool *skipped)
{
    *skipped = j_at_name(p, name);
    return *skipped ? j_next(p) : KVASIR_OK;
}

const char *j_describe(jtoken_type type)
{
    static const char *const names[] = {[T_EOF] = "end of template",
                                        [T_DATA] = "text",
                                        [T_VARIABLE_BEGIN] = "begin of print statement",
                                        [T_VARIABLE_END] = "end of print statement",
                                        [T_BLOCK_BEGIN] = "begin of statement block",
                                        [T_BLOCK_END] = "end of statement block",
                                        [T_NAME] = "a name",
                                        [T_STRING] = "a string",
                                        [T_INTEGER] = "an integer",
                                        [T_FLOAT] = "a float",
                                        [T_ADD] = "'+'",
                                        [T_SUB] = "'-'",
                                        [T_DIV] = "'/'",
                                        [T_FLOORDIV] = "'//'",
                                        [T_MUL] = "'*'",
                                        [T_MOD] = "'%'",
                                        [T_POW] = "'**'",
                                        [T_TILDE] = "'~'",
                                        [T_LBRACKET] = "'['",
                                        [T_RBRACKET] = "']'",
                                        [T_LPAREN] = "'('",
                                        [T_RPAREN] = "')'",
                                        [T_LBRACE] = "'{'",
                                        [T_RBRACE] = "'}'",
                                        [T_EQ] = "'=='",
                                        [T_NE] = "'!='",
                                        [T_GT] = "'>'",
                                        [T_GE] = "'>='",
                                        [T_LT] = "'<'",
                                        [T_LE] = "'<='",
                                        [T_ASSIGN] = "'='",
                                        [T_DOT] = "'.'",
                                        [T_COLON] = "':'",
                                        [T_PIPE] = "'|'",
                                        [T_COMMA] = "','",
                                        [T_SEMICOLON] = "';'"};
    return names[type];
}

kvasir_status j_expect(jparser *p, jtoken_type type)
{
    if (p->now.type != type) return j_syntax(p, 0, "expected %s, got %s", j_describe(type), j_describe(p->now.type));
    return j_next(p);
}

kvasir_status j_enter(jparser *p)
{
    if (p->depth >= MAX_NESTING) return j_syntax(p, 0, "nested deeper than %d", MAX_NESTING);
    p->depth++;
    return KVASIR_OK;
}

void j_leave(jparser *p)
{
    p->depth--;
}

static uint64_t name_hash(const char *s, size_t n)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)s[i]) * 1099511628211u;
    return h ^ h >> 29;
}

static kvasir_status grow_names(jparser *p)
{
    size_t room = p->room_names ? p->room_names * 2 : 64;
    const jstr **names = arena_alloc(p->mem, room, sizeof *names);
    if (!names) return fail_memory(room * sizeof *names);
    for (size_t i = 0; i < p->room_names; i++) {
        if (!p->names[i]) continue;
        size_t at = name_hash(p->names[i]->s, p->names[i]->n) & (room - 1);
        while (names[at]) at = (at + 1) & (room - 1);
        names[at] = p->names[i];
    }
    p->names = names;
    p->room_names = room;
    return KVASIR_OK;
}

kvasir_status j_new_string(jparser *p, const char *s, size_t n, const jstr **out)
{
    jstr *t = arena_alloc(p->mem, 1, sizeof *t);
    if (!t) return fail_memory(sizeof *t);
    *t = (jstr){.s = s, .n = n, .chars = j_count(s, n)};
    *out = t;
    return KVASIR_OK;
}

kvasir_status j_intern(jparser *p, const char *s, size_t n, const jstr **out)
{
    if (p->n_names * 2 >= p->room_names) TRY(grow_names(p));
    size_t at = name_hash(s, n) & (p->room_names - 1);
    for (; p->names[at]; at = (at + 1) & (p->room_names - 1)) {
        *out = p->names[at];
        if ((*out)->n == n && memcmp((*out)->s, s, n) == 0) return KVASIR_OK;
    }
    TRY(j_new_string(p, s, n, out));
    p->names[at] = *out;
    p->n_names++;
    return KVASIR_OK;
}

kvasir_status j_node(jparser *p, jnode_type type, uint32_t line, jnode **out)
{
    jnode *node = arena_alloc(p->mem, 1, sizeof *node);
    if (!node) return fail_memory(sizeof *node);
    node->type = type;
    node->line = line;
    node->height = 1;
    *out = node;
    return KVASIR_OK;
}

static void raise_height(uint32_t *height, const jnode *child)
{
    if (child && child->height > *height) *height = child->height;
}

kvasir_status j_close(const jparser *p, jnode *node)
{
    uint32_t below = 0;
    raise_height(&below, node->a);
    raise_height(&below, node->b);
    raise_height(&below, node->c);
    for (size_t i = 0; i < node->n; i++) raise_height(&below, node->items[i]);
    for (size_t i = 0; node->args && i < node->args->n; i++) raise_height(&below, node->args->v[i]);
    for (size_t i = 0; node->args && i < node->args->n_named; i++) raise_height(&below, node->args->named[i]);
    if (node->args) raise_height(&below, node->args->rest);
    if (node->args) raise_height(&below, node->args->named_rest);
    if (node->block) raise_height(&below, node->block->body);
    if (node->block) raise_height(&below, node->block->otherwise);
    for (size_t i = 0; node->block && i < node->block->n_defaults; i++) raise_height(&below, node->block->defaults[i]);
    node->height = below + 1;
    return below < MAX_HEIGHT ? KVASIR_OK : j_syntax(p, node->line, "nested too deep");
}

kvasir_status j_push(jparser *p, jnodes *list, jnode *node)
{
    if (list->n == list->room) {
        size_t room = list->room ? list->room * 2 : 4;
        jnode **v = arena_alloc(p->mem, room, sizeof *v);
        if (!v) return fail_memory(room * sizeof *v);
        if (list->n) memcpy(v, list->v, list->n * sizeof *v);
        list->v = v;
        list->room = room;
    }
    list->v[list->n++] = node;
    return KVASIR_OK;
}
