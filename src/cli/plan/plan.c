/* kvasir plan: what models would take before they are loaded, and which configuration fits. */
#include "cli/plan/plan.h"
#include "cli/models/models.h"
#include "cli/session/remote.h"
#include "base/checked.h"
#include "base/mem.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

typedef struct plan_args {
    cli_list models;
    const char *peer;
    uint64_t budget, reserve;
    int want_ctx, users, prefix;
    engine_args engine; /* ctx, the KV types, threads and chunk */
    plan_speed_args speed;
    output_args output;
} plan_args;

#define FIELD(name) offsetof(plan_args, name)
static const cli_option use_options[] = {
    {"ctx", 'c', CLI_COUNT, "--ctx-size", "N", FIELD(engine.ctx),
     "Tokens of context, K and M allowed (default: chosen, at most what the model was trained for)", 1, 1 << 27, NULL},
    {"want-ctx", 0, CLI_COUNT, NULL, "N", FIELD(want_ctx),
     "Context to aim for: KV gets smaller until it fits, then the context shorter", 1, 1 << 27, NULL},
    {"kv", 0, CLI_TEXT, "--cache-type", "T", FIELD(engine.kv),
     "Type of the KV cache: f16, q8, q4, f32, or two as K:V; with --for that program's names as well (default: chosen)",
     0, 0, "f16 q8 q8:q4 q4 f32"},
    {"cache-type-k", 0, CLI_TEXT, "-ctk", "T", FIELD(engine.kv_k), "Type of K alone (also -ctk)", 0, 0,
     "f16 q8 q4 f32"},
    {"cache-type-v", 0, CLI_TEXT, "-ctv", "T", FIELD(engine.kv_v), "Type of V alone (also -ctv)", 0, 0,
     "f16 q8 q4 f32"},
    {"users", 0, CLI_INT, "--parallel -np", "N", FIELD(users), "Sequences of each model at once (default 1)", 1, 1024,
     NULL},
    {"prefix", 0, CLI_COUNT, NULL, "N", FIELD(prefix), "Tokens at their start that all users share (default 0)", 0,
     1 << 27, NULL},
    {0},
};
static const cli_option memory_options[] = {
    {"budget", 0, CLI_SIZE, NULL, "SIZE", FIELD(budget),
     "Memory for everything, K, M, G allowed (default: what is free now)", 1, 0x1p62, NULL},
    {"reserve", 0, CLI_SIZE, NULL, "SIZE", FIELD(reserve), "Of it for other programs (default 0)", 0, 0, NULL},
    {"threads", 't', CLI_INT, NULL, "N", FIELD(engine.threads), "Threads (default: one per usable core)", 0, 1024,
     NULL},
    {"chunk", 'b', CLI_COUNT, "--batch --batch-size --ubatch-size -ub", "N", FIELD(engine.chunk),
     "Prompt tokens that are computed together (default 512); decides the size of the buffers", 0, 16384, NULL},
    {"for", 0, CLI_TEXT, NULL, "PROGRAM", FIELD(peer),
     "Also print another program's memory table and command line: llama.cpp", 0, 0, "llama.cpp"},
    {0},
};
static const cli_option speed_options[] = {
    {"machine", 0, CLI_FILE, NULL, "NAME", FIELD(speed.machine),
     "Predict for the machine of this profile: a file, or a name of kvasir probe --list (default: what kvasir probe "
     "stored)",
     0, 0, NULL},
    {"sweep", 0, CLI_FILE, NULL, "FILE", FIELD(speed.sweep),
     "Correct the prediction by what kvasir sweep --out measured of this model on this machine", 0, 0, NULL},
    {"depths", 0, CLI_TEXT, NULL, "LIST", FIELD(speed.depths),
     "Depths to predict speed for, separated by commas: 0,8K,64K", 0, 0, NULL},
    {"min-tps", 0, CLI_FLOAT, NULL, "X", FIELD(speed.min_tps),
     "Shorten the context to where decoding is predicted to reach X tokens per second", 0, 1e9, NULL},
    {0},
};
static const cli_group plan_groups[] = {
    {"Use", use_options, 0},
    {"Memory", memory_options, 0},
    {"Speed", speed_options, 0},
    {"Output", output_options, FIELD(output)},
    {0},
};
static const cli_example plan_examples[] = {
    {"kvasir plan model.gguf", "What the model takes, and the best configuration that fits the free memory."},
    {"kvasir plan model.gguf --want-ctx 128K --budget 8G --reserve 3G",
     "The types with which 128K tokens fit beside a browser."},
    {"kvasir plan model.gguf --ctx 32K --users 8 --prefix 2K", "Eight conversations behind one system prompt."},
    {"kvasir plan 14b.gguf 3b.gguf --ctx 16K", "Two models at once."},
    {"kvasir plan hf:OWNER/REPO:q4_k_m", "A model that is not here yet: only its header is fetched."},
    {"kvasir plan model.gguf --ctx 64K --kv q8_0 --for llama.cpp", "The same for another program."},
    {0},
};

