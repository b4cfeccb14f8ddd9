/* kvasir tune: options, and the steps in their order. */
#include "cli/tune/tune.h"
#include "cli/files/config_file.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/format.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const tune_types[TUNE_TYPES] = {"f16", "q8", "q8:q4", "q4"};
static const int chunks[] = {64, 128, 256, 512, 1024, 2048};
enum {
    N_CHUNKS = sizeof chunks / sizeof *chunks,
    DEFAULT_CHUNK = 3,
    DEFAULT_DEPTH = 4096,
    DEFAULT_REPEAT = 3,
    LOGITS = 64
};

#define FIELD(name) offsetof(tune_args, name)
static const cli_option goal_options[] = {
    {"ctx", 'c', CLI_COUNT, "--ctx-size", "N", FIELD(engine.ctx),
     "Tokens of context, K and M allowed (default: chosen, at most what the model was trained for)", 1, 1 << 27, NULL},
    {"want-ctx", 0, CLI_COUNT, NULL, "N", FIELD(want_ctx),
     "Context to aim for: KV gets smaller until it fits, then the context shorter", 1, 1 << 27, NULL},
    {"budget", 0, CLI_SIZE, NULL, "SIZE", FIELD(budget),
     "Memory for everything, K, M, G allowed (default: what is free now); never exceeded, while tuning neither", 1,
     0x1p62, NULL},
    {"reserve", 0, CLI_SIZE, NULL, "SIZE", FIELD(reserve), "Of it for other programs (default 0)", 0, 0, NULL},
    {0},
};
static const cli_option measure_options[] = {
    {"depth", 'd', CLI_COUNT, NULL, "N", FIELD(depth),
     "Tokens in the cache where speed counts (default 4096, or what half of the context allows)", 0, 1 << 27, NULL},
    {"repeat", 'r', CLI_INT, NULL, "N", FIELD(repeat), "Rounds of each comparison at most (default 3)", 1,
     TUNE_MAX_REPEAT, NULL},
    {"text", 'f', CLI_FILE, "--file", "FILE", FIELD(text), "The text that is read (default: one that is built in)", 0,
     0, NULL},
    {"threads", 't', CLI_INT, NULL, "N", FIELD(engine.threads), "Threads at most (default: one per usable core)", 0,
     1024, NULL},
    {"cpu", 0, CLI_TEXT, NULL, "LEVEL", FIELD(engine.cpu),
     "Instruction set, or auto for the best (default: KVASIR_CPU, or auto)", 0, 0,
     "auto ref avx2 avx512vnni avx512bf16 neon dotprod"},
    {"out", 'o', CLI_FILE, NULL, "FILE", FIELD(out),
     "The configuration, written anew after each comparison (default: where --config auto looks)", 0, 0, NULL},
    {0},
};
static const cli_group tune_groups[] = {
    {"What is wanted", goal_options, 0},
    {"How it is found", measure_options, 0},
    {"Output", output_options, FIELD(output)},
    {0},
};
static const cli_example tune_examples[] = {
    {"kvasir tune model.gguf", "Finds the best configuration for the free memory."},
    {"kvasir tune model.gguf --want-ctx 64K --budget 8G --reserve 3G --out model.json",
     "64K tokens beside a browser, kept in a file of one's own."},
    {"kvasir run model.gguf --config auto", "Runs with what was found."},
    {0},
};

static void defaults(void *args)
{
    ((tune_args *)args)->depth = -1;
}

/* ---- memory: the boundary ------------------------------------------------------------------------------ */

static kvasir_status plan(const tune *t, const char *kv, int batch, kvasir_plan **out)
{
    const kvasir_model *models[] = {t->s.model};
    kvasir_plan_options o = {.ctx = t->ctx,
                             .want_ctx = t->args->want_ctx,
                             .kv = kv,
                             .unusable = t->unusable,
                             .budget = t->budget,
                             .reserve = t->args->reserve,
                             .n_threads = t->cores,
                             .max_batch = batch,
                             .n_logits = LOGITS};
    return kvasir_plan_make(models, 1, &o, out);
}

