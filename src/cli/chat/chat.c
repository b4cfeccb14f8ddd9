/* The chat at the terminal: its loop. */
#include "cli/chat/chat.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void trim_end(typed_message *m)
{
    while (m->n > 0 && (m->text[m->n - 1] == ' ' || m->text[m->n - 1] == '\t')) m->text[--m->n] = 0;
}

/* Text of several lines is a message whatever it begins with, but for /system, whose text may have them. */
static int is_command(const typed_message *m)
{
    if (m->quoted || m->n == 0 || m->text[0] != '/') return 0;
    return !strchr(m->text, '\n') || (strncmp(m->text, "/system", 7) == 0 && strchr(" \t\n", m->text[7]));
}

/* Words that people type to leave. */
static int leaves(const typed_message *m)
{
    size_t n = m->n;
    while (n > 0 && (m->text[n - 1] == ' ' || m->text[n - 1] == '\t')) n--;
    return !m->quoted && n == 4 && (strncmp(m->text, "exit", n) == 0 || strncmp(m->text, "quit", n) == 0);
}

/* 0 ends the chat. */
static int take_message(chat_state *c, typed_message *m)
{
    if (leaves(m)) return 0;
    if (is_command(m)) {
        trim_end(m);
        return run_command_line(c, m->text);
    }
    if (m->n == 0 && c->kept && !m->quoted) {
        take_kept_turn(c);
    } else if (m->n > 0) {
        mem_free(c->kept); /* said when it was kept */
        c->kept = NULL;
        take_turn(c, m->text, m->n);
    }
    return 1;
}

static void converse(chat_state *c)
{
    int asked_to_quit = 0;
    while (!asked_to_end() && !ferror(stdout)) {
        typed_message m;
        line_result result = read_message(c->reader, &m);
        if (result == LINE_INTERRUPTED || result == LINE_DROPPED) {
            if (asked_to_quit && result == LINE_INTERRUPTED) return;
            say("Ctrl-C once more, Ctrl-D or /quit ends the chat");
            asked_to_quit = 1;
            continue;
        }
        asked_to_quit = 0;
        if (result == LINE_END) {
            if (isatty(STDIN_FILENO)) (void)fputc('\n', stderr);
            return;
        }
        int go_on = take_message(c, &m);
        mem_free(m.text);
        if (!go_on) return;
    }
}

int chat(session *s, run_args *a, const char *template_text, const char *system_text, const char *first)
{
    chat_state c = {.s = s, .args = a, .template_text = template_text, .n_branches = 1};
    c.reader = line_open(complete_command, NULL);
    c.branches[0].messages = fresh_messages(system_text);
    int code =
        c.reader && c.branches[0].messages ? session_sequence(s, NULL, &c.branches[0].seq) : failed(fail_memory(0));
    if (code == EXIT_DONE) {
        (void)fprintf(stderr, "%s%s, %d tokens of context, KV %s. /help lists commands.%s\n", dim_on(),
                      s->info->name && *s->info->name ? quoted(s->info->name, strlen(s->info->name)) : s->path,
                      kvasir_seq_ctx(c.branches[0].seq), s->kv, dim_off());
        if (first && *first) take_turn(&c, first, strlen(first));
        converse(&c);
        code = finish_output(asked_to_end() ? EXIT_STOPPED : EXIT_DONE);
    }
    for (int i = 0; i < c.n_branches; i++) {
        json_decref(c.branches[i].messages);
        kvasir_seq_free(c.branches[i].seq);
    }
    mem_free(c.files.text);
    mem_free(c.kept);
    line_close(c.reader);
    arena_free(&c.words);
    return code;
}
