/* kvasir verify: options, and the order of things. */
#include "cli/files/embedded.h"
#include "cli/machine/machine.h"
#include "cli/verify/verify.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BEHIND = 64, QUICK_BEHIND = 32, MAX_DEPTH = 1 << 27, LEAST_CTX = 128 };
static const int default_depths[] = {2 << 10, 10 << 10, 100 << 10}, quick_depths[] = {256, 1 << 10};
enum {
    N_DEFAULT = sizeof default_depths / sizeof *default_depths,
    N_QUICK = sizeof quick_depths / sizeof *quick_depths
};

#define FIELD(name) offsetof(verify_args, name)
static const cli_option what_options[] = {
    {"steps", 0, CLI_TEXT, NULL, "LIST", FIELD(steps), "Which of kv,memory,speed,quality (default all)", 0, 0,
     "kv memory speed quality"},
    {"depths", 'd', CLI_TEXT, NULL, "LIST", FIELD(depths),
     "Tokens in the cache at which speed is measured and needles are hidden, K and M allowed (default 2k,10k,100k, or "
     "what "
     "the context allows)",
     0, 0, NULL},
    {"quick", 0, CLI_FLAG, NULL, NULL, FIELD(quick), "Less of everything: depths 256,1k, a short text, 100 tokens", 0,
     0, NULL},
    {"minutes", 0, CLI_FLOAT, NULL, "M", FIELD(minutes),
     "Judge quality at the deepest of 2k, 8k and 30k tokens for which about M minutes are enough (default 10)", 0,
     10000, NULL},
    {"text", 'f', CLI_FILE, "--file", "FILE", FIELD(text), "The text that is read (default: one that is built in)", 0,
     0, NULL},
    {"machine", 0, CLI_FILE, NULL, "FILE", FIELD(machine),
     "Judge speed by the profile of this machine: a file, or a name of kvasir probe --list (default: what kvasir probe "
     "stored)",
     0, 0, NULL},
    {"html", 0, CLI_FILE, NULL, "FILE", FIELD(html), "Write a page with the charts and the table", 0, 0, NULL},
    {0},
};
static const cli_group verify_groups[] = {
    {"What is verified", what_options, 0},
    {"KV cache", kv_options, FIELD(engine)},
    {"Engine", engine_options, FIELD(engine)},
    {"Output", output_options, FIELD(output)},
    {0},
};
static const cli_example verify_examples[] = {
    {"kvasir verify model.gguf --quick", "Whether the plan holds here, in a minute or so."},
    {"kvasir verify model.gguf --kv q8:q4 --ctx 32K --html verify.html", "A configuration, as a page."},
    {"kvasir verify model.gguf --steps quality --kv q4 --text mine.txt", "What a KV type costs on your own text."},
    {0},
};

static void verify_defaults(void *args)
{
    ((verify_args *)args)->minutes = 10;
}

/* ---- what the parts share ---- */

kvasir_status verify_add(verify *w, const verify_check *c)
{
    if (w->n_checks == w->room) {
        int room = 2 * w->room + 64;
        verify_check *grown = mem_grow(w->checks, (size_t)w->room, (size_t)room, sizeof *grown);
        if (!grown) return fail_memory((size_t)room * sizeof *grown);
        w->checks = grown;
        w->room = room;
    }
    verify_check *kept = &w->checks[w->n_checks++];
    *kept = *c;
    kept->verdict = isnan(c->low) && isnan(c->high)                       ? -1
                    : !isfinite(c->measured)                              ? 0
                    : !(c->measured < c->low) && !(c->measured > c->high) ? 1
                                                                          : 0;
    if (!w->args->output.json && (!c->quiet || kept->verdict == 0 || w->s.verbose)) verify_print_row(kept);
    return KVASIR_OK;
}

