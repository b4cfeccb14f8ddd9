/* One rendering: its state and limits, and what walks the tree. Text is written to the end of one buffer, and what is to
   become a string is cut off there again (j_mark, j_cut). */
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

/* ---- ops.c: operators, subscripts -------------------------------------------------------------------- */

kvasir_status j_binary(jrun *r, jnode_type op, jval a, jval b, jval *out);
kvasir_status j_negate(jrun *r, bool minus, jval v, jval *out);
kvasir_status j_slice(jrun *r, jval v, jval start, jval stop, jval step, jval *out);
/* getattr(obj, name) behind the sandbox; J_MISSING when there is none. */
kvasir_status j_safe_attribute(jrun *r, jval v, const jstr *name, jval *out);
/* Environment.getitem and Environment.getattr of Jinja's sandbox. */
kvasir_status j_get_item(jrun *r, jval v, jval key, jval *out);
kvasir_status j_get_attr(jrun *r, jval v, const jstr *name, jval *out);

/* ---- call.c: calls, globals -------------------------------------------------------------------------- */

/* The attribute that Python's type of v has under this name; J_MISSING if none. */
kvasir_status j_attribute(jrun *r, jval v, const jstr *name, jval *out);
kvasir_status j_call(jrun *r, jval f, const jargs *a, jval *out);
kvasir_status j_call_builtin(jrun *r, const jfunction *f, jval self, const jargs *a, jval *out);
jval j_global(const jstr *name); /* J_MISSING if none */
/* An argument as integer; `otherwise` when it is missing. */
kvasir_status j_arg_int(jrun *r, jval v, jint otherwise, jint *out);
kvasir_status j_arg_text(jrun *r, jval v, const jstr **out);
kvasir_status j_loop_attribute(jrun *r, jloop *loop, const jstr *name, jval *out);

/* Calls a test and gives its answer. */
kvasir_status j_run_test(jrun *r, const jfunction *test, jval v, const jargs *a, bool *out);

/* ---- eval.c, exec.c ---------------------------------------------------------------------------------- */

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

#endif
