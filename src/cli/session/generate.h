/* From messages to token ids, and from ids to streamed text: what `run` and its chat share. */
#ifndef KVASIR_CLI_SESSION_GENERATE_H
#define KVASIR_CLI_SESSION_GENERATE_H

#include "cli/session/session.h"
#include "cli/session/wrap.h"

typedef struct run_args {
    const char *model, *prompt, *file, *system, *system_file, *template_file, *draft;
    cli_list stop;
    int n_predict, chat, single, escape, raw, plain, special, ignore_end;
    engine_args engine;
    sampling_args sampling;
    output_args output;
} run_args;

extern const cli_option reply_options[]; /* of run_args (run.c) */
/* The values of reply_options that their table cannot check. */
kvasir_status check_reply_args(const run_args *a);

/* The ids of a conversation: `messages` (a JSON array) in the model's chat template, or in `template_text` if
   given. With `ask` the start of the assistant's answer follows. *ids is the caller's (kvasir_free). */
kvasir_status conversation_ids(const kvasir_model *m, const char *template_text, const json_t *messages, int ask,
                               int32_t **ids, size_t *n_ids);

/* Appends {"role": role, "content": text} to the messages. */
kvasir_status add_message(json_t *messages, const char *role, const char *text, size_t n);

typedef struct reply {
    char *text; /* NUL-terminated; also what came before a failure */
    size_t n, room;
    int32_t *ids;
    int n_ids;
    kvasir_stats stats;
} reply;

/* Appends ids to the sequence and generates. With `stream` the text goes to stdout as it comes. On failure
   (Ctrl-C too) `out` holds what had come. Freed by reply_free in any case. At a terminal the text is wrapped (wrap.h). */
kvasir_status generate(const session *s, kvasir_seq *seq, run_args *a, const int32_t *ids, size_t n_ids, unsigned turn,
                       int stream, reply *out);
void reply_free(reply *r);

/* Begins a text for the terminal on stdout, not wrapped unless its width is set; how many columns that has, 0: unknown. */
wrap terminal_text(void);
int terminal_columns(void);

/* One line on stderr: tokens, speed, depth, KV. */
void print_summary(const session *s, const kvasir_stats *stats);

/* "end", "limit", "string", "context", "cancelled" */
const char *stop_name(kvasir_stop stop);
double tokens_per_second(int tokens, double seconds);

/* The chat at the terminal (chat.c); the session is open, `first` may be NULL. The exit status. */
int chat(session *s, run_args *a, const char *template_text, const char *system_text, const char *first);

#endif