enum { LABEL = 26 };

/* ---- text --------------------------------------------------------------------------------------------------------- */

static const char *shown(const char *s)
{
    return s && *s ? quoted(s, strlen(s)) : "-";
}

static void print_line(const char *label, uint64_t bytes, const char *says)
{
    (void)printf("  %-*s %10s%s%s\n", LABEL, label, bytes_text(bytes), *says ? "  " : "", says);
}

static void print_weights(const kvasir_plan_model *m)
{
    char label[64], says[96];
    const int none = kvasir_model_get_info(m->model)->n_tensors == 0;
    print_line("weights", m->weights_bytes,
               none      ? "not known: the file has no tensors"
               : m->runs ? ""
                         : "as in the file");
    for (int i = 0; i < m->n_weights; i++) {
        const kvasir_plan_weights *w = &m->weights[i];
        (void)snprintf(label, sizeof label, "  %s%s", w->type, w->in_memory ? "" : ", read from the file");
        (void)snprintf(says, sizeof says, "%d tensor%s, %s of file", w->n_tensors, w->n_tensors == 1 ? "" : "s",
                       bytes_text(w->file_bytes));
        print_line(label, w->bytes, says);
    }
}

static void print_kv(const kvasir_plan *p, const kvasir_plan_model *m)
{
    char says[192], trained[64] = "";
    if (!m->kv_known) {
        (void)printf("  %-*s %10s  %s\n", LABEL, "KV cache", "unknown", m->kv_says);
        return;
    }
    if (m->ctx_train && m->ctx > m->ctx_train)
        (void)snprintf(trained, sizeof trained, " (trained for %s)", count_text((uint64_t)m->ctx_train));
    (void)snprintf(says, sizeof says, "%s:%s, %s tokens%s%s", m->kv_k, m->kv_v, count_text((uint64_t)m->ctx), trained,
                   p->users > 1 ? " for each user" : "");
    print_line("KV cache", m->kv_bytes, says);
    if (m->kv_says) (void)printf("  %*s  %s\n", LABEL + 11, "", m->kv_says);
    if (p->users > 1) {
        if (p->prefix) print_line("  shared", m->kv_shared_bytes, "blocks of the prefix");
        print_line("  each user", m->kv_sequence_bytes, "");
    }
    if (m->mark_bytes) print_line("marks", m->mark_bytes, "to come back to the end of a prompt");
    if (m->state_bytes) print_line("state", m->state_bytes, "fixed, whatever the context");
}

