/* What the files of the Jinja interpreter share: values, nodes, the state of one rendering, and who does
   what.

   A template becomes a tree of nodes (jinja_lex, jinja_parser, jinja_expr, jinja_parse). A second pass gives
   every name its place, with the rules by which Jinja compiles names to Python variables (jinja_scope).
   Rendering walks the tree (jinja_exec, jinja_eval). Strings are valid UTF-8 throughout and know their length
   in code points. Everything made while rendering lies in one arena; text is written to the end of one
   buffer, and what is to become a string is cut off there again (j_mark, j_cut). */
#ifndef KVASIR_TOK_JINJA_INTERNAL_H
#define KVASIR_TOK_JINJA_INTERNAL_H

#include "base/mem.h"
#include "tok/jinja.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- values ------------------------------------------------------------------------------------------- */

/* Python's integers have no end; here they have 127 bits and passing that is an error. */
__extension__ typedef __int128 jint;

typedef enum jkind {
    J_MISSING, /* no value at all: a variable not set, an argument not given */
    J_UNDEFINED,
    J_NONE,
    J_BOOL,
    J_INT,
    J_FLOAT,
    J_STRING,
    J_BYTES,
    J_LIST,
    J_TUPLE,
    J_DICT,
    J_RANGE,
    J_VIEW, /* dict.keys(), .values(), .items() */
    J_ITER, /* what Python has as generator or iterator: read once */
    J_NAMESPACE,
    J_MACRO,
    J_METHOD,   /* a method with its object */
    J_FUNCTION, /* range, dict, ... */
    J_LOOP,
    J_CYCLER,
    J_JOINER
} jkind;

typedef struct jrun jrun;
typedef struct jnode jnode;
typedef struct jiter jiter;
typedef struct jmacro jmacro;
typedef struct jloop jloop;

typedef struct jstr {
    const char *s; /* valid UTF-8, not NUL-terminated */
    size_t n, chars;
    bool markup; /* Python's Markup: `+` escapes the other side */
} jstr;

typedef struct jval jval;
typedef struct jlist {
    jval *v;
    size_t n;
    bool group; /* of groupby: has .grouper and .list */
} jlist;

typedef struct jdict jdict;

typedef struct jrange {
    jint start, stop, step;
    jint n;
} jrange;

typedef enum jview_kind { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS } jview_kind;
typedef struct jview {
    jview_kind kind;
    jdict *dict;
} jview;

typedef struct jundef jundef;
typedef struct jbound jbound;
typedef struct jcycler jcycler;
typedef struct jjoiner jjoiner;
typedef struct jfunction jfunction;

struct jval {
    jkind kind;
    union {
        bool b;
        jint i;
        double f;
        const jstr *s;
        jlist *list;
        jdict *dict; /* J_DICT and J_NAMESPACE */
        const jrange *range;
        const jview *view;
        jiter *iter;
        const jundef *undef;
        const jmacro *macro;
        const jbound *bound;
        const jfunction *function;
        jloop *loop;
        jcycler *cycler;
        jjoiner *joiner;
    };
};

struct jundef {
    const char *hint;    /* a whole sentence, or NULL and then: */
    const char *of_type; /* type of the object that was asked, NULL for a variable */
    jval name;
};

struct jcycler {
    jlist items;
    size_t pos;
};

struct jjoiner {
    jval separator;
    bool used;
};

/* The arguments of a call. */
typedef struct jargs {
    jval *v;
    size_t n;
    const jstr **names; /* of the keyword arguments */
    jval *named;
    size_t n_named;
} jargs;

enum { J_MAX_PARAMS = 6 };

/* A function written in C with its parameters: names separated by blanks, the first `required` of them
   required; "_" is a parameter without a name (positional only). Without params (NULL) the function gets the
   arguments as they are, else a->v[i] is the i-th parameter or J_MISSING. */
typedef kvasir_status (*jbuiltin)(jrun *r, jval self, const jargs *a, jval *out);
struct jfunction {
    const char *name;
    jbuiltin call;
    int required;
    const char *params;
};

struct jbound {
    jval self;
    const jfunction *method;
};

