#include "cli/session/session.h"
#include "cli/session/remote.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/mem.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define FIELD(name) offsetof(output_args, name)
const cli_option output_options[] = {
    {"json", 0, CLI_FLAG, NULL, NULL, FIELD(json), "Print one JSON document instead of text (docs/json.md)", 0, 0,
     NULL},
    {"no-progress", 0, CLI_FLAG, "--log-disable", NULL, FIELD(no_progress), "Show no progress line", 0, 0, NULL},
    {"verbose", 'v', CLI_FLAG, NULL, NULL, FIELD(verbose), "Say more on stderr", 0, 0, NULL},
    {0},
};
#undef FIELD

#define FIELD(name) offsetof(engine_args, name)
const cli_option kv_options[] = {
    {"kv", 0, CLI_TEXT, "--cache-type", "T", FIELD(kv),
     "Type of the KV cache: f16 (default), q8 (half the bytes, and faster), q4 (a quarter), f32, or two as K:V: q8:q4 "
     "is "
     "the small one that keeps nearly all of q8's quality",
     0, 0, "f16 q8 q8:q4 q4 f32"},
    {"cache-type-k", 0, CLI_TEXT, "-ctk", "T", FIELD(kv_k), "Type of K alone (also -ctk)", 0, 0, "f16 q8 q4 f32"},
    {"cache-type-v", 0, CLI_TEXT, "-ctv", "T", FIELD(kv_v), "Type of V alone (also -ctv)", 0, 0, "f16 q8 q4 f32"},
    {0},
};

const cli_option engine_options[] = {
    {"ctx", 'c', CLI_COUNT, "--ctx-size", "N", FIELD(ctx),
     "Tokens of context, K and M allowed (default: what the model was trained for, or what fits the memory)", 0,
     1 << 27, NULL},
    {"kv-memory", 0, CLI_SIZE, NULL, "SIZE", FIELD(kv_memory),
     "Budget of the KV cache in bytes, K, M, G allowed (default: half of the free memory)", 0, 0, NULL},
    {"threads", 't', CLI_INT, NULL, "N", FIELD(threads), "Threads (default: one per usable core)", 0, 1024, NULL},
    {"cpu", 0, CLI_TEXT, NULL, "LEVEL", FIELD(cpu),
     "Instruction set, or auto for the best (default: KVASIR_CPU, or auto)", 0, 0,
     "auto ref avx2 avx512vnni avx512bf16 neon dotprod"},
    {"chunk", 'b', CLI_COUNT, "--batch --batch-size --ubatch-size -ub", "N", FIELD(chunk),
     "Prompt tokens that are computed together (default 512); changes the speed, never the result", 0, 16384, NULL},
    {"config", 0, CLI_FILE, NULL, "FILE", FIELD(config),
     "Take what is not given here from a configuration that kvasir tune has written; auto: where it writes them", 0, 0,
     NULL},
    {"n-gpu-layers", 0, CLI_NOTHING, "--gpu-layers -ngl", "N", 0, "no effect: this version computes on the CPU", 0, 0,
     NULL},
    {0},
};
#undef FIELD