/* What the model was trained for ends it: memory alone may hold more, which is a line of its own. */
static void print_contexts(const kvasir_plan_model *m)
{
    static const char *const names[] = {"f16", "q8", "q4"};
    int trained = m->ctx_train ? m->ctx_train : INT_MAX, beyond = 0;
    (void)printf("  %-*s", LABEL, "longest context");
    for (int i = 0; i < 3; i++) {
        beyond = beyond || m->max_ctx[i] > trained;
        if (m->max_ctx[i] < 0)
            (void)printf("  %s not possible", names[i]);
        else
            (void)printf("  %s %s", names[i], count_text((uint64_t)min_int(m->max_ctx[i], trained)));
    }
    if (m->ctx > trained) (void)printf("  (as far as it was trained; %s is beyond)", count_text((uint64_t)m->ctx));
    (void)printf("\n");
    if (beyond) (void)printf("  %-*s", LABEL, "memory would hold");
    for (int i = 0; i < 3; i++)
        if (m->max_ctx[i] > trained) (void)printf("  %s %s", names[i], count_text((uint64_t)m->max_ctx[i]));
    if (beyond) (void)printf("  (trained for %s)\n", count_text((uint64_t)trained));
    if (m->spill_depth)
        (void)printf("  %-*s  beyond %s tokens, the margin included\n", LABEL, "leaves the budget",
                     count_text((uint64_t)m->spill_depth));
}

static void print_streams(const kvasir_plan_model *m)
{
    (void)printf("  layer  stream       type  heads   size    window   a row per  row bytes  bytes\n");
    for (int i = 0; i < m->n_streams; i++) {
        const kvasir_plan_stream *s = &m->streams[i];
        (void)printf("  %5d  %-12s %-4s  %5d  %5d  %8d  %10d  %9.1f  %s\n", s->layer, s->name, s->type, s->n_heads,
                     s->head_dim, s->window, s->ratio, s->row_bytes, bytes_text(s->bytes));
    }
    for (int i = 0; i < m->n_states; i++)
        (void)printf("  %5d  %-12s state, %s\n", m->states[i].layer, m->states[i].name, bytes_text(m->states[i].bytes));
}

static void print_model(const kvasir_plan *p, const kvasir_plan_model *m, const plan_speed *s, const quality *q,
                        int verbose)
{
    const kvasir_model_info *i = kvasir_model_get_info(m->model);
    (void)printf("%s\n  %-*s %s, %s parameters%s\n", i->path, LABEL, "architecture", shown(i->architecture),
                 count_text(i->n_parameters), m->runs ? "" : "; cannot run here, planned only");
    print_weights(m);
    print_kv(p, m);
    if (m->workspace_bytes)
        print_line("buffers", m->buffer_bytes, "workspace, logits");
    else
        (void)printf("  %-*s %10s  not in the total\n", LABEL, "buffers", "unknown");
    if (m->kv_known) print_contexts(m);
    plan_speed_print(s, p, m);
    plan_quality_print(q, m);
    if (verbose) print_streams(m);
}

/* A word of a command line as a shell takes it. */
static void print_word(const char *s)
{
    if (*s && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=+,@%") == strlen(s)) {
        (void)printf(" %s", s);
        return;
    }
    (void)printf(" '");
    for (; *s; s++)
        if (*s == '\'')
            (void)printf("'\\''");
        else
            (void)putchar(*s);
    (void)putchar('\'');
}

static void print_peer(const kvasir_plan_peer *peer)
{
    (void)printf("\n%s, %s:%s\n", peer->name, peer->type_k, peer->type_v);
    if (peer->error) {
        (void)printf("  %s\n", peer->error);
        return;
    }
    (void)printf("  %-*s %12s %7s %12s %12s\n", LABEL, "MiB", "cells", "layers", "K", "V");
    for (int i = 0; i < peer->n_buffers; i++) {
        const kvasir_plan_buffer *b = &peer->buffers[i];
        (void)printf("  %-*s %12s %7d %12.2f %12.2f\n", LABEL, b->name, count_text((uint64_t)b->cells), b->layers,
                     (double)b->k_bytes / 0x1p20, (double)b->v_bytes / 0x1p20);
    }
    (void)printf("  %-*s %12.2f  %.0f bytes per token\n ", LABEL, "total", (double)peer->kv_bytes / 0x1p20,
                 peer->bytes_per_token);
    for (int i = 0; i < peer->n_args; i++) print_word(peer->args[i]);
    (void)printf("\n");
}

