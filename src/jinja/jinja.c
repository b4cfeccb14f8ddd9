/* Rendering: limits, memory, the output buffer, and the way in. */
#include "jinja/run/run.h"
#include "jinja/syntax/syntax.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NODES_PER_DEPTH = 16 };

kvasir_status j_fail(jrun *r, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fail(KVASIR_E_TEMPLATE, "line %u: %s", r->line, text);
}

kvasir_status j_fail_type(jrun *r, const char *what, jval v)
{
    return j_fail(r, "%s a value of type %s", what, j_type_name(v));
}

kvasir_status j_step(jrun *r, size_t n)
{
    if (n > r->limits.steps - r->steps) {
        r->steps = r->limits.steps;
        return j_fail(r, "the template takes more than %zu steps", r->limits.steps);
    }
    r->steps += n;
    return KVASIR_OK;
}

kvasir_status j_down(jrun *r)
{
    if (r->depth >= r->limits.depth) return j_fail(r, "the template is nested deeper than %zu", r->limits.depth);
    r->depth++;
    return KVASIR_OK;
}

kvasir_status j_nest(jrun *r)
{
    if (r->nodes >= r->limits.depth * NODES_PER_DEPTH)
        return j_fail(r, "the template is nested deeper than %zu", r->nodes);
    r->nodes++;
    return KVASIR_OK;
}

kvasir_status j_take(jrun *r, size_t count, size_t size, void *out)
{
    size_t left = r->limits.memory - r->mem.used;
    if (r->mem.used > r->limits.memory || count > left / size)
        return j_fail(r, "the template uses more than %zu bytes of memory", r->limits.memory);
    void *p = arena_alloc(&r->mem, count, size);
    if (!p) return fail_memory(count * size);
    memcpy(out, &p, sizeof p);
    return KVASIR_OK;
}

/* ---- output ------------------------------------------------------------------------------------------- */

static kvasir_status reserve(jrun *r, size_t n)
{
    if (n > r->limits.output - r->n_out) return j_fail(r, "the template writes more than %zu bytes", r->limits.output);
    if (r->n_out + n < r->room_out) return KVASIR_OK;
    size_t room = 2 * (r->n_out + n) + 256;
    char *more = mem_grow(r->out, r->room_out, room, 1);
    if (!more) return fail_memory(room);
    r->out = more;
    r->room_out = room;
    return KVASIR_OK;
}

kvasir_status j_emit(jrun *r, const char *s, size_t n)
{
    TRY(reserve(r, n));
    if (n) memcpy(r->out + r->n_out, s, n);
    r->n_out += n;
    return KVASIR_OK;
}

kvasir_status j_emit_text(jrun *r, const char *s)
{
    return j_emit(r, s, strlen(s));
}

kvasir_status j_emit_char(jrun *r, uint32_t c)
{
    char to[4];
    return j_emit(r, to, j_encode(c, to));
}

kvasir_status j_emit_repeat(jrun *r, char c, size_t n)
{
    TRY(reserve(r, n));
    if (n) memset(r->out + r->n_out, c, n);
    r->n_out += n;
    return KVASIR_OK;
}

kvasir_status j_cut(jrun *r, size_t mark, jval *out)
{
    size_t n = r->n_out - mark;
    r->n_out = mark;
    TRY(j_step(r, n / 64));
    return j_string(r, n ? r->out + mark : "", n, out);
}

/* ---- what a template reads ---------------------------------------------------------------------------- */

bool jinja_uses(const jinja *j, const char *name)
{
    size_t n = strlen(name);
    for (const jname *c = j->from_context; c; c = c->next)
        if (c->name->n == n && memcmp(c->name->s, name, n) == 0) return j_global(c->name).kind == J_MISSING;
    return false;
}

/* ---- the way in --------------------------------------------------------------------------------------- */

static kvasir_status render(jrun *r, const char *context, size_t n_context)
{
    const jinja *j = r->template;
    jval variables;
    TRY(j_json_read(r, context, n_context, &variables));
    if (variables.kind != J_DICT) return fail(KVASIR_E_ARGUMENT, "the context of a chat template is no JSON object");
    r->context = variables.dict;
    TRY(j_take(r, j->n_funcs, sizeof *r->spare, &r->spare));
    TRY(j_take(r, 1, sizeof *r->env, &r->env));
    TRY(j_take(r, j->func->slots, sizeof *r->env->slots, &r->env->slots));
    TRY(j_enter_scope(r, &j->scope));
    TRY(j_exec(r, j->root));
    return j_emit(r, "", 1);
}

static size_t or_default(size_t limit, size_t otherwise)
{
    return limit ? limit : otherwise;
}

kvasir_status jinja_render(const jinja *j, const char *context, size_t n_context, const struct tm *now,
                           const jinja_limits *limits, char **out, size_t *n_out)
{
    const jinja_limits l = limits ? *limits : (jinja_limits){0};
    jrun r = {.template = j, .now = now};
    r.limits.steps = or_default(l.steps, 20000000);
    r.limits.depth = or_default(l.depth, 200);
    r.limits.output = or_default(l.output, (size_t)64 << 20);
    r.limits.memory = or_default(l.memory, (size_t)256 << 20);
    kvasir_status status = render(&r, context, n_context);
    arena_free(&r.mem);
    if (status != KVASIR_OK) {
        mem_free(r.out);
        return status;
    }
    *out = r.out;
    *n_out = r.n_out - 1;
    return KVASIR_OK;
}
