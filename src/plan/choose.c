/* What a plan leaves open is chosen here: first memory stays inside its boundary, then KV gets smaller step by step, then
   the context shorter. */
#include "plan/planning.h"

#include "base/checked.h"
#include "base/format.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_ROOM = 512, CONTEXT_UNIT = 256, MARGIN_SHARE = 100 };
/* Within this or a hundredth the resident memory of a run is the plan's: see tests/e2e/plan/test_plan.py. */
static const uint64_t margin_least = (uint64_t)64 << 20;

kvasir_status plan_say(planning *p, const char **list, int *n, const char *format, ...)
{
    char text[TEXT_ROOM];
    va_list args;
    if (*n == PLAN_MAX_TEXTS) return KVASIR_OK;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    list[*n] = arena_text(p->memory, text, strlen(text));
    if (!list[*n]) return fail_memory(strlen(text));
    (*n)++;
    return KVASIR_OK;
}

uint64_t plan_add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return ck_add(a, b, &sum) ? sum : UINT64_MAX;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* "q8" or "q8:q4" */
static const char *level_text(const planning *p, int level, char *to, size_t n)
{
    const kv_type *t = p->level[level];
    if (t[0] == t[1])
        (void)snprintf(to, n, "%s", kv_type_name(t[0]));
    else
        (void)snprintf(to, n, "%s:%s", kv_type_name(t[0]), kv_type_name(t[1]));
    return to;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static uint64_t fixed_bytes(const planning *p)
{
    uint64_t sum = p->plan->program_bytes;
    for (int i = 0; i < p->n_models; i++) {
        const planned *m = &p->model[i];
        sum = plan_add(sum, m->weights_bytes);
        sum = plan_add(sum, m->buffer_bytes);
        sum = plan_add(sum, m->state_bytes * (uint64_t)p->plan->users);
    }
    return sum;
}

static kvasir_status draw_boundary(planning *p)
{
    kvasir_plan *plan = p->plan;
    char a[FORMAT_BYTES], b[FORMAT_BYTES], c[FORMAT_BYTES], d[FORMAT_BYTES];
    uint64_t fixed = fixed_bytes(p), share = plan->budget / MARGIN_SHARE;
    plan->margin = share > margin_least ? share : margin_least;
    p->room = less(less(plan->budget, plan->reserve), plan->margin);
    p->kv_room = less(p->room, fixed);
    TRY(plan_say(p, p->why, &plan->n_why, "%s %s, less %s for other programs, less a margin of %s: %s to use",
                 p->o->budget ? "a budget of" : "free memory is", format_size(plan->budget, a),
                 format_size(plan->reserve, b), format_size(plan->margin, c), format_size(p->room, d)));
    return plan_say(p, p->why, &plan->n_why, "weights, buffers and the program take %s: %s %s", format_size(fixed, a),
                    format_size(fixed > p->room ? fixed - p->room : p->kv_room, b),
                    fixed > p->room ? "too much before any KV" : "are left for KV");
}

/* ---- one level ----------------------------------------------------------------------------------------------------- */

static int context_below(const planned *m, int cap)
{
    return min_int(m->target, cap);
}

/* KV of all users with a mark of each. */
static uint64_t with_marks(const planning *p, const plan_kv *kv, int n)
{
    return plan_add(plan_kv_total(kv, n, p->plan->users, p->plan->prefix), plan_kv_marks(kv, n, p->plan->users));
}

static uint64_t need(const planning *p, int level, int cap)
{
    uint64_t sum = 0;
    for (int i = 0; i < p->n_models; i++) {
        const planned *m = &p->model[i];
        if (m->known) sum = plan_add(sum, with_marks(p, &m->kv[level], context_below(m, cap)));
    }
    return sum;
}

static bool holds(const planning *p, int level)
{
    for (int i = 0; i < p->n_models; i++)
        if (p->model[i].known && !p->model[i].holds[level]) return false;
    return true;
}

static bool level_fits(const planning *p, int level, int cap)
{
    uint64_t peak = 0;
    for (int i = 0; i < p->n_models; i++) {
        const planned *m = &p->model[i];
        if (m->known)
            peak =
                plan_add(peak, plan_kv_peak(&m->kv[level], context_below(m, cap), p->plan->users, p->plan->prefix, 1));
    }
    return peak <= p->kv_room;
}

/* Whether a list with commas has a name. */
static bool is_listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (; list && *list; list += strcspn(list, ","), list += *list == ',')
        if (strcspn(list, ",") == n && memcmp(list, name, n) == 0) return true;
    return false;
}