kvasir_status verify_plan(const verify *w, int ctx, int users, int prefix, kvasir_plan **out)
{
    const kvasir_model *m = w->s.model;
    kvasir_plan_options o = {.ctx = ctx,
                             .kv = w->s.kv,
                             .users = users,
                             .prefix = prefix,
                             .n_threads = w->info.n_threads,
                             .max_batch = w->info.max_batch};
    return kvasir_plan_make(&m, 1, &o, out);
}

kvasir_status verify_feed(verify *w, kvasir_seq *const *seqs, int n_seqs, int n, double *seconds, const float **logits)
{
    enum { MOST = 2 };
    kvasir_work work[MOST];
    if (interrupted()) return fail(KVASIR_E_CANCELLED, "stopped");
    for (int i = 0; i < n_seqs; i++)
        work[i] =
            (kvasir_work){.seq = seqs[i], .ids = w->ids + kvasir_seq_length(seqs[i]), .n = n, .want = KVASIR_WANT_LAST};
    double start = clock_now();
    TRY(kvasir_step(w->s.engine, work, n_seqs));
    if (seconds) *seconds = clock_now() - start;
    if (logits) *logits = work[0].logits;
    return KVASIR_OK;
}

kvasir_status verify_fill(verify *w, kvasir_seq *seq, int to, const char *label, double *seconds)
{
    int start = kvasir_seq_length(seq);
    kvasir_status status = KVASIR_OK;
    progress bar = progress_start(label, "tokens");
    for (int at = start; at < to && status == KVASIR_OK; at = kvasir_seq_length(seq)) {
        int n = min_int(w->info.max_batch, to - at);
        double took = 0;
        status = verify_feed(w, &seq, 1, n, &took, NULL);
        *seconds += took;
        watch_step(&w->watch, 0, at, 0);
        if (status == KVASIR_OK) progress_update(&bar, (uint64_t)(at + n - start), (uint64_t)(to - start), NULL);
    }
    progress_end(&bar);
    return status;
}

/* ---- options ---- */

static kvasir_status read_steps(verify *w)
{
    const char *list = w->args->steps;
    char word[32];
    for (int i = 0; i < VERIFY_STEPS; i++) w->wanted[i] = !list;
    while (cli_next_item(&list, word, sizeof word)) {
        int found = 0;
        for (int i = 0; i < VERIFY_STEPS; i++)
            if (strcmp(word, verify_step_name((verify_step)i)) == 0) found = w->wanted[i] = 1;
        if (!found)
            return fail(KVASIR_E_ARGUMENT, "--steps: %s is none of kv, memory, speed, quality",
                        quoted(word, strlen(word)));
    }
    return KVASIR_OK;
}

