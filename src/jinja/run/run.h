/* One rendering: its state, its limits, and the functions that walk the tree. Text is written to the end of one buffer.
   Where it is to become a string, it is cut off from that end again (j_mark, j_cut). */
#ifndef KVASIR_JINJA_RUN_RUN_H
#define KVASIR_JINJA_RUN_RUN_H

#include "jinja/tree.h"

/* ---- the state of a rendering ------------------------------------------------------------------------ */

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
    jval before, current, after; /* after: J_MISSING until it has been looked at */
    bool at_end;
    jint length; /* -1: not known */
    jint index0, depth0;
    jval changed; /* J_MISSING or a tuple */
    const jnode *node;
    jactivation *env; /* of the place where the recursive loop stands */
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
    jactivation **spare; /* activations for reuse: a list per jfunc id, linked by `up` */
    uint32_t line;
    jflow flow;
};

/* Fails with a message that names the line being rendered. */
kvasir_status j_fail(jrun *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Fails with `what` and the type of v in the message. */
kvasir_status j_fail_type(jrun *r, const char *what, jval v);

/* Counts `n` units of work; an error when there have been too many. */
kvasir_status j_step(jrun *r, size_t n);
/* Enters something nested; every successful call is paired with j_up. */
kvasir_status j_down(jrun *r);
static inline void j_up(jrun *r)
{
    r->depth--;
}

/* j_down for the tree's nodes, whose nesting may be deeper; paired with r->nodes--. */
kvasir_status j_nest(jrun *r);

/* Zeroed memory that lives as long as the rendering. */
kvasir_status j_take(jrun *r, size_t count, size_t size, void *out); /* out: address of a pointer */

/* Write to the end of the output: bytes, a NUL-terminated text, a character, n times the same one. */
kvasir_status j_emit(jrun *r, const char *s, size_t n);
kvasir_status j_emit_text(jrun *r, const char *s);
kvasir_status j_emit_char(jrun *r, uint32_t c);
kvasir_status j_emit_repeat(jrun *r, char c, size_t n);
static inline size_t j_mark(const jrun *r)
{
    return r->n_out;
}
/* Takes what was emitted since the mark out of the output, as a string. */
kvasir_status j_cut(jrun *r, size_t mark, jval *out);

/* ---- ops.c: operators, subscripts -------------------------------------------------------------------- */

/* The operators of the tree: a op b, -v or +v, v[start:stop:step]. */
kvasir_status j_binary(jrun *r, jnode_type op, jval a, jval b, jval *out);
kvasir_status j_negate(jrun *r, bool minus, jval v, jval *out);
kvasir_status j_slice(jrun *r, jval v, jval start, jval stop, jval step, jval *out);
/* getattr(obj, name) within the sandbox; J_MISSING when there is none. */
kvasir_status j_safe_attribute(jrun *r, jval v, const jstr *name, jval *out);
/* Environment.getitem and Environment.getattr of Jinja's sandbox. */
kvasir_status j_get_item(jrun *r, jval v, jval key, jval *out);
kvasir_status j_get_attr(jrun *r, jval v, const jstr *name, jval *out);

/* ---- call.c: calls, globals -------------------------------------------------------------------------- */

/* The attribute that Python's type of v has under this name; J_MISSING if none. */
kvasir_status j_attribute(jrun *r, jval v, const jstr *name, jval *out);
kvasir_status j_call(jrun *r, jval f, const jargs *a, jval *out); /* calls a function, a method, a macro or a loop */
/* Binds the arguments to f's parameters. */
kvasir_status j_call_builtin(jrun *r, const jfunction *f, jval self, const jargs *a, jval *out);
jval j_global(const jstr *name); /* J_MISSING if none */
/* An argument as an integer; `otherwise` when it is missing. */
kvasir_status j_arg_int(jrun *r, jval v, jint otherwise, jint *out);
kvasir_status j_arg_text(jrun *r, jval v, const jstr **out); /* an argument that must be a string */
kvasir_status j_loop_attribute(jrun *r, jloop *loop, const jstr *name, jval *out); /* of `loop`; J_MISSING if none */

/* Calls a test and gives its answer. */
kvasir_status j_run_test(jrun *r, const jfunction *test, jval v, const jargs *a, bool *out);

/* ---- eval.c, exec.c ---------------------------------------------------------------------------------- */

/* eval.c. Values of expressions and of a call's arguments; of a filter, `text` is what it is applied to where it
   has no operand. */
kvasir_status j_eval(jrun *r, const jnode *node, jval *out);
kvasir_status j_eval_args(jrun *r, const jnode_args *from, jargs *out);
kvasir_status j_eval_filter(jrun *r, const jnode *node, jval text, jval *out);
/* exec.c. Runs a statement; assigns to a name, to several names, or to an attribute of a namespace. */
kvasir_status j_exec(jrun *r, const jnode *node);
kvasir_status j_assign(jrun *r, const jnode *target, jval v);
/* Gives the variables of a scope their first values. */
kvasir_status j_enter_scope(jrun *r, const jscope *s);
/* Calls of a macro, and of the `loop` of a recursive loop; the result is the text. */
kvasir_status j_call_macro(jrun *r, const jmacro *m, const jargs *a, jval *out);
kvasir_status j_call_loop(jrun *r, jloop *loop, const jargs *a, jval *out);
/* Fetches the item after the present one into loop->after. */
kvasir_status j_loop_peek(jrun *r, jloop *loop);
static inline jval *j_slot(jrun *r, jref ref)
{
    jactivation *e = r->env;
    for (uint32_t i = 0; i < ref.hops; i++) e = e->up;
    return &e->slots[ref.slot];
}

#endif
