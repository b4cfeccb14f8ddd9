/* The quality in a plan: what kvasir verify has measured of the KV types. */
#include "cli/plan/plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void print_record(const quality_record *r)
{
    char needles[48] = "-";
    if (r->needles)
        (void)snprintf(needles, sizeof needles, "%d of %d, %s", r->needles_found, r->needles,
                       count_text((uint64_t)r->deepest));
    (void)printf("    %-6s  %6s  %10.4f  ", r->kv, count_text((uint64_t)r->depth), r->kld);
    if (isfinite(r->kld_p999))
        (void)printf("%6.3f", r->kld_p999);
    else
        (void)printf("%6s", "-");
    (void)printf("  %8.1f%%  %+9.1f%%  %-16s  %s; %s%.10s\n", 100 * r->same_top, 100 * (r->ppl / r->ppl_ref - 1),
                 needles, r->holds ? "holds" : "FAILS", r->shipped ? "by kvasir's makers, " : "here, ", r->date);
}

void plan_quality_print(const quality *q, const kvasir_plan_model *m)
{
    char type[PLAN_TYPE_BYTES];
    if (!m->kv_known || !m->runs) return;
    plan_chosen_type(m, type);
    int missing = strcmp(type, "f16") != 0 && strcmp(type, "f32") != 0 && !quality_find(q, type);
    if (q->n || missing) (void)printf("  quality beside f16, as kvasir verify measured it\n");
    if (q->n)
        (void)printf("    %-6s  %6s  %10s  %6s  %9s  %10s  %-16s  %s\n", "KV", "depth", "divergence", "99.9%",
                     "same best", "perplexity", "needles, to", "verdict");
    for (int i = 0; i < q->n; i++) print_record(&q->type[i]);
    if (missing) (void)printf("    %-6s not measured: kvasir verify MODEL --steps quality --kv %s does\n", type, type);
}

void plan_quality_warn(const quality *q, const kvasir_plan_model *m)
{
    char type[PLAN_TYPE_BYTES];
    if (!m->kv_known) return;
    plan_chosen_type(m, type);
    const quality_record *r = quality_find(q, type);
    if (r && !r->holds)
        note("KV in %s has failed when kvasir verify measured its quality with this model (divergence %.4f)", type,
             r->kld);
}

json_t *plan_quality_json(const quality *q)
{
    json_t *list = json_array();
    for (int i = 0; i < q->n; i++) {
        json_t *r = quality_record_json(&q->type[i]);
        (void)json_object_set_new(r, "shipped", json_boolean(q->type[i].shipped));
        (void)json_array_append_new(list, r);
    }
    return list;
}
