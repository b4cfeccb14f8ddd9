/* Compares prefill with the machine's int8 peak: the share of what kvasir_bench calls "int8 dot" on all threads that
   the model's matrices get while --prefill tokens are read behind each of --depths tokens. Attention is not counted as
   work, so the share falls with the depth. One JSON object for each depth, each on a line: tokens and operations per
   second, the peak, the share.

     prefill_peak MODEL.gguf TEXT [--threads N] [--prefill 512] [--depths 0,4096] [--repeat 3] [--kv f16] */
#include "measure.h"

#include <stdio.h>
#include <string.h>

typedef struct limits {
    double peak; /* operations per second */
    double ops_per_token;
} limits;

/* Takes the peak on all threads, or on one where the team got less than that. */
static void on_row(void *user, const kvasir_bench_row *row)
{
    double *best = user;
    if (strcmp(row->name, "int8 dot") == 0 && row->value * 1e9 > *best) *best = row->value * 1e9;
}

/* A multiplication and an addition for each weight that one token meets: the layers' matrices, of experts those that
   are used. The output matrix is left out, since a step of a prompt computes only the last row's logits. */
static double matrix_ops(const kvasir_model *m)
{
    const kvasir_model_info *info = kvasir_model_get_info(m);
    double ops = 0;
    for (int i = 0; i < info->n_tensors; i++) {
        kvasir_tensor_info t;
        must(kvasir_model_tensor(m, i, &t));
        if (strncmp(t.name, "blk.", 4) != 0 || t.n_dims < 2) continue;
        double used = t.n_dims == 3 && info->n_expert > 0 ? (double)info->n_expert_used / info->n_expert : 1;
        ops += 2 * used * (double)t.n_elements;
    }
    return ops;
}

static void at_depth(bench *b, int depth)
{
    const limits *l = b->user;
    measured got[MAX_TYPES];
    measure_types(b, depth, b->o->prefill, b->o->prefill, got);
    double tps = got[0].best;
    (void)printf(
        "{\"test\":\"prefill peak\",\"n\":%d,\"depth\":%d,\"kv\":\"%s\",\"threads\":%d,\"level\":\"%s\",\"tps\":%.3f,"
        "\"gops\":%.2f,\"peak_gops\":%.2f,\"share\":%.4f}\n",
        b->o->prefill, depth, b->kv, b->info.n_threads, b->info.cpu_level, tps, tps * l->ops_per_token * 1e-9,
        l->peak * 1e-9, tps * l->ops_per_token / l->peak);
}

int main(int argc, char **argv)
{
    enum { SECONDS = 10 };
    options o = {.depths = "0", .kv = "f16", .prefill = 512, .repeat = 3};
    limits l = {0};
    bench b;
    parse(argc, argv, &o);
    must(kvasir_bench(&(kvasir_engine_options){.n_threads = o.threads, .cpu = o.cpu}, SECONDS, on_row, &l.peak));
    measure_open(&o, &b);
    l.ops_per_token = matrix_ops(b.model);
    b.user = &l;
    measure_depths(&b, o.kv, at_depth);
    measure_close(&b);
    return 0;
}
