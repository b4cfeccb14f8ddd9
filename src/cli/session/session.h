/* What a command opens that computes: a model, an engine, sequences. */
#ifndef KVASIR_CLI_SESSION_SESSION_H
#define KVASIR_CLI_SESSION_SESSION_H

#include "cli/common/common.h"
#include "cli/session/sampling.h"
#include "cli/session/shared_options.h"

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
/* A note where the text begins with the BOS token that the vocabulary has put before it already. */
void note_double_bos(const kvasir_model_info *info, const int32_t *ids, size_t n);
/* An empty sequence with the session's context and KV types, or those of `kv`. 0, or the exit status after
   saying what is wrong. */
int session_sequence(const session *s, const char *kv, kvasir_seq **out);

/* The first `need` tokens of a text, without an end-of-sequence token; a text that is shorter begins again behind its BOS. *n is
   what it has of its own. *ids is the caller's (mem_free); NULL where the text has no tokens. */
kvasir_status session_text_ids(const session *s, const char *text, size_t n_text, size_t need, int32_t **ids,
                               size_t *n);

/* The fields that describe an engine in every JSON document. */
json_t *json_memory(const kvasir_engine *e);
json_t *json_kv(const kvasir_engine *e, const kvasir_seq *s);

#endif
