/* What the parts of the chat share: a conversation is a list of messages and the sequence that holds their tokens; each turn
   renders the whole conversation and computes only what the sequence does not hold yet. */
#ifndef KVASIR_CLI_CHAT_CHAT_H
#define KVASIR_CLI_CHAT_CHAT_H

#include "cli/chat/line.h"
#include "cli/session/generate.h"
#include "base/mem.h"

enum { MAX_BRANCHES = 64 };

typedef struct branch {
    json_t *messages;
    kvasir_seq *seq;
} branch;

/* Texts of /file, which stay until a message with them has been answered. */
typedef struct attachment {
    char *text;
    size_t n;
    int n_files;
} attachment;

typedef struct chat_state {
    session *s;
    run_args *args;
    const char *template_text;
    line_reader *reader;
    branch branches[MAX_BRANCHES];
    int n_branches, current;
    attachment files;
    char *kept; /* a message that has no answer, where there is no editor to put it back into */
    size_t n_kept;
    arena words; /* texts that options of /set refer to */
    unsigned turns;
    kvasir_stats last;
    int last_reused;
} chat_state;

static inline branch *now(chat_state *c)
{
    return &c->branches[c->current];
}

/* A line on stderr, dimmed at a terminal. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Writes a text to stderr, so that nothing in it acts on a terminal, and a newline. */
void show_text(const char *text, size_t n);

/* ---- conversation.c ----------------------------------------------------------------------------------- */

int has_role(const json_t *message, const char *role);
void pop_message(json_t *messages);
/* The system prompt of the conversation; NULL: none. */
const char *system_prompt(const json_t *messages);
/* The messages of a conversation that has not begun; `system_text` may be NULL. NULL: out of memory. */
json_t *fresh_messages(const char *system_text);
/* Can the template render these messages with one of the user at their end? KVASIR_E_TEMPLATE says why not. */
kvasir_status template_takes(const chat_state *c, const json_t *messages);
/* Cuts the sequence to what the conversation's ids begin with and returns the ids that are to be appended. With `ask` the
   start of the assistant's answer is among them. *ids is the caller's (kvasir_free). */
kvasir_status follow(chat_state *c, int ask, int32_t **ids, size_t *n_ids, int *n_held);
/* Cuts the sequence after messages have gone, at once where the template renders what is left; else with the next turn. */
void forget_rest(chat_state *c);

/* ---- turn.c ------------------------------------------------------------------------------------------- */

/* The user's message with the files before it, and its answer. Without an answer the conversation stays as it was and the
   message is put back. */
void take_turn(chat_state *c, const char *text, size_t n);
/* Sends what `kept` holds. */
void take_kept_turn(chat_state *c);

/* ---- message.c ---------------------------------------------------------------------------------------- */

typedef struct typed_message {
    char *text; /* NUL-terminated; the caller's (mem_free) */
    size_t n;
    int quoted; /* between """: the text itself, no command */
} typed_message;

/* Reads one message, of several lines where they end with a backslash or stand between """. *out is zeroed when there is
   none. */
line_result read_message(line_reader *reader, typed_message *out);

/* ---- commands ----------------------------------------------------------------------------------------- */

/* Runs a line that begins with "/"; 0 ends the chat. */
int run_command_line(chat_state *c, const char *line);
/* line_complete over the commands and the names of /set; user: unused. */
int complete_command(void *user, const char *before, char *to, size_t n);

/* Each takes what stands behind the command's name. edits.c, branches.c, saved.c, settings.c: */
void cmd_undo(chat_state *c, const char *rest);
void cmd_regen(chat_state *c, const char *rest); /* turn.c */
void cmd_clear(chat_state *c, const char *rest);
void cmd_system(chat_state *c, const char *rest);
void cmd_file(chat_state *c, const char *rest);
void cmd_fork(chat_state *c, const char *rest);
void cmd_branch(chat_state *c, const char *rest);
void cmd_save(chat_state *c, const char *rest);
void cmd_load(chat_state *c, const char *rest);
void cmd_set(chat_state *c, const char *rest);

/* The names of /set, in order; NULL behind the last. */
const char *setting_name(int i);

/* ---- nearest.c ---------------------------------------------------------------------------------------- */

/* How many characters must be changed, added or left out to make `b` of `a`. */
int edit_distance(const char *a, const char *b);
/* The i-th of a list of names, NULL behind the last. */
typedef const char *(*name_at)(int i);
/* The name that was probably meant: one that begins so, or differs little; NULL: none. */
const char *nearest_name(const char *word, name_at names);
/* What all names that begin with `word` go on with, and a space where it is one name. 0: nothing. */
int complete_name(const char *word, name_at names, char *to, size_t n);

#endif
