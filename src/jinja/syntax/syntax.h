/* What the lexer, the parser and the resolver of names share. */
#ifndef KVASIR_JINJA_SYNTAX_SYNTAX_H
#define KVASIR_JINJA_SYNTAX_SYNTAX_H

#include "jinja/tree.h"

typedef enum jtoken_type {
    T_EOF,
    T_DATA,
    T_VARIABLE_BEGIN,
    T_VARIABLE_END,
    T_BLOCK_BEGIN,
    T_BLOCK_END,
    T_NAME,
    T_STRING,
    T_INTEGER,
    T_FLOAT,
    T_ADD,
    T_SUB,
    T_DIV,
    T_FLOORDIV,
    T_MUL,
    T_MOD,
    T_POW,
    T_TILDE,
    T_LBRACKET,
    T_RBRACKET,
    T_LPAREN,
    T_RPAREN,
    T_LBRACE,
    T_RBRACE,
    T_EQ,
    T_NE,
    T_GT,
    T_GE,
    T_LT,
    T_LE,
    T_ASSIGN,
    T_DOT,
    T_COLON,
    T_PIPE,
    T_COMMA,
    T_SEMICOLON
} jtoken_type;

typedef struct jtoken {
    jtoken_type type;
    uint32_t line;
    const char *s; /* as written; of T_DATA and T_STRING the text meant */
    size_t n;
    jval number;
} jtoken;

enum { J_MAX_BRACKETS = 256 };
typedef enum jlex_state { LEX_ROOT, LEX_VARIABLE, LEX_BLOCK } jlex_state;
typedef struct jlexer {
    arena *mem;
    const char *s; /* with \n newlines and valid UTF-8 */
    size_t n, at;
    uint32_t line;
    jlex_state state;
    bool line_starting; /* the last piece matched ended in a newline */
    char brackets[J_MAX_BRACKETS];
    int n_brackets;
} jlexer;

/* Takes the text over (newlines made \n, one at the end dropped, bad UTF-8 made U+FFFD) and stands before its
 * start. */
kvasir_status j_lex_open(jlexer *x, arena *mem, const char *text, size_t n);
kvasir_status j_lex_next(jlexer *x, jtoken *out);

typedef struct jparser {
    arena *mem;
    jlexer lex;
    jtoken now, ahead;
    bool has_ahead;
    int depth;  /* of nesting while parsing */
    int loops;  /* for statements around, within the function at hand */
    int forbid; /* for statements around, however far: there `loop` cannot be assigned */
    const jstr **names;
    size_t n_names, room_names;
} jparser;

kvasir_status j_next(jparser *p);
kvasir_status j_look(jparser *p, jtoken **out);
bool j_is_name(const jtoken *t, const char *name);
bool j_at_name(const jparser *p, const char *name);
const char *j_describe(jtoken_type type); /* for messages */
kvasir_status j_skip_name(jparser *p, const char *name, bool *skipped);
kvasir_status j_expect(jparser *p, jtoken_type type);
kvasir_status j_syntax(const jparser *p, uint32_t line, const char *format, ...) __attribute__((format(printf, 3, 4)));
kvasir_status j_enter(jparser *p);
void j_leave(jparser *p);
/* One jstr per different name, so that names compare by address. */
kvasir_status j_intern(jparser *p, const char *s, size_t n, const jstr **out);
kvasir_status j_new_string(jparser *p, const char *s, size_t n, const jstr **out);
kvasir_status j_node(jparser *p, jnode_type type, uint32_t line, jnode **out);
/* Sets the height from the children; an error when it passes the bound. */
kvasir_status j_close(const jparser *p, jnode *node);

/* A growing list of nodes in the arena. */
typedef struct jnodes {
    jnode **v;
    size_t n, room;
} jnodes;
kvasir_status j_push(jparser *p, jnodes *list, jnode *node);

enum { TUPLE_SIMPLE = 1, TUPLE_NO_COND = 2, TUPLE_PARENS = 4, TUPLE_END_IN = 8, TUPLE_END_RECURSIVE = 16 };
kvasir_status j_parse_tuple(jparser *p, unsigned flags, jnode **out);
kvasir_status j_parse_expression(jparser *p, bool with_cond, jnode **out);
kvasir_status j_parse_filters(jparser *p, jnode *node, bool first_here, jnode **out);

/* Gives every name its place. Run once, after parsing. */
kvasir_status j_resolve_names(jparser *p, jinja *j);

#endif