#define FIELD(name) offsetof(sampling_args, name)
const cli_option sampling_options[] = {
    {"temp", 0, CLI_FLOAT, "--temperature", "T", FIELD(temperature),
     "Temperature; 0 takes the best token (default 0.8)", 0, 100, NULL},
    {"top-k", 0, CLI_INT, NULL, "N", FIELD(top_k), "Keep the N best tokens; 0: all (default 40)", 0, 1 << 30, NULL},
    {"top-p", 0, CLI_FLOAT, NULL, "P", FIELD(top_p), "Keep the best tokens that have P together; 1: all (default 0.95)",
     0, 1, NULL},
    {"min-p", 0, CLI_FLOAT, NULL, "P", FIELD(min_p),
     "Drop tokens below P times the best one's probability (default 0.05)", 0, 1, NULL},
    {"typical", 0, CLI_FLOAT, "--typical-p", "P", FIELD(typical), "Locally typical sampling; 1: off (default 1)", 0, 1,
     NULL},
    {"repeat-penalty", 0, CLI_FLOAT, NULL, "X", FIELD(repeat_penalty),
     "Divides the logits of recent tokens; 1: off (default 1)", 0, 100, NULL},
    {"repeat-last-n", 0, CLI_INT, NULL, "N", FIELD(repeat_last_n),
     "Recent means the last N tokens; -1: all, 0: none (default 64)", -1, 1 << 30, NULL},
    {"frequency-penalty", 0, CLI_FLOAT, NULL, "X", FIELD(frequency_penalty),
     "Subtracted for each recent occurrence (default 0)", -100, 100, NULL},
    {"presence-penalty", 0, CLI_FLOAT, NULL, "X", FIELD(presence_penalty),
     "Subtracted once for a recent token (default 0)", -100, 100, NULL},
    {"dry-multiplier", 0, CLI_FLOAT, NULL, "X", FIELD(dry_multiplier),
     "Strength of DRY, against repeated phrases; 0: off (default 0)", 0, 100, NULL},
    {"dry-base", 0, CLI_FLOAT, NULL, "X", FIELD(dry_base),
     "DRY grows by this for each token of a repetition (default 1.75)", 0, 100, NULL},
    {"dry-allowed-length", 0, CLI_INT, NULL, "N", FIELD(dry_allowed_length),
     "Repetitions up to N tokens are free (default 2)", 0, 1 << 30, NULL},
    {"dry-last-n", 0, CLI_INT, "--dry-penalty-last-n", "N", FIELD(dry_last_n),
     "DRY looks at the last N tokens; 0: all (default 0)", 0, 1 << 30, NULL},
    {"dry-breaker", 0, CLI_LIST, "--dry-sequence-breaker", "TEXT", FIELD(dry_breakers),
     "Text across which DRY sees no repetition; may be repeated (default: newline, colon, quote, asterisk)", 0, 0,
     NULL},
    {"xtc-probability", 0, CLI_FLOAT, NULL, "P", FIELD(xtc_probability),
     "How often XTC drops the top choices (default 0)", 0, 1, NULL},
    {"xtc-threshold", 0, CLI_FLOAT, NULL, "P", FIELD(xtc_threshold),
     "Choices above P count as top for XTC (default 0.1)", 0, 1, NULL},
    {"logit-bias", 0, CLI_LIST, "-l", "ID=BIAS", FIELD(logit_bias),
     "Adds to a token's logit; ID=-inf forbids it; may be repeated", 0, 0, NULL},
    {"seed", 's', CLI_LONG, NULL, "N", FIELD(seed), "Seed of the random choices; -1: a new one each time (default -1)",
     -1, 0x1p62, NULL},
    {0},
};
#undef FIELD

void sampling_defaults(sampling_args *a)
{
    a->temperature = 0.8f;
    a->top_k = 40;
    a->top_p = 0.95f;
    a->min_p = 0.05f;
    a->typical = 1;
    a->repeat_penalty = 1;
    a->repeat_last_n = 64;
    a->dry_base = 1.75f;
    a->dry_allowed_length = 2;
    a->xtc_threshold = 0.1f;
    a->seed = -1;
}

void output_apply(const output_args *a)
{
    if (a->no_progress) progress_disable();
}

/* -ctk and -ctv take one type each; a pair would be taken for K and V of both. */
static kvasir_status check_single(const char *option, const char *type)
{
    if (!type || !strchr(type, ':')) return KVASIR_OK;
    return fail(KVASIR_E_ARGUMENT, "%s %s: one type is wanted (f32, f16, q8 or q4); --kv takes two", option,
                quoted(type, strlen(type)));
}

kvasir_status kv_type_text(const engine_args *e, char *to, size_t n)
{
    const char *both = e->kv ? e->kv : "f16", *colon = strchr(both, ':');
    if (!e->kv_k && !e->kv_v) {
        (void)snprintf(to, n, "%s", both);
        return KVASIR_OK;
    }
    *to = '\0';
    TRY(check_single("-ctk", e->kv_k));
    TRY(check_single("-ctv", e->kv_v));
    char k[32], v[32];
    (void)snprintf(k, sizeof k, "%.*s", colon ? (int)(colon - both) : (int)strlen(both), both);
    (void)snprintf(v, sizeof v, "%s", colon ? colon + 1 : both);
    (void)snprintf(to, n, "%s:%s", e->kv_k ? e->kv_k : k, e->kv_v ? e->kv_v : v);
    return KVASIR_OK;
}

const char *cpu_choice(const char *option)
{
    const char *from_environment = getenv("KVASIR_CPU");
    return option ? option : from_environment && *from_environment ? from_environment : NULL;
}

/* ---- session ------------------------------------------------------------------------------------------ */

static void print_engine_note(void *user, const char *text)
{
    (void)user;
    note("%s", text);
}