/* The context, and the boundary from here on; what does not fit is said with what would. */
static kvasir_status choose_context(tune *t)
{
    kvasir_plan *p = NULL;
    t->ctx = t->args->engine.ctx;
    t->budget = t->args->budget;
    TRY(plan(t, NULL, chunks[DEFAULT_CHUNK], &p));
    t->ctx = p->models[0].ctx;
    t->budget = p->budget;
    t->reserve = p->reserve;
    t->margin = p->margin;
    t->cores = p->n_threads;
    kvasir_status status = KVASIR_OK;
    if (!p->fits) {
        status =
            fail(KVASIR_E_MEMORY, "does not fit: %s are needed and %s are missing%s%s", bytes_text(p->total_bytes),
                 bytes_text(p->missing_bytes), p->n_remedies ? "; fits: " : "", p->n_remedies ? p->remedies[0] : "");
    }
    kvasir_plan_free(p);
    return status;
}

/* Which types hold the context inside the boundary, the first of them, and what it leaves to the pool with the largest
   chunk that fits beside it. */
static kvasir_status find_fits(tune *t, const quality *q)
{
    uint64_t boundary = t->budget - min_size(t->budget, t->reserve + t->margin);
    t->now = (tune_point){.type = -1, .threads = t->cores, .chunk = chunks[DEFAULT_CHUNK]};
    for (int i = 0; i < TUNE_TYPES; i++) {
        kvasir_plan *p = NULL;
        if (plan(t, tune_types[i], chunks[DEFAULT_CHUNK], &p) != KVASIR_OK)
            continue; /* no such type for its head size */
        const kvasir_plan_model *m = &p->models[0];
        const quality_record *r = quality_find(q, tune_types[i]);
        t->fit[i] = (tune_fit){p->total_bytes, m->kv_bytes + m->state_bytes, p->fits, r && !r->holds};
        if (p->fits && !t->fit[i].fails && t->now.type < 0) t->now.type = i;
        kvasir_plan_free(p);
    }
    if (t->now.type < 0) return fail(KVASIR_E_MEMORY, "no KV type holds %d tokens in %s", t->ctx, bytes_text(boundary));
    for (int c = N_CHUNKS - 1; c >= 0 && t->kv_room == 0; c--) {
        kvasir_plan *p = NULL;
        if (c > DEFAULT_CHUNK && chunks[c] > t->ctx) continue;
        TRY(plan(t, tune_types[t->now.type], chunks[c], &p));
        if (p->fits) {
            t->max_batch = chunks[c];
            t->kv_room = boundary -
                         (p->total_bytes - p->models[0].kv_bytes - p->models[0].mark_bytes - p->models[0].state_bytes);
        }
        kvasir_plan_free(p);
    }
    return KVASIR_OK;
}

static void print_memory(const tune *t)
{
    (void)printf("Memory: %s, less %s for other programs and a margin of %s; %s tokens of context\n",
                 bytes_text(t->budget), bytes_text(t->reserve), bytes_text(t->margin), count_text((uint64_t)t->ctx));
    for (int i = 0; i < TUNE_TYPES; i++)
        if (t->fit[i].total_bytes)
            (void)printf("  %-8s %10s in all, KV %10s  %s\n", tune_types[i], bytes_text(t->fit[i].total_bytes),
                         bytes_text(t->fit[i].kv_bytes),
                         !t->fit[i].fits   ? "does not fit"
                         : t->fit[i].fails ? "left out: kvasir verify found that it costs too much quality"
                                           : "fits");
    (void)printf("Speed behind %s tokens: seconds of reading %d and generating %d\n", count_text((uint64_t)t->depth),
                 TUNE_READ, TUNE_GENERATE);
    (void)fflush(stdout);
}

