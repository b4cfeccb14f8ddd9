/* kvasir bench: the machine's limits and the kernels beside them. */
#include "cli/session/session.h"

#include <stdio.h>

typedef struct bench_args {
    int threads;
    float seconds;
    const char *cpu;
    output_args output;
} bench_args;

#define FIELD(name) offsetof(bench_args, name)
static const cli_option bench_options[] = {
    {"threads", 't', CLI_INT, NULL, "N", FIELD(threads), "Threads (default: one per usable core)", 0, 1024, NULL},
    {"cpu", 0, CLI_TEXT, NULL, "LEVEL", FIELD(cpu),
     "Instruction set, or auto for the best (default: KVASIR_CPU, or auto)", 0, 0,
     "auto ref avx2 avx512vnni avx512bf16 neon dotprod"},
    {"seconds", 0, CLI_FLOAT, NULL, "S", FIELD(seconds), "Measure for about this long in all (default 10)", 0.1, 3600,
     NULL},
    {0},
};
static const cli_option other_options[] = {
    {"model", 0, CLI_REFUSED, "-m -hf --hf-repo", "MODEL", 0,
     "the machine is measured, without a model; kvasir sweep MODEL measures a model's speed", 0, 0, NULL},
    {0},
};
static const cli_group bench_groups[] = {
    {"Measuring", bench_options, 0}, {"Output", output_options, FIELD(output)}, {NULL, other_options, 0}, {0}};
static const cli_example bench_examples[] = {
    {"kvasir bench", "Memory bandwidth, peak arithmetic, and each kernel's share of them."},
    {"kvasir bench --cpu avx2 -t 1 --json", "One instruction set on one thread, as JSON."},
    {0},
};

static void bench_defaults(void *args)
{
    ((bench_args *)args)->seconds = 10;
}

static void print_row(void *user, const kvasir_bench_row *r)
{
    (void)user;
    (void)printf("%-40s %3d %10.2f %-8s", r->name, r->threads, r->value, r->unit);
    if (r->limit > 0) (void)printf(" %5.1f%%", 100 * r->value / r->limit);
    (void)putchar('\n');
    (void)fflush(stdout);
}

static void collect_row(void *user, const kvasir_bench_row *r)
{
    (void)json_array_append_new(
        user, json_pack("{s:s, s:s, s:f, s:o, s:o, s:i}", "name", r->name, "unit", r->unit, "value", r->value, "limit",
                        r->limit > 0 ? json_real(r->limit) : json_null(), "share",
                        r->limit > 0 ? json_real(r->value / r->limit) : json_null(), "threads", r->threads));
}

static int bench_main(void *args)
{
    const bench_args *a = args;
    kvasir_engine_options o = {.n_threads = a->threads, .cpu = cpu_choice(a->cpu)};
    output_apply(&a->output);
    if (!a->output.json) {
        (void)printf("%-40s %3s %10s %-8s %6s\n", "what", "thr", "value", "unit", "share");
        kvasir_status status = kvasir_bench(&o, (double)a->seconds, print_row, NULL);
        return status == KVASIR_OK ? finish_output(EXIT_DONE) : failed(status);
    }
    json_t *rows = json_array();
    kvasir_status status = kvasir_bench(&o, (double)a->seconds, collect_row, rows);
    if (status != KVASIR_OK) {
        json_decref(rows);
        return failed(status);
    }
    json_t *d = json_document("bench");
    (void)json_object_set_new(d, "rows", rows);
    return print_json(d);
}

const cli_command bench_command = {
    .name = "bench",
    .summary = "Measure this machine and the kernels",
    .about = "Measures memory bandwidth and peak arithmetic, then each kernel beside the limit that bounds "
             "it. A share of 100% cannot be "
             "beaten on this machine.",
    .examples = bench_examples,
    .groups = bench_groups,
    .size = sizeof(bench_args),
    .defaults = bench_defaults,
    .run = bench_main,
};