static int by_number(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static kvasir_status add_depth(verify *w, int depth)
{
    for (int i = 0; i < w->n_depths; i++)
        if (w->depth[i] == depth) return KVASIR_OK;
    if (w->n_depths == VERIFY_MAX_DEPTHS)
        return fail(KVASIR_E_ARGUMENT, "--depths: at most %d of them", (int)VERIFY_MAX_DEPTHS);
    w->depth[w->n_depths++] = depth;
    return KVASIR_OK;
}

static kvasir_status read_depths(verify *w)
{
    const char *list = w->args->depths;
    char word[32];
    while (cli_next_item(&list, word, sizeof word)) {
        int64_t depth = 0;
        kvasir_status status = cli_parse_count(word, &depth);
        if (status != KVASIR_OK || depth < 1 || depth > MAX_DEPTH) return cli_wrong_depth(status, word, 1, MAX_DEPTH);
        TRY(add_depth(w, (int)depth));
    }
    qsort(w->depth, (size_t)w->n_depths, sizeof *w->depth, by_number);
    return KVASIR_OK;
}

/* ---- what the model and the memory allow ---- */

/* The most that a sequence may hold of what is useful: --ctx, or the deepest depth, as far as the model and the budget go. */
static kvasir_status choose_ctx(verify *w)
{
    kvasir_seq *probe = NULL;
    kvasir_seq_options o = {.n_ctx = w->args->engine.ctx, .kv = w->s.kv};
    TRY(kvasir_seq_create(w->s.engine, w->s.model, &o, &probe));
    int most = kvasir_seq_ctx(probe);
    kvasir_seq_free(probe);
    int useful = 2 * w->behind + (w->n_depths      ? w->depth[w->n_depths - 1]
                                  : w->args->quick ? quick_depths[N_QUICK - 1]
                                                   : default_depths[N_DEFAULT - 1]);
    w->ctx = o.n_ctx ? most : min_int(most, useful);
    return w->ctx >= LEAST_CTX ? KVASIR_OK
                               : fail(KVASIR_E_CONTEXT, "verifying takes a context of %d tokens, this one holds %d",
                                      (int)LEAST_CTX, w->ctx);
}

static kvasir_status check_depths(verify *w)
{
    int deepest = w->ctx - 2 * w->behind;
    const int *from = w->args->quick ? quick_depths : default_depths;
    int n = w->args->quick ? N_QUICK : N_DEFAULT;
    w->given_depths = w->n_depths > 0;
    if (w->n_depths == 0) {
        for (int i = 0; i < n; i++) TRY(add_depth(w, min_int(from[i], deepest)));
        return KVASIR_OK;
    }
    int last = w->depth[w->n_depths - 1];
    if (last <= deepest) return KVASIR_OK;
    return fail(KVASIR_E_CONTEXT,
                "a depth of %d and the %d tokens behind it do not fit the context of %d: the deepest is %d", last,
                2 * w->behind, w->ctx, deepest);
}

/* The text's first w->ctx tokens; a short one begins again where it ends. */
static kvasir_status take_text(verify *w)
{
    const embedded *own = embedded_texts; /* the last of them: long enough for what does not repeat itself */
    while (own[1].name) own++;
    char *file = NULL;
    size_t n = 0, need = (size_t)w->ctx;
    size_t n_text =
        min_size(own->bytes, 16 * need); /* English has a token every four bytes or so: the rest is not wanted */
    if (w->args->text) TRY(read_text(w->args->text, &file, &n_text));
    kvasir_status status = session_text_ids(&w->s, file ? file : own->text, n_text, need, &w->ids, &n);
    free(file);
    if (status == KVASIR_OK && !w->ids)
        status = fail(KVASIR_E_ARGUMENT, "%s has no text to read", w->args->text ? w->args->text : "the built-in text");
    if (status == KVASIR_OK && n < need)
        note("the text has %zu tokens and is repeated up to %zu; perplexity of what is repeated means little", n, need);
    return status;
}

/* ---- the parts ---- */

typedef struct part {
    char label[VERIFY_LABEL];
    kvasir_status (*run)(verify *w, int arg);
    int arg;
} part;

static void add_part(part *parts, int *n, const char *label, int depth, kvasir_status (*run)(verify *w, int arg),
                     int arg)
{
    part *p = &parts[(*n)++];
    int used = snprintf(p->label, sizeof p->label, "%.40s", label);
    if (depth) (void)snprintf(p->label + used, sizeof p->label - (size_t)used, " %d", depth);
    p->run = run;
    p->arg = arg;
}

static kvasir_status open_main(verify *w, int arg)
{
    (void)arg;
    kvasir_seq_options o = {.n_ctx = w->ctx, .kv = w->s.kv};
    return kvasir_seq_create(w->s.engine, w->s.model, &o, &w->seq);
}

static kvasir_status close_main(verify *w, int arg)
{
    (void)arg;
    kvasir_seq_free(w->seq);
    w->seq = NULL;
    return KVASIR_OK;
}

/* Memory first, while nothing else has been touched; then one sequence is filled, with speed on the way. */
static int list_parts(const verify *w, part *parts)
{
    int n = 0, fills = w->wanted[VERIFY_KV] || w->wanted[VERIFY_MEMORY];
    if (w->wanted[VERIFY_MEMORY]) add_part(parts, &n, "memory: loaded, warm", 0, verify_loaded, 0);
    add_part(parts, &n, "a sequence to fill", 0, open_main, 0);
    for (int i = 0; i < w->n_depths && w->wanted[VERIFY_SPEED]; i++)
        add_part(parts, &n, "speed at", w->depth[i], verify_depth, i);
    if (fills) add_part(parts, &n, "kv and memory: full at", w->ctx, verify_full, 0);
    add_part(parts, &n, "its end", 0, close_main, 0);
    if (w->wanted[VERIFY_SPEED]) add_part(parts, &n, "speed: two clients at", w->depth[0], verify_clients, 0);
    if (w->wanted[VERIFY_SPEED]) add_part(parts, &n, "speed: storage", 0, verify_storage, 0);
    if (!w->wanted[VERIFY_QUALITY]) return n;
    add_part(parts, &n, "quality: divergence and perplexity", 0, verify_text, 0);
    add_part(parts, &n, "quality: f16 again", 0, verify_floor, 0);
    for (int i = 0, d; (d = verify_needle_depth(w, w->quality_depth, i)) > 0; i++)
        add_part(parts, &n, "quality: needle in", d, verify_needle, d);
    add_part(parts, &n, "quality: forced decode", 0, verify_forced, 0);
    return n;
}

/* Runs them in order. A part that memory is too short for is missing, and the next ones are tried; any other failure, and
   Ctrl-C, ends it. */
static kvasir_status run_parts(verify *w)
{
    part parts[VERIFY_MAX_PARTS];
    kvasir_status status = KVASIR_OK, worst = KVASIR_OK;
    int n = list_parts(w, parts);
    w->has_storage = watch_storage(&w->storage[0], &w->storage[1]);
    for (int i = 0; i < n; i++) {
        int is_ours = parts[i].run == open_main || parts[i].run == close_main;
        if (status == KVASIR_OK || parts[i].run == close_main) {
            kvasir_status now = parts[i].run(w, parts[i].arg);
            if (now == KVASIR_OK) continue;
            worst = now;
            if (now == KVASIR_E_MEMORY && !is_ours)
                note("%s: %s", parts[i].label, kvasir_message());
            else
                status = now;
        }
        if (!is_ours)
            (void)snprintf(w->missing[w->n_missing++], VERIFY_LABEL, "%.*s", VERIFY_LABEL - 1, parts[i].label);
    }
    return worst;
}

/* ---- the command ---- */

static void name_failed(const verify *w, int n_failed)
{
    note("%d of %d rows failed:", n_failed, w->n_checks);
    for (int i = 0; i < w->n_checks; i++)
        if (w->checks[i].verdict == 0)
            (void)fprintf(stderr, "  %s: %s (%s)\n", verify_step_name(w->checks[i].step), w->checks[i].name,
                          w->checks[i].why);
}

static int keeps_quality(const verify *w)
{
    return w->wanted[VERIFY_QUALITY] && !w->args->quick;
}

/* Whole and not quick, what the type costs is kept for kvasir plan, which chooses types. */
static kvasir_status keep_quality(verify *w)
{
    char path[1024];
    quality_record *q = &w->quality;
    if (!keeps_quality(w) || w->n_missing > 0) return KVASIR_OK;
    q->holds = 1;
    for (int i = 0; i < w->n_checks; i++)
        if (w->checks[i].step == VERIFY_QUALITY && w->checks[i].verdict == 0) q->holds = 0;
    date_text(q->date);
    TRY(quality_store(w->s.info, q, path, sizeof path));
    note("kept in %s, where kvasir plan finds it", path);
    return KVASIR_OK;
}

static int report(verify *w, kvasir_status measured)
{
    int n_failed = 0;
    for (int i = 0; i < w->n_checks; i++) n_failed += w->checks[i].verdict == 0;
    int code = measured != KVASIR_OK ? failed(measured) : n_failed ? EXIT_CHECK : EXIT_DONE;
    for (int i = 0; i < w->n_missing; i++) note("not measured: %s", w->missing[i]);
    if (n_failed) name_failed(w, n_failed);
    kvasir_status status = measured == KVASIR_OK ? keep_quality(w) : KVASIR_OK;
    if (status == KVASIR_OK && w->args->html && w->n_checks > 0) status = verify_write_html(w, w->args->html);
    if (status != KVASIR_OK) {
        int write_code = failed(status);
        if (code == EXIT_DONE || code == EXIT_CHECK) code = write_code;
    }
    int printed = w->args->output.json ? print_json(verify_document(w)) : finish_output(EXIT_DONE);
    return code == EXIT_DONE ? printed : code;
}

static int run(verify *w)
{
    const verify_args *a = w->args;
    w->behind = a->quick ? QUICK_BEHIND : BEHIND;
    kvasir_status status = output_check(a->html);
    if (status == KVASIR_OK) status = read_steps(w);
    if (status == KVASIR_OK) status = read_depths(w);
    if (status == KVASIR_OK) {
        kvasir_status found = machine_find(a->machine, &w->machine);
        w->has_machine = found == KVASIR_OK;
        if (a->machine) status = found; /* else none is needed */
    }
    if (status != KVASIR_OK) return failed(status);
    int code = session_open(a->model, &a->engine, &a->output, 0, &w->s);
    if (code != EXIT_DONE) return code;
    kvasir_engine_get_info(w->s.engine, &w->info);
    status = choose_ctx(w);
    if (status == KVASIR_OK) status = check_depths(w);
    if (status == KVASIR_OK) status = take_text(w);
    if (status == KVASIR_OK && keeps_quality(w)) status = quality_check(w->s.info);
    if (status != KVASIR_OK) return failed(status);
    if (w->wanted[VERIFY_SPEED] && !w->has_machine)
        note("no profile of this machine (kvasir probe makes one): speed is measured, and there is no prediction to "
             "judge it by");
    if (w->wanted[VERIFY_QUALITY]) {
        status = verify_choose_depth(w);
        if (status != KVASIR_OK) return failed(status);
    }
    if (!a->output.json) verify_print_head();
    return report(w, run_parts(w));
}

static int verify_main(void *args)
{
    not_finite_fails_a_check();
    verify *w = mem_alloc(1, sizeof *w);
    if (!w) return failed(fail_memory(sizeof *w));
    w->args = args;
    w->quality = (quality_record){.kld = NAN,
                                  .kld_median = NAN,
                                  .kld_p999 = NAN,
                                  .kld_floor = NAN,
                                  .same_top = NAN,
                                  .forced_kld = NAN,
                                  .forced_same_top = NAN};
    int code = run(w);
    kvasir_seq_free(w->seq);
    mem_free(w->ids);
    mem_free(w->checks);
    session_close(&w->s);
    mem_free(w);
    return code;
}

const cli_command verify_command = {
    .name = "verify",
    .argument = CLI_ARGUMENT_MODEL,
    .argument_field = FIELD(model),
    .summary = "Check what was predicted against what is",
    .about =
        "Loads a model and measures what kvasir plan and the library promise: the KV cache by stream and resident "
        "memory, speed at depths for one client and two, and what the KV type costs in quality beside f16. Each row "
        "has what was predicted, what was measured, and a verdict.\n\nThe exit status is 5 where a row fails, and the "
        "rows are named. After Ctrl-C what was measured is reported, and what is missing is named. What a "
        "KV type costs in quality is kept, unless --quick, for kvasir plan, which shows it and does "
        "not choose a type that failed.",
    .examples = verify_examples,
    .groups = verify_groups,
    .defaults = verify_defaults,
    .size = sizeof(verify_args),
    .run = verify_main,
};
