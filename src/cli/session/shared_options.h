/* The options that several commands share: what they print, the engine, the KV cache. */
#ifndef KVASIR_CLI_SESSION_SHARED_OPTIONS_H
#define KVASIR_CLI_SESSION_SHARED_OPTIONS_H

#include "cli/args/options.h"

typedef struct output_args {
    int json, no_progress, verbose;
} output_args;

typedef struct engine_args {
    int ctx, threads, chunk;
    const char *kv, *kv_k, *kv_v, *cpu, *config;
    uint64_t kv_memory;
    struct {
        char kv[16], cpu[16], draft[16];
    } from_config; /* texts that config_apply took from a file */
} engine_args;

extern const cli_option output_options[], engine_options[], kv_options[];

/* Applies what concerns the whole process: --no-progress. */
void output_apply(const output_args *a);

/* KV types from --kv, -ctk and -ctv: "K:V" or one name for both. KVASIR_E_ARGUMENT: -ctk or -ctv has a pair. */
kvasir_status kv_type_text(const engine_args *e, char *to, size_t n);
/* --cpu, or KVASIR_CPU when it was not given. The only place that reads the variable. */
const char *cpu_choice(const char *option);

#endif