/* The first model of which KV is not known; NULL: it is known of all. */
static const kvasir_plan_model *unknown_of(const kvasir_plan *p)
{
    for (int i = 0; i < p->n_models; i++)
        if (!p->models[i].kv_known) return &p->models[i];
    return NULL;
}

/* "at least 1.20 GiB (weights and program); KV of architecture foo is not known" */
static void least_text(const kvasir_plan *p, char *to, size_t n)
{
    const kvasir_plan_model *m = unknown_of(p);
    (void)snprintf(to, n, "at least %s (%s); KV of architecture %s is not known", bytes_text(p->total_bytes),
                   p->n_models == 1 ? "weights and program" : "without what is not known",
                   shown(kvasir_model_get_info(m->model)->architecture));
}

int plan_lacks_weights(const kvasir_plan *p)
{
    int lacking = 0;
    for (int i = 0; i < p->n_models; i++) lacking += kvasir_model_get_info(p->models[i].model)->n_tensors == 0;
    return lacking > 0;
}

static void print_total(const kvasir_plan *p)
{
    char text[256];
    if (p->n_unknown > 0) {
        least_text(p, text, sizeof text);
        (void)printf("  %-*s %s\n", LABEL, "total", text);
        (void)printf("  %-*s %10s  %s\n", LABEL, "budget", bytes_text(p->budget),
                     p->missing_bytes ? "does not fit" : "whether it fits is not known");
        return;
    }
    (void)printf("  %-*s %10s  of %s: %s%s\n", LABEL, "total", bytes_text(p->total_bytes), bytes_text(p->budget),
                 p->fits ? "fits" : "does not fit", plan_lacks_weights(p) ? ", weights not included" : "");
}

static int print_text(const kvasir_plan *p, const plan_speed *s, const quality *q, int verbose)
{
    for (int i = 0; i < p->n_models; i++) {
        if (i) (void)printf("\n");
        print_model(p, &p->models[i], s, &q[i], verbose);
    }
    print_line("program", p->program_bytes, "itself, with headers and tokenizers");
    print_total(p);
    (void)printf("\nWhy\n");
    for (int i = 0; i < p->n_why; i++) (void)printf("  %d. %s\n", i + 1, p->why[i]);
    for (int i = 0; i < p->n_models; i++)
        if (p->models[i].peer) print_peer(p->models[i].peer);
    return finish_output(EXIT_DONE);
}

/* ---- the command --------------------------------------------------------------------------------------------------- */

static void note_missing_data(const kvasir_model *m)
{
    const kvasir_model_info *i = kvasir_model_get_info(m);
    if (i->n_tensors == 0) note("%s: there are no tensors in it: the plan is without weights", i->path);
    if (i->file_bytes < i->tensor_bytes)
        note("%s: the tensor data is not all there (%s of %s); planned from the header", i->path,
             bytes_text(i->file_bytes), bytes_text(i->tensor_bytes));
}

static int open_models(const plan_args *a, kvasir_model **models)
{
    const kvasir_model_options o = {.header_only = 1, .inspect_only = 1};
    model_find_silently(); /* the paths are printed */
    for (int i = 0; i < a->models.n; i++) {
        char path[FETCH_PATH_BYTES];
        int header_only = 1, code = model_header_path(a->models.items[i], path, &header_only);
        if (code != EXIT_DONE) return code;
        kvasir_status status = kvasir_model_open(path, &o, &models[i]);
        if (status != KVASIR_OK) return failed_model(status);
        note_missing_data(models[i]);
    }
    return EXIT_DONE;
}