/* Where it is measured: so that two types fit beside each other when the context itself is as large as can be. */
static kvasir_status choose_depth(tune *t)
{
    t->behind = max_int(1, min_int(max_int(t->max_batch, TUNE_READ), t->ctx / 4));
    t->depth = t->args->depth;
    if (t->depth < 0) t->depth = max_int(0, min_int(DEFAULT_DEPTH, t->ctx / 2 - t->behind));
    t->behind = min_int(t->behind, t->ctx - t->depth);
    if (t->behind >= 2) return KVASIR_OK;
    return fail(KVASIR_E_CONTEXT, "a depth of %d leaves nothing to measure of a context of %d", t->depth, t->ctx);
}

/* ---- the steps ---------------------------------------------------------------------------------------- */

/* From the most faithful type that fits to smaller ones, as long as each is faster. */
static kvasir_status step_kv(tune *t)
{
    for (int i = t->now.type + 1, better = 1; i < TUNE_TYPES && better; i++) {
        tune_point other = t->now;
        other.type = i;
        if (t->fit[i].fits && !t->fit[i].fails) TRY(tune_compare(t, TUNE_KV, other, &better));
    }
    tune_free_bases(t, t->now.type);
    return KVASIR_OK;
}

/* Down and up in steps that halve: speed over threads has one top. */
static kvasir_status step_threads(tune *t)
{
    int tried[2] = {t->cores, t->cores}; /* the neighbours that have lost already */
    for (int step = max_int(t->cores / 2, 1); step >= 1; step /= 2) {
        for (int sign = -1; sign <= 1; sign += 2) {
            tune_point other = t->now;
            int better = 0;
            other.threads += sign * step;
            if (other.threads < 1 || other.threads > t->cores || other.threads == tried[0] || other.threads == tried[1])
                continue;
            int before = t->now.threads;
            TRY(tune_compare(t, TUNE_THREADS, other, &better));
            tried[sign > 0] = better ? before : other.threads;
        }
    }
    return KVASIR_OK;
}

/* To the larger and to the smaller side as long as it gets faster. */
static kvasir_status step_chunk(tune *t)
{
    int at = 0, moved = 0;
    while (at < N_CHUNKS - 1 && chunks[at] < t->now.chunk) at++;
    for (int sign = 1; sign >= -1 && !moved; sign -= 2) {
        int better = 1;
        for (int i = at + sign; i >= 0 && i < N_CHUNKS && better; i += sign) {
            tune_point other = t->now;
            other.chunk = chunks[i];
            if (other.chunk > t->max_batch || max_int(other.chunk, t->now.chunk) > t->behind) break;
            TRY(tune_compare(t, TUNE_CHUNK, other, &better));
            moved |= better;
        }
    }
    return KVASIR_OK;
}

static kvasir_status step_draft(tune *t)
{
    tune_point other = t->now;
    other.draft = 1;
    return t->behind > 8 ? tune_compare(t, TUNE_DRAFT, other, NULL) : KVASIR_OK;
}

static kvasir_status search(tune *t)
{
    t->now.chunk = min_int(t->now.chunk, t->max_batch);
    TRY(tune_take_saved(t));
    if (!t->saved) TRY(tune_save(t));
    if (!t->args->output.json) print_memory(t);
    TRY(step_kv(t));
    TRY(step_threads(t));
    TRY(step_chunk(t));
    TRY(step_draft(t));
    t->complete = 1;
    return tune_save(t);
}

/* ---- the command --------------------------------------------------------------------------------------- */