/* Measured, it costs too much. A type that was asked for is the user's choice. */
static bool left_out(const planning *p, int level)
{
    char type[16];
    return !p->o->kv && is_listed(p->o->unusable, level_text(p, level, type, sizeof type));
}

/* The largest common limit on the contexts with which a level fits; 0: none. */
static int longest_cap(const planning *p, int level)
{
    int low = 0, high = 0;
    for (int i = 0; i < p->n_models; i++)
        if (p->model[i].known) high = max_int(high, p->model[i].target);
    high = (int)ceil_div((size_t)high, CONTEXT_UNIT);
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        if (level_fits(p, level, middle * CONTEXT_UNIT))
            low = middle;
        else
            high = middle - 1;
    }
    return low * CONTEXT_UNIT;
}

static int longest_target(const planning *p)
{
    int most = 0;
    for (int i = 0; i < p->n_models; i++)
        if (p->model[i].known) most = max_int(most, p->model[i].target);
    return most;
}

static void take(planning *p, int level, int cap)
{
    p->chosen = level;
    for (int i = 0; i < p->n_models; i++)
        if (p->model[i].known) p->model[i].ctx = context_below(&p->model[i], cap);
}

/* ---- choosing ------------------------------------------------------------------------------------------------------ */

/* Tries the levels in their order; *last is the smallest that can hold the rows, -1 without one. */
static kvasir_status try_levels(planning *p, int *last, bool *found)
{
    char type[16], a[FORMAT_BYTES], b[FORMAT_BYTES];
    kvasir_plan *plan = p->plan;
    int most = longest_target(p);
    *last = -1;
    *found = false;
    for (int level = 0; level < p->n_levels && !*found; level++) {
        level_text(p, level, type, sizeof type);
        if (!holds(p, level)) {
            TRY(plan_say(p, p->why, &plan->n_why, "KV in %s is not possible: a head size does not allow it", type));
            continue;
        }
        if (left_out(p, level)) {
            TRY(plan_say(p, p->why, &plan->n_why, "KV in %s is left out: measured, it costs too much quality", type));
            continue;
        }
        *last = level;
        uint64_t bytes = need(p, level, INT32_MAX);
        *found = level_fits(p, level, INT32_MAX);
        TRY(plan_say(p, p->why, &plan->n_why, "KV in %s %s %d tokens takes %s: %s%s", type,
                     p->n_models > 1 ? "at up to" : "at", most, format_size(bytes, a),
                     *found ? "fits" : format_size(bytes > p->kv_room ? bytes - p->kv_room : 1, b),
                     *found ? "" : " too much"));
        if (*found) take(p, level, INT32_MAX);
    }
    return KVASIR_OK;
}

static kvasir_status choose_kv(planning *p)
{
    char type[16];
    bool found = false;
    int last = p->n_levels - 1;
    if (fixed_bytes(p) <= p->room)
        TRY(try_levels(p, &last, &found));
    else
        while (last >= 0 && (!holds(p, last) || left_out(p, last)))
            last--; /* no type helps; the smallest shows how much is missing at least */
    if (last < 0)
        return fail(KVASIR_E_ARGUMENT, "no KV type holds the head sizes of these models together%s",
                    p->o->unusable && *p->o->unusable ? " and has not failed when its quality was measured" : "");
    if (found) return KVASIR_OK;
    int cap = p->o->ctx ? 0 : longest_cap(p, last);
    level_text(p, last, type, sizeof type);
    take(p, last, cap ? cap : INT32_MAX);
    if (!cap) return KVASIR_OK;
    return plan_say(p, p->why, &p->plan->n_why, "so the context is shortened: in %s %d tokens fit", type,
                    min_int(cap, longest_target(p)));
}

