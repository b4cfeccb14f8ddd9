/* The tree that a template becomes: what syntax/ makes and run/ walks. */
#ifndef KVASIR_JINJA_TREE_H
#define KVASIR_JINJA_TREE_H

#include "jinja/jinja.h"
#include "jinja/values/values.h"

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
    N_NAMESPACE_SET, /* a: target, name.attribute, with the attribute in value */
    N_SET_BLOCK,     /* a: target, b: filter or NULL */
    N_WITH,          /* items: target, value, ... */
    N_MACRO,
    N_CALL_BLOCK,   /* a: the call, NULL for the generation tag */
    N_FILTER_BLOCK, /* b: filter */
    N_BREAK,
    N_CONTINUE
} jnode_type;

/* Where a variable is: how many functions further out, and in which slot there. */
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

/* A unit that has variables of its own while it runs: the template, a macro, a recursive loop. */
typedef struct jfunc {
    uint32_t slots;
    uint32_t id;
    bool keeps; /* functions inside may still use its variables after a call has ended */
} jfunc;

typedef struct jnode_args {
    jnode **v;
    size_t n;
    const jstr **names;
    jnode **named;
    size_t n_named;
    jnode *rest, *named_rest; /* *x, **x */
} jnode_args;

/* What statements with a body have besides. */
typedef struct jblock {
    jnode *body, *otherwise;
    jnode *test_target; /* of for: the target again, for the filter */
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
    uint32_t height; /* of the tree below; limited, so that walking it is safe */
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

/* A name that is taken from the context somewhere in the template. */
typedef struct jname {
    const jstr *name;
    const struct jname *next;
} jname;

struct jinja {
    arena mem;
    jnode *root;
    const jname *from_context; /* a name may be there for several scopes */
    jscope scope;
    jfunc *func;
    uint32_t n_funcs;
};

#endif