/* Says on stderr by how much a plan does not fit, and what would, or what is not known. */
static int judge(const kvasir_plan *p, int code)
{
    char text[256];
    if (code != EXIT_DONE || p->fits) return code;
    if (p->n_unknown > 0 && p->missing_bytes == 0) {
        least_text(p, text, sizeof text);
        note("whether it fits is not known: %s", text);
        return EXIT_MODEL;
    }
    note("does not fit: %s%s are needed and %s are missing", p->n_unknown > 0 ? "at least " : "",
         bytes_text(p->total_bytes), bytes_text(p->missing_bytes));
    for (int i = 0; i < p->n_remedies; i++) (void)fprintf(stderr, "%s %s\n", i ? "or   " : "Fits:", p->remedies[i]);
    return EXIT_ROOM;
}

/* Of another machine than this one: its memory and its cores, where nothing else is said. */
static void of_machine(const kvasir_machine *m, kvasir_plan_options *o)
{
    const double usable = 0.9; /* of the memory, where the profile does not say what is free */
    uint64_t budget = m->available_bytes ? m->available_bytes : (uint64_t)(usable * (double)m->memory_bytes);
    if (m->limit_bytes && m->limit_bytes < budget) budget = m->limit_bytes;
    if (!o->budget) o->budget = budget;
    if (!o->n_threads) o->n_threads = m->n_cores;
    for (int i = 0; i < m->n_gpus; i++)
        if (!m->gpu[i].unified) o->gpu_bytes += m->gpu[i].free_bytes ? m->gpu[i].free_bytes : m->gpu[i].memory_bytes;
}

/* With --min-tps the context ends where decoding gets too slow: the plan is made again with that as its aim. */
static int be_fast(const plan_speed *s, kvasir_plan_options *o, kvasir_model *const *models, int n, kvasir_plan **p)
{
    int reach = (*p)->n_models > 0 ? (*p)->models[0].ctx : 0;
    if (s->min_tps <= 0) return EXIT_DONE;
    for (int i = 0; i < (*p)->n_models; i++) {
        if (!(*p)->models[i].runs) {
            note("%s: --min-tps needs a model that runs here: speed is predicted of no other",
                 kvasir_model_get_info(models[i])->path);
            return EXIT_MODEL;
        }
        int own = plan_speed_reach(s, *p, &(*p)->models[i]);
        if (own < 1) {
            note("%s: %.1f t/s are not reached at any depth", kvasir_model_get_info(models[i])->path, s->min_tps);
            return EXIT_ROOM;
        }
        reach = own < reach ? own : reach;
    }
    for (int i = 0; i < (*p)->n_models; i++) {
        if (reach >= (*p)->models[i].ctx) continue;
        if (o->ctx) {
            note("decoding is predicted to fall below %.1f t/s beyond %d tokens", s->min_tps, reach);
            return EXIT_DONE;
        }
        kvasir_plan_free(*p);
        *p = NULL;
        o->want_ctx = reach;
        note("context aimed for: %d tokens, where decoding is predicted to reach %.1f t/s", reach, s->min_tps);
        kvasir_status status = kvasir_plan_make((const kvasir_model *const *)models, n, o, p);
        return status == KVASIR_OK ? EXIT_DONE : failed(status);
    }
    return EXIT_DONE;
}

static int report(const plan_args *a, const kvasir_plan *p, const plan_speed *s, const quality *q)
{
    for (int i = 0; i < p->n_models; i++) plan_quality_warn(&q[i], &p->models[i]);
    for (int i = 0; i < p->n_notes; i++) note("%s", p->notes[i]);
    plan_speed_note_unused(s, p);
    int code = a->output.json ? print_json(plan_document(p, s, q)) : print_text(p, s, q, a->output.verbose);
    return judge(p, code);
}

