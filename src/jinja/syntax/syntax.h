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
    const char *s; /* as written; for T_DATA and T_STRING the text that is meant */
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

/* Starts on a text. It is copied with newlines as \n, without one newline at the end, and with bad UTF-8
   replaced by U+FFFD. */
kvasir_status j_lex_open(jlexer *x, arena *mem, const char *text, size_t n);
kvasir_status j_lex_next(jlexer *x, jtoken *out); /* reads the next token */

typedef struct jparser {
    arena *mem;
    jlexer lex;
    jtoken now, ahead;
    bool has_ahead;
    int depth;  /* of nesting while parsing */
    int loops;  /* for statements around, within the present function */
    int forbid; /* for statements around, in any function: in them `loop` cannot be assigned */
    const jstr **names;
    size_t n_names, room_names;
} jparser;

/* Moves to the next token (p->now); looks at the one after it without moving. */
kvasir_status j_next(jparser *p);
kvasir_status j_look(jparser *p, jtoken **out);
/* Whether a token, or the present token, is this name. */
bool j_is_name(const jtoken *t, const char *name);
bool j_at_name(const jparser *p, const char *name);
const char *j_describe(jtoken_type type);                               /* for messages */
kvasir_status j_skip_name(jparser *p, const char *name, bool *skipped); /* moves on if the name is there */
kvasir_status j_expect(jparser *p, jtoken_type type); /* moves on; fails when another token is there */
/* Fails with a syntax error in this line. */
kvasir_status j_syntax(const jparser *p, uint32_t line, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Counts the nesting, which is limited; each call that succeeds is paired with j_leave. */
kvasir_status j_enter(jparser *p);
void j_leave(jparser *p);
/* One jstr for each different name, so that names can be compared by address. */
kvasir_status j_intern(jparser *p, const char *s, size_t n, const jstr **out);
kvasir_status j_new_string(jparser *p, const char *s, size_t n, const jstr **out); /* a string of its own */
/* A new node; its other members are zeroed. */
kvasir_status j_node(jparser *p, jnode_type type, uint32_t line, jnode **out);
/* Sets the node's height from its children; an error when it is beyond the limit. */
kvasir_status j_close(const jparser *p, jnode *node);

/* A growing list of nodes in the arena. */
typedef struct jnodes {
    jnode **v;
    size_t n, room;
} jnodes;
kvasir_status j_push(jparser *p, jnodes *list, jnode *node); /* appends a node */

enum { TUPLE_SIMPLE = 1, TUPLE_NO_COND = 2, TUPLE_PARENS = 4, TUPLE_END_IN = 8, TUPLE_END_RECURSIVE = 16 };
/* Expressions with commas between them: a tuple, or the one expression if there is no comma. `flags` say what is
   allowed and what ends it. */
kvasir_status j_parse_tuple(jparser *p, unsigned flags, jnode **out);
kvasir_status j_parse_expression(jparser *p, bool with_cond, jnode **out); /* with_cond: `a if b else c` may follow */
/* The filters that follow a value (`node`; NULL: the text of a block). first_here: the name of the first is
   the present token. */
kvasir_status j_parse_filters(jparser *p, jnode *node, bool first_here, jnode **out);

/* Gives every name its slot (scope.c). Run once, after parsing. */
kvasir_status j_resolve_names(jparser *p, jinja *j);

#endif