static int many_rows(const kvasir_model_info *info)
{
    enum { BYTES = 128 << 20, MOST = 512, LEAST = 16 };
    return max_int(LEAST, min_int(MOST, BYTES / (4 * max_int(info->n_vocab, 1))));
}

void print_model_notes(const kvasir_model *m)
{
    for (int i = 0; i < kvasir_model_get_info(m)->n_notes; i++) note("%s", kvasir_model_note(m, i));
}

int session_open_model(const char *path, const engine_args *e, const output_args *o, session *s)
{
    *s = (session){.ctx = e->ctx, .verbose = o->verbose};
    output_apply(o);
    catch_interrupts();
    kvasir_status status = kv_type_text(e, s->kv, sizeof s->kv);
    if (status != KVASIR_OK) return failed(status);
    int code = model_path(path, s->path);
    if (code != EXIT_DONE) return code;
    double started = clock_now();
    status = kvasir_model_open(s->path, NULL, &s->model);
    if (status != KVASIR_OK) return failed_model(status);
    s->info = kvasir_model_get_info(s->model);
    print_model_notes(s->model);
    kvasir_kv_info kv;
    status = kvasir_model_kv(s->model, s->kv, 1, &kv); /* a wrong --kv is said before the weights are read */
    if (status != KVASIR_OK) return failed(status);
    s->load_s = clock_now() - started;
    return EXIT_DONE;
}

kvasir_status session_text_ids(const session *s, const char *text, size_t n_text, size_t need, int32_t **ids, size_t *n)
{
    const kvasir_model_info *info = s->info;
    int32_t *own = NULL;
    *ids = NULL;
    TRY(kvasir_tokenize(s->model, text, n_text, 1, 0, &own, n));
    if (info->adds_eos && *n > 0 && own[*n - 1] == info->eos) --*n;
    size_t start = info->adds_bos && *n > 0 && own[0] == info->bos, again = *n - start;
    if (again > 0) {
        *ids = mem_alloc(need, sizeof **ids);
        for (size_t i = 0; *ids && i < need; i++) (*ids)[i] = own[i < *n ? i : start + (i - *n) % again];
    }
    kvasir_free(own);
    return again == 0 || *ids ? KVASIR_OK : fail_memory(need * sizeof **ids);
}

int session_load(const engine_args *e, int max_logits, session *s)
{
    double started = clock_now();
    kvasir_engine_options options = {.n_threads = e->threads,
                                     .cpu = cpu_choice(e->cpu),
                                     .kv_memory = e->kv_memory,
                                     .max_batch = e->chunk,
                                     .max_logits = max_logits == SESSION_MANY_ROWS ? many_rows(s->info) : max_logits,
                                     .log = print_engine_note};
    kvasir_status status = kvasir_engine_create(&options, &s->engine);
    if (status != KVASIR_OK) return failed(status);
    interrupt_engine(s->engine);
    progress bar = progress_start("loading", "B");
    status = kvasir_engine_load(s->engine, s->model, progress_callback, &bar);
    progress_end(&bar);
    if (status != KVASIR_OK) return failed_model(status);
    s->load_s += clock_now() - started;
    if (s->verbose) {
        kvasir_engine_info info;
        char took[FORMAT_BYTES];
        kvasir_engine_get_info(s->engine, &info);
        note("%s, %s, %d thread%s, weights %s, workspace %s, KV budget %s, loaded in %s", info.cpu_model,
             info.cpu_level, info.n_threads, plural((uint64_t)info.n_threads), bytes_text(info.weights_bytes),
             bytes_text(info.workspace_bytes), bytes_text(info.kv_budget), format_time(s->load_s, took));
    }
    return EXIT_DONE;
}

int session_open(const char *path, const engine_args *e, const output_args *o, int max_logits, session *s)
{
    int code = session_open_model(path, e, o, s);
    return code == EXIT_DONE ? session_load(e, max_logits, s) : code;
}

void session_close(session *s)
{
    interrupt_engine(NULL);
    kvasir_engine_free(s->engine);
    kvasir_model_close(s->model);
    *s = (session){0};
}

int session_sequence(const session *s, const char *kv, kvasir_seq **out)
{
    kvasir_seq_options o = {.n_ctx = s->ctx, .kv = kv ? kv : s->kv};
    kvasir_status status = kvasir_seq_create(s->engine, s->model, &o, out);
    if (status == KVASIR_OK) return EXIT_DONE;
    int code = failed(status);
    return status == KVASIR_E_UNSUPPORTED ? EXIT_USAGE : code; /* the KV type; the model has been loaded */
}