static inline jval j_undefined(const jundef *u)
{
    return (jval){.kind = J_UNDEFINED, .undef = u};
}
static inline jval j_none(void)
{
    return (jval){.kind = J_NONE};
}
static inline jval j_bool(bool b)
{
    return (jval){.kind = J_BOOL, .b = b};
}
static inline jval j_int(jint i)
{
    return (jval){.kind = J_INT, .i = i};
}
static inline jval j_float(double f)
{
    return (jval){.kind = J_FLOAT, .f = f};
}
static inline jval j_str(const jstr *s)
{
    return (jval){.kind = J_STRING, .s = s};
}
static inline bool j_is_sequence(jval v)
{
    return v.kind == J_LIST || v.kind == J_TUPLE;
}
static inline bool j_is_number(jval v)
{
    return v.kind == J_BOOL || v.kind == J_INT || v.kind == J_FLOAT;
}
static inline bool j_is_integral(jval v)
{
    return v.kind == J_BOOL || v.kind == J_INT;
}
static inline jint j_integer(jval v)
{
    return v.kind == J_BOOL ? (jint)v.b : v.i;
}
static inline double j_double(jval v)
{
    return v.kind == J_FLOAT ? v.f : (double)j_integer(v);
}

/* ---- the tree ----------------------------------------------------------------------------------------- */

typedef enum jnode_type {
    N_CONST,
    N_NAME,
    N_TUPLE,
    N_LIST,
    N_DICT, /* items: key, value, key, value, ... */
    N_NEG,
    N_POS,
    N_NOT,
    N_ADD,
    N_SUB,
    N_MUL,
    N_DIV,
    N_FLOORDIV,
    N_MOD,
    N_POW,
    N_AND,
    N_OR,
    N_CONCAT,
    N_COMPARE, /* items: operands; ops: what stands between them */
    N_COND,    /* b if a else c */
    N_ATTR,    /* a.name */
    N_ITEM,    /* a[b] */
    N_SLICE,   /* [a:b:c], only below N_ITEM */
    N_CALL,
    N_FILTER, /* a NULL: the text of the block */
    N_TEST,
    N_BLOCK, /* items: statements */
    N_DATA,
    N_PRINT,
    N_IF,            /* items: test, body, test, body, ...; b: else */
    N_FOR,           /* a: target, b: iterable, c: filter */
    N_SET,           /* a: target, b: value */
    N_NAMESPACE_SET, /* a target: name.attribute, the attribute in value */
    N_SET_BLOCK,     /* a: target, b: filter or NULL */
    N_WITH,          /* items: target, value, ... */
    N_MACRO,
    N_CALL_BLOCK,   /* a: the call, NULL for the generation tag */
    N_FILTER_BLOCK, /* b: filter */
    N_BREAK,
    N_CONTINUE
} jnode_type;

typedef enum jcompare { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE, CMP_IN, CMP_NOT_IN } jcompare;

/* Where a variable is: so many functions out, and there which slot. */
typedef struct jref {
    uint32_t hops, slot;
} jref;

/* What a scope does with its variables when it is entered. Parameters need nothing. */
typedef enum jload_kind { LOAD_RESOLVE, LOAD_ALIAS, LOAD_MISSING } jload_kind;
typedef struct jload {
    jload_kind kind;
    uint32_t slot;
    jref from;        /* LOAD_ALIAS */
    const jstr *name; /* LOAD_RESOLVE: from the context */
} jload;
typedef struct jscope {
    jload *loads;
    size_t n;
} jscope;

/* A unit with variables of its own while it runs: the template, a macro, a recursive loop. */
typedef struct jfunc {
    uint32_t slots;
    uint32_t id;
    bool keeps; /* functions inside may outlive a call of it */
} jfunc;

typedef struct jnode_args {
    jnode **v;
    size_t n;
    const jstr **names;
    jnode **named;
    size_t n_named;
    jnode *rest, *named_rest; /* *x, **x */
} jnode_args;

/* The parts of statements that have a body. */
typedef struct jblock {
    jnode *body, *otherwise;
    jnode *test_target; /* of for: the target once more, for the filter */
    jscope scope, test_scope, else_scope;
    jfunc *func; /* macros and recursive loops */
    bool recursive;
    jref loop; /* the slot of `loop` */
    jnode **params, **defaults;
    size_t n_params, n_defaults;
    bool takes_caller, explicit_caller, takes_kwargs, takes_varargs;
    jref caller, kwargs, varargs;
} jblock;

struct jnode {
    jnode_type type;
    uint32_t line;
    uint32_t height; /* of the tree below; bounded, so that walking it is safe */
    jnode *a, *b, *c;
    jnode **items;
    size_t n;
    uint8_t *ops;
    jnode_args *args;
    const jstr *name;
    const jfunction *builtin; /* of filters and tests; NULL: unknown */
    jval value;
    jref ref;
    jblock *block;
};