static int report(const tune *t, double seconds)
{
    kvasir_engine_info info;
    kvasir_engine_get_info(t->s.engine, &info);
    if (t->args->output.json) {
        json_t *d = json_document("tune");
        (void)json_object_set_new(d, "out", json_text_or_null(t->out));
        (void)json_object_set_new(d, "seconds", json_number(seconds));
        (void)json_object_set_new(d, "config", tune_document(t));
        (void)json_object_set_new(d, "memory", json_memory(t->s.engine));
        return print_json(d);
    }
    char took[FORMAT_BYTES];
    (void)printf("Chosen: %s tokens, KV %s, %d thread%s, chunk %d, draft %s; %s, at most %s of memory\n",
                 count_text((uint64_t)t->ctx), tune_types[t->now.type], t->now.threads, t->now.threads == 1 ? "" : "s",
                 t->now.chunk, t->now.draft ? "lookup" : "none", format_time(seconds, took),
                 bytes_text(info.peak_resident_bytes));
    (void)printf("Written to %s; use it with --config %s\n", t->out, t->args->out ? t->out : "auto");
    return finish_output(EXIT_DONE);
}

static kvasir_status prepare(tune *t)
{
    quality q;
    quality_read(t->s.info, &q);
    (void)quality_unusable(&q, t->unusable);
    TRY(choose_context(t));
    TRY(find_fits(t, &q));
    TRY(choose_depth(t));
    TRY(sweep_fingerprint(&t->s, t->fingerprint));
    return sweep_text_ids(&t->s, t->args->text, t->depth, t->behind, &t->ids, t->text_hash);
}

static kvasir_status default_out(tune *t)
{
    TRY(config_default_path(t->s.path, t->out, sizeof t->out));
    TRY(file_make_folders(t->out));
    return output_check(t->out);
}

static int run(tune *t)
{
    const tune_args *a = t->args;
    double started = clock_now();
    kvasir_status status = output_check(a->out);
    if (status != KVASIR_OK) return failed(status);
    int code = session_open_model(a->model, &a->engine, &a->output, &t->s);
    if (code != EXIT_DONE) return code;
    if (a->out)
        (void)snprintf(t->out, sizeof t->out, "%s", a->out);
    else
        status = default_out(t);
    if (status == KVASIR_OK) status = prepare(t);
    if (status != KVASIR_OK) return failed(status);
    engine_args e = {.threads = t->cores, .cpu = a->engine.cpu, .chunk = t->max_batch, .kv_memory = t->kv_room};
    code = session_load(&e, LOGITS, &t->s);
    if (code != EXIT_DONE) return code;
    status = search(t);
    if (status == KVASIR_OK) return report(t, clock_now() - started);
    code = failed(status);
    if (code == EXIT_STOPPED) note("%s has what is known so far; the same command goes on from there", t->out);
    return code;
}

static int tune_main(void *args)
{
    const tune_args *a = args;
    if (a->engine.ctx && a->want_ctx)
        return usage_error("--ctx fixes the context, --want-ctx lets it be chosen: one of them");
    if (a->out && strlen(a->out) >= sizeof((tune *)NULL)->out) return usage_error("--out: the path is too long");
    tune *t = mem_alloc(1, sizeof *t);
    if (!t) return failed(fail_memory(sizeof *t));
    t->args = a;
    t->repeat = a->repeat ? a->repeat : DEFAULT_REPEAT;
    t->cores = a->engine.threads;
    t->evidence = json_array();
    int code = run(t);
    tune_free_bases(t, -1);
    session_close(&t->s);
    json_decref(t->evidence);
    json_decref(t->saved);
    mem_free(t->ids);
    mem_free(t);
    return code;
}

const cli_command tune_command = {
    .name = "tune",
    .argument = CLI_ARGUMENT_MODEL,
    .argument_field = FIELD(model),
    .summary = "Find the best configuration by measuring",
    .about =
        "Finds the context, KV type, threads, chunk and draft for a model on this machine, in this order: first "
        "what keeps memory inside the boundary, which is never crossed, tuning included; then the KV type; then "
        "threads, chunk, and whether drafts pay. Each step compares configurations in turns, shows both numbers, "
        "and takes the new one only for a gain that noise does not explain.\n\n"
        "The result is a file for --config of run, sweep and eval. After Ctrl-C it holds what is known so far, and "
        "the same command goes on from there.",
    .examples = tune_examples,
    .groups = tune_groups,
    .size = sizeof(tune_args),
    .defaults = defaults,
    .run = tune_main,
};
