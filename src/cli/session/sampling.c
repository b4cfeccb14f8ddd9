/* The options of sampling, and the sampler that they describe. */
#include "cli/session/sampling.h"
#include "base/mem.h"
#include "base/status.h"
#include "cli/common/common.h"

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

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

/* The defaults of llama.cpp's programs, where neither the command line nor the file says anything. */
static const sampling_args built_in = {.temperature = 0.8f,
                                       .top_k = 40,
                                       .top_p = 0.95f,
                                       .min_p = 0.05f,
                                       .typical = 1,
                                       .repeat_penalty = 1,
                                       .repeat_last_n = 64,
                                       .dry_base = 1.75f,
                                       .dry_allowed_length = 2,
                                       .xtc_threshold = 0.1f};

/* The keys below general.sampling, and the options that they stand for (gguf-py's constants.py names them). */
static const struct {
    const char *key, *option;
} in_file[] = {{"temp", "temp"},
               {"top_k", "top-k"},
               {"top_p", "top-p"},
               {"min_p", "min-p"},
               {"penalty_last_n", "repeat-last-n"},
               {"penalty_repeat", "repeat-penalty"},
               {"xtc_probability", "xtc-probability"},
               {"xtc_threshold", "xtc-threshold"}};

#define UNSAID INT_MIN /* of a whole number; of others it is NaN */

void sampling_defaults(sampling_args *a)
{
    for (const cli_option *o = sampling_options; o->name; o++) {
        char *field = (char *)a + o->field;
        if (o->type == CLI_FLOAT) *(float *)(void *)field = NAN;
        if (o->type == CLI_INT) *(int *)(void *)field = UNSAID;
    }
    a->seed = -1;
}

static int is_said(const sampling_args *a, const cli_option *o)
{
    const char *field = (const char *)a + o->field;
    if (o->type == CLI_FLOAT) return !isnan(*(const float *)(const void *)field);
    return o->type != CLI_INT || *(const int *)(const void *)field != UNSAID;
}

static void set_number(sampling_args *a, const cli_option *o, double value)
{
    char *field = (char *)a + o->field;
    if (o->type == CLI_FLOAT)
        *(float *)(void *)field = (float)value;
    else
        *(int *)(void *)field = (int)value;
}

static const cli_option *find_option(const char *name)
{
    const cli_option *o = sampling_options;
    while (strcmp(o->name, name) != 0) o++;
    return o;
}

/* Takes what the file asks for into `a` where no option says otherwise, and says so in one line. */
static void take_from_file(sampling_args *a, const kvasir_model *m)
{
    char taken[512] = "", key[64];
    size_t n = 0;
    double value;
    for (size_t i = 0; i < sizeof in_file / sizeof *in_file; i++) {
        const cli_option *o = find_option(in_file[i].option);
        (void)snprintf(key, sizeof key, "general.sampling.%s", in_file[i].key);
        if (!kvasir_model_number(m, key, &value) || is_said(a, o)) continue;
        if (!(value >= o->min && value <= o->max)) {
            note("the file's %s is %g, not %g to %g: it is left out", key, value, o->min, o->max);
            continue;
        }
        set_number(a, o, value);
        n += (size_t)snprintf(taken + n, sizeof taken - n, " --%s %g", o->name,
                              o->type == CLI_INT ? (double)(int)value : (double)(float)value);
    }
    if (n) note("sampling as the model's file asks (general.sampling), which options override:%s", taken);
    if (kvasir_model_number(m, "general.sampling.mirostat", &value) && value != 0)
        note("the model's file asks for Mirostat %g (general.sampling.mirostat), which is not there; top-k, top-p and "
             "min-p "
             "are used",
             value);
    const char *order = kvasir_model_text(m, "general.sampling.sequence");
    if (order)
        note("the order of samplers that the model's file asks for is not followed: %s", quoted(order, strlen(order)));
}

void sampling_complete(sampling_args *a, const kvasir_model *m)
{
    take_from_file(a, m);
    for (const cli_option *o = sampling_options; o->name; o++) {
        const void *from = (const char *)&built_in + o->field;
        if (is_said(a, o)) continue;
        set_number(a, o, o->type == CLI_FLOAT ? (double)*(const float *)from : *(const int *)from);
    }
}

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