struct jinja {
    arena mem;
    jnode *root;
    jscope scope;
    jfunc *func;
    uint32_t n_funcs;
};

/* ---- lexing and parsing ------------------------------------------------------------------------------- */

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

/* ---- one rendering ------------------------------------------------------------------------------------ */

typedef struct jactivation {
    struct jactivation *up;
    jval *slots;
} jactivation;

struct jmacro {
    const jnode *node;
    jactivation *up;
    const jstr *name; /* NULL: a call block has none */
};

struct jloop {
    jiter *iter;
    jval iterable;
    jval before, current, after; /* after: J_MISSING unless looked at */
    bool at_end;
    jint length; /* -1: not known */
    jint index0, depth0;
    jval changed; /* J_MISSING or a tuple */
    const jnode *node;
    jactivation *env; /* of the recursive loop's surroundings */
};

typedef enum jflow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } jflow;

struct jrun {
    const jinja *template;
    arena mem;
    jinja_limits limits;
    size_t steps, depth, nodes;
    char *out;
    size_t n_out, room_out;
    jdict *context;
    const struct tm *now;
    jactivation *env;
    jactivation **spare; /* activations to use again, by jfunc id, linked by `up` */
    uint32_t line;
    jflow flow;
};

/* A failure of the template at the line being rendered. */
kvasir_status j_fail(jrun *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
kvasir_status j_fail_type(jrun *r, const char *what, jval v);

/* Counts `n` units of work; an error when there were too many. */
kvasir_status j_step(jrun *r, size_t n);
/* Enters something nested; every successful call is paired with j_up. */
kvasir_status j_down(jrun *r);
static inline void j_up(jrun *r)
{
    r->depth--;
}

/* The same for the tree's nodes, of which there are more; paired with r->nodes--. */
kvasir_status j_nest(jrun *r);

/* Zeroed memory that lives as long as the rendering. */
kvasir_status j_take(jrun *r, size_t count, size_t size, void *out); /* out: address of a pointer */

kvasir_status j_emit(jrun *r, const char *s, size_t n);
kvasir_status j_emit_text(jrun *r, const char *s);
kvasir_status j_emit_char(jrun *r, uint32_t c);
kvasir_status j_emit_repeat(jrun *r, char c, size_t n);
static inline size_t j_mark(const jrun *r)
{
    return r->n_out;
}
/* What was emitted since the mark, as a string; it is no longer in the output. */
kvasir_status j_cut(jrun *r, size_t mark, jval *out);

/* ---- jinja_value: making and comparing values --------------------------------------------------------- */

kvasir_status j_string(jrun *r, const char *s, size_t n, jval *out);
kvasir_status j_text(jrun *r, const char *s, jval *out);
/* A part of a string, sharing its bytes. */
kvasir_status j_part(jrun *r, const jstr *of, size_t at, size_t n, jval *out);
/* Makes a string that was just made Markup. */
void j_set_markup(jval v);
/* n values, to be filled in. */
kvasir_status j_new_list(jrun *r, jkind kind, size_t n, jval *out);
kvasir_status j_pair(jrun *r, jval a, jval b, jval *out);
kvasir_status j_new_undefined(jrun *r, const char *hint, const char *of_type, jval name, jval *out);
kvasir_status j_undefined_name(jrun *r, const jstr *name, jval *out);
/* Fails with what an undefined value says when it is used. */
kvasir_status j_use_undefined(jrun *r, jval v);

const char *j_type_name(jval v); /* Python's */
bool j_truth(jval v);
/* False: the value has no length. */
bool j_length(jval v, size_t *n);
kvasir_status j_equal(jrun *r, jval a, jval b, bool *out);
kvasir_status j_compare(jrun *r, jcompare op, jval a, jval b, bool *out);
kvasir_status j_contains(jrun *r, jval in, jval what, bool *out);
bool j_same(jval a, jval b);
/* Sorts pairs by their first member, ascending; equal ones keep their order. */
kvasir_status j_sort_pairs(jrun *r, jlist *pairs);

kvasir_status j_new_dict(jrun *r, size_t room, jdict **out);
kvasir_status j_dict_put(jrun *r, jdict *d, jval key, jval value);
/* out: J_MISSING when the key is not there. A key that cannot be one fails. */
kvasir_status j_dict_get(jrun *r, const jdict *d, jval key, jval *out);
kvasir_status j_dict_get_text(jrun *r, const jdict *d, const jstr *key, jval *out);
size_t j_dict_size(const jdict *d);
jval j_dict_key(const jdict *d, size_t i);
jval j_dict_value(const jdict *d, size_t i);
/* Whether the value can be a key. */
kvasir_status j_hashable(jrun *r, jval v, bool *out);

/* ---- jinja_repr, jinja_json, jinja_format: values to text --------------------------------------------- */

kvasir_status j_emit_str(jrun *r, jval v);
kvasir_status j_emit_repr(jrun *r, jval v);
kvasir_status j_to_str(jrun *r, jval v, const jstr **out); /* a string as it is, others as str() gives them */
kvasir_status j_emit_int(jrun *r, jint i);
kvasir_status j_emit_float(jrun *r, double f); /* as repr() */
/* The shortest digits that read back as f (finite, not negative): up to 17, no point; returns the exponent of
 * the first. */
int j_shortest(double f, char digits[24]);
enum { J_INT_DIGITS = 130 };
/* The digits of |i| in a base of 2 to 16; returns where they start in `to`. */
char *j_int_digits(jint i, unsigned base, char to[J_INT_DIGITS + 1]);

/* Reads the decimal number s[0..n): digits, optional fraction, optional exponent, in no locale. */
double j_read_double(const char *s, size_t n);
/* Digits in the base, false when it does not fit. */
bool j_read_int(const char *s, size_t n, unsigned base, jint *out);

kvasir_status j_json_read(jrun *r, const char *s, size_t n, jval *out);
kvasir_status j_tojson(jrun *r, jval self, const jargs *a, jval *out);

kvasir_status j_printf(jrun *r, const jstr *format, jval args, jval *out);
kvasir_status j_str_format(jrun *r, jval self, const jargs *a, jval *out);
kvasir_status j_str_format_map(jrun *r, jval self, const jargs *a, jval *out);
kvasir_status j_format_value(jrun *r, jval v, const jstr *spec);
kvasir_status j_strftime(jrun *r, jval self, const jargs *a, jval *out);

/* ---- jinja_iter --------------------------------------------------------------------------------------- */

/* Gives the next value, or J_MISSING at the end. */
typedef kvasir_status (*jnext)(jrun *r, jiter *it, jval *out);
struct jiter {
    jnext next;
    const char *type; /* Python's name */
    jval source;
    jiter *inner;
    size_t pos;
    jint at; /* of ranges */
    void *state;
};
kvasir_status j_new_iter(jrun *r, const char *type, jnext next, jval source, jiter **out);
/* An iterator over v; fails when Python cannot iterate over it. */
kvasir_status j_iterate(jrun *r, jval v, jiter **out);
bool j_iterable(jval v);
kvasir_status j_iter_next(jrun *r, jiter *it, jval *out);
/* All values of an iterable, as a new list. */
kvasir_status j_to_list(jrun *r, jval v, jlist **out);
/* reversed(): J_ITER, or J_MISSING when the value is not reversible. */
kvasir_status j_reversed(jrun *r, jval v, jval *out);

/* ---- jinja_ops: operators, subscripts ----------------------------------------------------------------- */

kvasir_status j_binary(jrun *r, jnode_type op, jval a, jval b, jval *out);
kvasir_status j_negate(jrun *r, bool minus, jval v, jval *out);
kvasir_status j_slice(jrun *r, jval v, jval start, jval stop, jval step, jval *out);
/* getattr(obj, name) behind the sandbox; J_MISSING when there is none. */
kvasir_status j_safe_attribute(jrun *r, jval v, const jstr *name, jval *out);
/* Environment.getitem and Environment.getattr of Jinja's sandbox. */
kvasir_status j_get_item(jrun *r, jval v, jval key, jval *out);
kvasir_status j_get_attr(jrun *r, jval v, const jstr *name, jval *out);

/* ---- jinja_call: calls, globals ----------------------------------------------------------------------- */

/* The attribute that Python's type of v has under this name; J_MISSING if none. */
kvasir_status j_attribute(jrun *r, jval v, const jstr *name, jval *out);
kvasir_status j_call(jrun *r, jval f, const jargs *a, jval *out);
kvasir_status j_call_builtin(jrun *r, const jfunction *f, jval self, const jargs *a, jval *out);
jval j_global(const jstr *name); /* J_MISSING if none */
/* An argument as integer; `otherwise` when it is missing. */
kvasir_status j_arg_int(jrun *r, jval v, jint otherwise, jint *out);
kvasir_status j_arg_text(jrun *r, jval v, const jstr **out);
kvasir_status j_loop_attribute(jrun *r, jloop *loop, const jstr *name, jval *out);
bool j_is(const jstr *s, const char *text);

const jfunction *j_find(const jfunction *table, size_t n, const jstr *name); /* in a table sorted by name */
const jfunction *j_find_filter(const jstr *name);
const jfunction *j_find_test(const jstr *name);
const jfunction *j_find_sequence_filter(const jstr *name);
const jfunction *j_find_str_method(const jstr *name);
const jfunction *j_find_method(jkind kind, const jstr *name);
/* Calls a test and gives its answer. */
kvasir_status j_run_test(jrun *r, const jfunction *test, jval v, const jargs *a, bool *out);

/* ---- jinja_eval, jinja_exec --------------------------------------------------------------------------- */

kvasir_status j_eval(jrun *r, const jnode *node, jval *out);
kvasir_status j_eval_args(jrun *r, const jnode_args *from, jargs *out);
kvasir_status j_eval_filter(jrun *r, const jnode *node, jval text, jval *out);
kvasir_status j_exec(jrun *r, const jnode *node);
kvasir_status j_assign(jrun *r, const jnode *target, jval v);
kvasir_status j_enter_scope(jrun *r, const jscope *s);
kvasir_status j_call_macro(jrun *r, const jmacro *m, const jargs *a, jval *out);
kvasir_status j_call_loop(jrun *r, jloop *loop, const jargs *a, jval *out);
kvasir_status j_loop_peek(jrun *r, jloop *loop);
static inline jval *j_slot(jrun *r, jref ref)
{
    jactivation *e = r->env;
    for (uint32_t i = 0; i < ref.hops; i++) e = e->up;
    return &e->slots[ref.slot];
}

/* ---- jinja_unicode, jinja_strings: text as Python sees it --------------------------------------------- */

/* Decodes the code point at s[*at] (valid UTF-8) and moves on. */
uint32_t j_decode(const char *s, size_t *at);
uint32_t j_decode_before(const char *s, size_t *at);
size_t j_encode(uint32_t c, char to[4]);
size_t j_count(const char *s, size_t n);
/* Where code point number `chars` of the string starts. */
size_t j_offset(const jstr *s, size_t chars);
/* Copies text, bad UTF-8 made U+FFFD. */
kvasir_status j_valid_utf8(arena *mem, const char *s, size_t n, bool newlines, char **out, size_t *n_out);
bool j_space(uint32_t c);
bool j_word(uint32_t c); /* \w */
bool j_printable(uint32_t c);
bool j_identifier(const char *s, size_t n);
typedef enum jcase { CASE_LOWER, CASE_UPPER, CASE_TITLE, CASE_SWAP, CASE_FOLD, CASE_CAPITALIZE } jcase;
/* Emits the text in another case, by Python's rules for str.lower() and so on. */
kvasir_status j_emit_case(jrun *r, jcase how, const char *s, size_t n);
typedef enum jclass {
    CLASS_ALNUM,
    CLASS_ALPHA,
    CLASS_ASCII,
    CLASS_DECIMAL,
    CLASS_DIGIT,
    CLASS_IDENTIFIER,
    CLASS_LOWER,
    CLASS_NUMERIC,
    CLASS_PRINTABLE,
    CLASS_SPACE,
    CLASS_TITLE,
    CLASS_UPPER
} jclass;
bool j_class(jclass c, const jstr *s);
/* strip: what is left; chars NULL: white space. which: 1 left, 2 right, 3 both. */
kvasir_status j_strip(jrun *r, const jstr *s, const jstr *chars, int which, jval *out);
kvasir_status j_replace(jrun *r, const jstr *s, const jstr *old, const jstr *new, jint count, jval *out);
kvasir_status j_split_lines(jrun *r, const jstr *s, bool keep, jval *out);
kvasir_status j_center(jrun *r, const jstr *s, jint width, const jstr *fill, int where, jval *out);
/* The byte offset of `what` in s at or after `from`, SIZE_MAX when it is not there. */
size_t j_find_text(const jstr *s, size_t from, const jstr *what);
kvasir_status j_emit_escaped(jrun *r, const jstr *s);

#endif
