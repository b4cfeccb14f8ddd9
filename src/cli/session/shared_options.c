/* The options that several commands share. */
#include "cli/session/shared_options.h"
#include "base/checked.h"
#include "cli/common/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