/* ---- sampling ----------------------------------------------------------------------------------------- */

/* "15=2.5", "15+2.5", "15-inf", "15=-inf" */
static kvasir_status parse_bias(const char *text, kvasir_logit_bias *out)
{
    char *end = NULL;
    errno = 0;
    long id = strtol(text, &end, 10);
    if (end != text && errno == 0 && id >= 0 && id <= INT32_MAX && *end && strchr("=+-", *end)) {
        const char *number = *end == '=' ? end + 1 : end;
        char *after = NULL;
        float bias = strtof(number, &after);
        if (after != number && !*after && !isnan(bias)) {
            *out = (kvasir_logit_bias){(int32_t)id, bias};
            return KVASIR_OK;
        }
    }
    return fail(KVASIR_E_ARGUMENT, "--logit-bias wants ID=BIAS, not '%s'", quoted(text, strlen(text)));
}

static int64_t system_seed(void)
{
    uint32_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) seed = (uint32_t)time(NULL);
    return (int64_t)seed;
}

/* A share of 1 keeps everything, which the library calls 0; a share of 0 keeps the best token alone. */
static float share(float p)
{
    return p >= 1 ? 0 : p > 0 ? p : FLT_MIN;
}

kvasir_status sampling_options_for(sampling_args *a, unsigned turn, kvasir_sampler_options *o, kvasir_logit_bias **bias)
{
    size_t n_bias = (size_t)a->logit_bias.n;
    *bias = mem_alloc(n_bias + 1, sizeof **bias);
    if (!*bias) return fail_memory(n_bias * sizeof **bias);
    for (size_t i = 0; i < n_bias; i++) TRY(parse_bias(a->logit_bias.items[i], &(*bias)[i]));
    if (a->seed < 0) a->seed = system_seed();
    int penalise = a->repeat_last_n != 0; /* 0 means no tokens here, and the default there */
    *o = (kvasir_sampler_options){
        .temperature = a->temperature,
        .top_k = a->top_k,
        .top_p = share(a->top_p),
        .min_p = a->min_p,
        .typical_p = share(a->typical),
        .repeat_penalty = penalise ? a->repeat_penalty : 0,
        .repeat_last_n = a->repeat_last_n,
        .frequency_penalty = penalise ? a->frequency_penalty : 0,
        .presence_penalty = penalise ? a->presence_penalty : 0,
        .dry_multiplier = a->dry_multiplier,
        .dry_base = a->dry_base,
        .dry_allowed_length = a->dry_allowed_length,
        .dry_last_n = a->dry_last_n,
        .dry_breakers = a->dry_breakers.n ? a->dry_breakers.items : NULL,
        .n_dry_breakers = a->dry_breakers.n,
        .xtc_probability = a->xtc_probability,
        .xtc_threshold = a->xtc_threshold,
        .bias = n_bias ? *bias : NULL,
        .n_bias = (int)n_bias,
        .seed = (uint64_t)a->seed + (uint64_t)turn * 0x9e3779b97f4a7c15u,
    };
    return KVASIR_OK;
}

kvasir_status sampling_create(sampling_args *a, const kvasir_model *m, unsigned turn, kvasir_sampler **out)
{
    kvasir_sampler_options o;
    kvasir_logit_bias *bias = NULL;
    kvasir_status status = sampling_options_for(a, turn, &o, &bias);
    if (status == KVASIR_OK) status = kvasir_sampler_create(m, &o, out);
    mem_free(bias);
    return status;
}

/* ---- JSON --------------------------------------------------------------------------------------------- */

json_t *json_memory(const kvasir_engine *e)
{
    kvasir_engine_info info;
    kvasir_engine_get_info(e, &info);
    return json_pack("{s:o, s:o, s:o, s:o}", "rss_bytes", json_bytes(info.resident_bytes), "peak_rss_bytes",
                     json_bytes(info.peak_resident_bytes), "weights_bytes", json_bytes(info.weights_bytes),
                     "workspace_bytes", json_bytes(info.workspace_bytes));
}

json_t *json_kv(const kvasir_engine *e, const kvasir_seq *s)
{
    kvasir_engine_info info;
    kvasir_engine_get_info(e, &info);
    return json_pack("{s:s, s:s, s:o, s:o}", "type_k", kvasir_seq_kv_type(s, 0), "type_v", kvasir_seq_kv_type(s, 1),
                     "bytes_used", json_bytes(kvasir_seq_kv_bytes(s)), "bytes_budget", json_bytes(info.kv_budget));
}
