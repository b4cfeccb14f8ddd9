/* The commands by name. */
#include "cli/chat/chat.h"

#include <stdio.h>
#include <string.h>

static void cmd_stats(chat_state *c, const char *rest)
{
    kvasir_engine_info info;
    const kvasir_seq *seq = now(c)->seq;
    (void)rest;
    kvasir_engine_get_info(c->s->engine, &info);
    (void)fprintf(stderr, "branch %d: %zu message%s, KV %s:%s %s\n", c->current, json_array_size(now(c)->messages),
                  plural(json_array_size(now(c)->messages)), kvasir_seq_kv_type(seq, 0), kvasir_seq_kv_type(seq, 1),
                  bytes_text(kvasir_seq_kv_bytes(seq)));
    (void)fprintf(stderr, "process %s resident (peak %s), weights %s; ", bytes_text(info.resident_bytes),
                  bytes_text(info.peak_resident_bytes), bytes_text(info.weights_bytes));
    (void)fprintf(stderr, "KV %s of %s; depth %d of %d\n", bytes_text(info.kv_used), bytes_text(info.kv_budget),
                  kvasir_seq_length(seq), kvasir_seq_ctx(seq));
    (void)fprintf(stderr, "%d thread%s, %s\n", info.n_threads, plural((uint64_t)info.n_threads), info.cpu_level);
    if (c->last.generated_tokens == 0) return;
    (void)fprintf(stderr, "last turn: %d token%s held, ", c->last_reused, c->last_reused == 1 ? " was" : "s were");
    print_summary(c->s, &c->last);
}

static void cmd_help(chat_state *c, const char *rest);

typedef struct chat_command {
    const char *name;
    void (*run)(chat_state *c, const char *rest); /* NULL: ends the chat */
    const char *takes, *help;
} chat_command;

static const chat_command commands[] = {
    {"/help", cmd_help, "", "this list"},
    {"/undo", cmd_undo, "", "take the last exchange back"},
    {"/regen", cmd_regen, "", "give another answer in place of the last one"},
    {"/clear", cmd_clear, "", "start anew; the system prompt stays"},
    {"/system", cmd_system, "TEXT", "set the system prompt (none: without one); alone, show it"},
    {"/set", cmd_set, "NAME VALUE", "set an option of the command line, like temp or n; alone, list them"},
    {"/file", cmd_file, "PATH", "put a file's text before your next message (none: no file)"},
    {"/fork", cmd_fork, "", "begin a branch that shares all so far"},
    {"/branch", cmd_branch, "N", "go to a branch; alone, list them"},
    {"/save", cmd_save, "PATH", "write the conversation as JSON"},
    {"/load", cmd_load, "PATH", "take a saved conversation up"},
    {"/stats", cmd_stats, "", "tokens, speed and memory"},
    {"/exit", NULL, "", "end (also /quit, exit, quit and Ctrl-D)"},
    {"/quit", NULL, "", "end"},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static const char *command_name(int i)
{
    return i < N_COMMANDS ? commands[i].name : NULL;
}

static void cmd_help(chat_state *c, const char *rest)
{
    (void)c, (void)rest;
    for (int i = 0; i < N_COMMANDS; i++)
        (void)fprintf(stderr, "%-7s %-10s  %s\n", commands[i].name, commands[i].takes, commands[i].help);
    say("A line that ends with \\ goes on in the next one, and so does text between \"\"\" and \"\"\".\n"
        "Ctrl-C stops an answer.");
}

int complete_command(void *user, const char *before, char *to, size_t n)
{
    (void)user;
    if (strncmp(before, "/set ", 5) == 0)
        return strchr(before + 5, ' ') ? 0 : complete_name(before + 5, setting_name, to, n);
    return before[0] == '/' && !strchr(before, ' ') ? complete_name(before, command_name, to, n) : 0;
}

int run_command_line(chat_state *c, const char *line)
{
    char name[64];
    size_t n = strcspn(line, " \t\n");
    const char *rest = line + n + strspn(line + n, " \t\n");
    (void)snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name - 1, line);
    for (int i = 0; i < N_COMMANDS; i++)
        if (n < sizeof name && strcmp(commands[i].name, name) == 0) {
            if (!commands[i].run) return 0;
            commands[i].run(c, rest);
            return 1;
        }
    const char *meant = nearest_name(name, command_name);
    (void)fprintf(stderr, "%s is no command; %s%s%s\n", quoted(line, n), meant ? "did you mean " : "/help lists them",
                  meant ? meant : "", meant ? "?" : "");
    return 1;
}