uint64_t plan_kv_room_of(const planning *p, int i, uint64_t more)
{
    uint64_t room = less(plan_add(p->room, more), fixed_bytes(p));
    for (int j = 0; j < p->n_models; j++) {
        const planned *m = &p->model[j];
        if (j == i || !m->known) continue;
        room = less(room, with_marks(p, &m->kv[p->chosen], m->ctx));
    }
    return room;
}

/* ---- what would fit ------------------------------------------------------------------------------------------------ */

static kvasir_status say_shorter(planning *p)
{
    char type[16];
    kvasir_plan *plan = p->plan;
    if (p->chosen < 0) return KVASIR_OK;
    int cap = longest_cap(p, p->chosen);
    level_text(p, p->chosen, type, sizeof type);
    if (cap > 0) TRY(plan_say(p, p->remedies, &plan->n_remedies, "a context of %d tokens at %s", cap, type));
    static const kv_type smaller[] = {KV_Q8, KV_Q4};
    if (p->n_models > 1) return KVASIR_OK;
    const planned *m = &p->model[0];
    for (int i = 0; i < 2; i++) { /* types that the options excluded */
        arena scratch = {0};
        plan_kv kv;
        kvasir_status status = plan_kv_make(&m->shape, smaller[i], smaller[i], &scratch, &kv);
        bool fits = status == KVASIR_OK && plan_kv_max_tokens(&kv, p->kv_room, plan->users, plan->prefix, 1) >= m->ctx;
        if (status == KVASIR_OK) plan_kv_free(&kv);
        arena_free(&scratch);
        if (fits && p->level[p->chosen][0] < smaller[i] && !is_listed(p->o->unusable, kv_type_name(smaller[i])))
            return plan_say(p, p->remedies, &plan->n_remedies, "KV in %s at %d tokens", kv_type_name(smaller[i]),
                            m->ctx);
    }
    return KVASIR_OK;
}

static kvasir_status judge(planning *p)
{
    char a[FORMAT_BYTES];
    kvasir_plan *plan = p->plan;
    uint64_t fixed = fixed_bytes(p), total = fixed;
    bool all_known = true;
    for (int i = 0; i < p->n_models; i++) {
        const planned *m = &p->model[i];
        all_known = all_known && m->known;
        if (m->known) total = plan_add(total, with_marks(p, &m->kv[p->chosen], m->ctx));
    }
    plan->total_bytes = total;
    plan->fits = plan->total_bytes <= p->room && all_known;
    plan->missing_bytes = less(plan->total_bytes, p->room);
    if (plan->missing_bytes == 0) return KVASIR_OK;
    if (fixed < p->room) TRY(say_shorter(p));
    uint64_t enough = plan_add(total, plan->reserve); /* and a margin, which grows with the budget */
    uint64_t share = enough / (MARGIN_SHARE - 1) + 1;
    enough = plan_add(enough, share > margin_least ? share : margin_least);
    return plan_say(p, p->remedies, &plan->n_remedies, "a budget of %s%s", all_known ? "" : "more than ",
                    format_size_up(enough, a));
}

kvasir_status plan_choose(planning *p)
{
    bool known = false;
    p->chosen = -1;
    for (int i = 0; i < p->n_models; i++) known = known || p->model[i].known;
    TRY(draw_boundary(p));
    if (known) TRY(choose_kv(p));
    TRY(plan_say(p, p->why, &p->plan->n_why, "threads: %s %d; a step computes up to %d tokens",
                 p->o->n_threads ? "as given," : "one for each usable core,", p->plan->n_threads, p->plan->max_batch));
    return judge(p);
}
