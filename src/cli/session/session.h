/* The options that several commands share, and what they open: a model, an engine, sequences, a sampler. */
#ifndef KVASIR_CLI_SESSION_SESSION_H
#define KVASIR_CLI_SESSION_SESSION_H

#include "cli/common/common.h"
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

typedef struct sampling_args {
    float temperature, top_p, min_p, typical, repeat_penalty, frequency_penalty, presence_penalty;
    float dry_multiplier, dry_base, xtc_probability, xtc_threshold;
    int top_k, repeat_last_n, dry_allowed_length, dry_last_n;
    int64_t seed; /* -1: from the system */
    cli_list dry_breakers, logit_bias;
} sampling_args;

extern const cli_option output_options[], engine_options[], kv_options[], sampling_options[];

/* The command line's default sampling: that of llama.cpp's programs, which people know. */
void sampling_defaults(sampling_args *a);

/* Applies what concerns the whole process: --no-progress. */
void output_apply(const output_args *a);

/* What a command that computes holds. Zeroed before; session_close takes a half-open one. */
typedef struct session {
    char path[4096]; /* of the file, where the model was named otherwise too */
    kvasir_model *model;
    const kvasir_model_info *info;
    kvasir_engine *engine;
    char kv[64]; /* the KV type as kvasir_seq_options wants it */
    int ctx;
    double load_s;
    int verbose;
} session;

enum { SESSION_MANY_ROWS = -1 };

/* Opens the model and loads it into an engine; `max_logits` as in kvasir_engine_options, or SESSION_MANY_ROWS
   for as many as take about 128 MiB. 0, or the exit status after saying what is wrong. */
int session_open(const char *path, const engine_args *e, const output_args *o, int max_logits, session *s);
/* The two halves of it, for a command with more to check before the weights are read: opens the model; then makes the
   engine and loads it. */
int session_open_model(const char *path, const engine_args *e, const output_args *o, session *s);
int session_load(const engine_args *e, int max_logits, session *s);
void session_close(session *s);
/* What the library notes about a model that runs, each a line on stderr. */
void print_model_notes(const kvasir_model *m);
/* An empty sequence with the session's context and KV types, or those of `kv`. 0, or the exit status after
   saying what is wrong. */
int session_sequence(const session *s, const char *kv, kvasir_seq **out);

/* The first `need` tokens of a text, without an end-of-sequence token; a text that is shorter begins again behind its BOS. *n is
   what it has of its own. *ids is the caller's (mem_free); NULL where the text has no tokens. */
kvasir_status session_text_ids(const session *s, const char *text, size_t n_text, size_t need, int32_t **ids,
                               size_t *n);

/* KV types from --kv, -ctk and -ctv: "K:V" or one name for both. KVASIR_E_ARGUMENT: -ctk or -ctv has a pair. */
kvasir_status kv_type_text(const engine_args *e, char *to, size_t n);
/* --cpu, or KVASIR_CPU when it was not given. The only place that reads the variable. */
const char *cpu_choice(const char *option);

/* The library's form of the options, as for sampling_create. *bias, which *o refers to, is the caller's (mem_free) in any
   case. */
kvasir_status sampling_options_for(sampling_args *a, unsigned turn, kvasir_sampler_options *o,
                                   kvasir_logit_bias **bias);

/* A sampler for one generation. `turn` is mixed into the seed so that each answer of a chat draws anew; the
   context's ids go to the penalties. *seed is the one in use (chosen by the system for -1, and kept in `a`).
 */
kvasir_status sampling_create(sampling_args *a, const kvasir_model *m, unsigned turn, kvasir_sampler **out);

/* The fields that describe an engine in every JSON document. */
json_t *json_memory(const kvasir_engine *e);
json_t *json_kv(const kvasir_engine *e, const kvasir_seq *s);

#endif