/* What is known of the models' quality, and in `unusable` the types that failed with any of them. */
static void read_quality(kvasir_model *const *models, int n, quality *q, char *unusable)
{
    size_t used = 0, room = (size_t)n * QUALITY_LIST_BYTES;
    for (int i = 0; i < n; i++) {
        char list[QUALITY_LIST_BYTES];
        quality_read(kvasir_model_get_info(models[i]), &q[i]);
        if (*quality_unusable(&q[i], list))
            used += (size_t)snprintf(unusable + used, room - used, "%s%s", used ? "," : "", list);
    }
}

static int make_plan(const plan_args *a, kvasir_model *const *models, const plan_speed *s, quality *q, char *unusable)
{
    char kv[64];
    kvasir_plan *p = NULL;
    const engine_args *e = &a->engine;
    kvasir_status status = kv_type_text(e, kv, sizeof kv);
    if (status != KVASIR_OK) return failed(status);
    kvasir_plan_options o = {.ctx = e->ctx,
                             .want_ctx = a->want_ctx,
                             .kv = e->kv || e->kv_k || e->kv_v ? kv : NULL,
                             .unusable = unusable,
                             .budget = a->budget,
                             .reserve = a->reserve,
                             .users = a->users,
                             .prefix = a->prefix,
                             .n_threads = e->threads,
                             .max_batch = e->chunk,
                             .peer = a->peer};
    if (a->speed.machine) of_machine(s->machine, &o);
    read_quality(models, a->models.n, q, unusable);
    status = kvasir_plan_make((const kvasir_model *const *)models, a->models.n, &o, &p);
    if (status != KVASIR_OK) return failed(status);
    int code = be_fast(s, &o, models, a->models.n, &p);
    if (code == EXIT_DONE) code = report(a, p, s, q);
    if (p) kvasir_plan_free(p);
    return code;
}

/* The arrays have room for each of the models. */
static int plan_all(const plan_args *a, kvasir_model **models, quality *q, char *unusable)
{
    plan_speed speed = {0};
    int code = plan_speed_open(&a->speed, a->engine.cpu, &speed);
    if (code == EXIT_DONE) code = open_models(a, models);
    if (code == EXIT_DONE) code = make_plan(a, models, &speed, q, unusable);
    plan_speed_close(&speed);
    for (int i = 0; i < a->models.n; i++) kvasir_model_close(models[i]);
    return code;
}

static int plan_main(void *args)
{
    const plan_args *a = args;
    if (a->engine.ctx && a->want_ctx)
        return usage_error("--ctx fixes the context, --want-ctx lets it be chosen: one of them");
    output_apply(&a->output);
    size_t n = (size_t)a->models.n;
    kvasir_model **models = mem_alloc(n, sizeof *models);
    quality *q = mem_alloc(n, sizeof *q);
    char *unusable = mem_alloc(n, QUALITY_LIST_BYTES);
    int code = models && q && unusable ? plan_all(a, models, q, unusable) : failed(fail_memory(n * sizeof *q));
    mem_free(models);
    mem_free(q);
    mem_free(unusable);
    return code;
}

const cli_command plan_command = {
    .name = "plan",
    .argument = CLI_ARGUMENT_MODEL,
    .argument_many = 1,
    .argument_field = FIELD(models),
    .summary = "Say what a model will take, and choose what fits",
    .about =
        "Reads the headers of one or more GGUF files that are to be used at the same time and prints, before anything "
        "is loaded, what their weights, KV caches, states and buffers will take to the byte, the longest context "
        "that each KV type allows, and the best configuration that fits the memory, with the reasons.\n\nWhat is "
        "left open is chosen: memory stays inside the budget, less what other programs need, less a margin; then "
        "KV gets smaller (q8, then V in q4, then K), then the context shorter. Models that this version cannot "
        "run yet are planned as well where their architecture is known, or where all that the header says is plain "
        "attention.",
    .examples = plan_examples,
    .groups = plan_groups,
    .size = sizeof(plan_args),
    .run = plan_main,
};
