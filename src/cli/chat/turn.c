/* One turn: a message and its answer. */
#include "cli/chat/chat.h"
#include "cli/chat/terminal.h"

#include <stdio.h>
#include <string.h>

typedef enum outcome { ANSWERED, STOPPED, FAILED } outcome;

/* Generates the assistant's answer to the messages and appends it: also a part of one, when it was stopped or something
   failed on the way. Else the messages stay as they are. */
static outcome answer(chat_state *c)
{
    branch *b = now(c);
    int32_t *ids = NULL;
    size_t n_ids = 0;
    int held = 0;
    reply r = {0};
    clear_interrupt();
    terminal_quiet();
    kvasir_status status = follow(c, 1, &ids, &n_ids, &held);
    if (status == KVASIR_OK) {
        status = generate(c->s, b->seq, c->args, ids + held, n_ids - (size_t)held, c->turns++, 1, &r);
        if (r.n && r.text[r.n - 1] != '\n') (void)putchar('\n');
        (void)fflush(stdout);
    }
    terminal_unquiet();
    int stopped = status == KVASIR_E_CANCELLED && interrupted(), answered = status == KVASIR_OK || r.n > 0;
    if (status != KVASIR_OK && !stopped) (void)failed(status);
    if (stopped) line_forget(c->reader);
    if (answered) {
        status = add_message(b->messages, "assistant", r.text, r.n);
        if (status != KVASIR_OK) (void)failed(status);
        answered = status == KVASIR_OK;
    }
    if (answered) {
        if (r.stats.stop == KVASIR_STOP_NONE) say("stopped; the answer so far is kept (/undo takes it back)");
        c->last = r.stats;
        c->last_reused = held;
        print_summary(c->s, &r.stats);
    }
    clear_interrupt();
    reply_free(&r);
    kvasir_free(ids);
    return answered ? ANSWERED : stopped ? STOPPED : FAILED;
}

/* ---- what has no answer ------------------------------------------------------------------------------- */

/* Would a line with this text be taken for something else? */
static int wants_quotes(const char *text, size_t n)
{
    return text[0] == '/' || strcmp(text, "exit") == 0 || strcmp(text, "quit") == 0 ||
           strncmp(text, "\"\"\"", 3) == 0 || text[n - 1] == '\\' || text[n - 1] == '\n';
}

/* The message goes back into the line; or it is kept, where there is no editor or it is too much for one. */
static void put_back(chat_state *c, const char *text, size_t n, outcome why)
{
    enum { MOST_EDITED = 4 << 10 };
    const char *stopped = why == STOPPED ? "stopped before the answer; " : "";
    const char *files = c->files.n_files > 0 ? ", with its files (/file none lets go of them)" : "";
    const char *marks[] = {wants_quotes(text, n) ? "\"\"\"\n" : "", wants_quotes(text, n) ? "\n\"\"\"" : ""};
    char *line = mem_alloc(n + 9, 1);
    if (!line) {
        (void)failed(fail_memory(n));
        return;
    }
    (void)snprintf(line, n + 9, "%s%s%s", marks[0], text, marks[1]);
    if (n <= MOST_EDITED && line_put_back(c->reader, line, strlen(line))) {
        say("%syour message is put back%s", stopped, files);
    } else if (line_at_terminal(c->reader)) {
        mem_free(c->kept);
        c->kept = mem_text(text, n);
        c->n_kept = c->kept ? n : 0;
        say("%syour message is kept%s; an empty line sends it again", stopped, files);
    } else {
        say("%syour message is taken back%s", stopped, c->files.n_files > 0 ? "; its files stay" : "");
    }
    mem_free(line);
}

static void let_go_of_files(chat_state *c)
{
    mem_free(c->files.text);
    c->files = (attachment){0};
}

void take_turn(chat_state *c, const char *text, size_t n)
{
    branch *b = now(c);
    size_t length = c->files.n + n;
    char *whole = mem_alloc(length + 1, 1);
    kvasir_status status = whole ? KVASIR_OK : fail_memory(length);
    if (status == KVASIR_OK) {
        if (c->files.n > 0) memcpy(whole, c->files.text, c->files.n);
        memcpy(whole + c->files.n, text, n);
        status = add_message(b->messages, "user", whole, length);
    }
    mem_free(whole);
    outcome result = FAILED;
    if (status == KVASIR_OK) {
        result = answer(c);
        if (result != ANSWERED) pop_message(b->messages);
    } else {
        (void)failed(status);
    }
    if (result == ANSWERED) {
        let_go_of_files(c);
    } else {
        put_back(c, text, n, result);
    }
}

void take_kept_turn(chat_state *c)
{
    char *text = c->kept;
    size_t n = c->n_kept;
    c->kept = NULL;
    take_turn(c, text, n);
    mem_free(text);
}

/* ---- commands ----------------------------------------------------------------------------------------- */

void cmd_regen(chat_state *c, const char *rest)
{
    json_t *messages = now(c)->messages;
    size_t n = json_array_size(messages);
    (void)rest;
    /* A conversation that was loaded may end with the user. */
    int has_answer = n > 0 && has_role(json_array_get(messages, n - 1), "assistant");
    if (n < 1 + (size_t)has_answer || !has_role(json_array_get(messages, n - 1 - (size_t)has_answer), "user")) {
        say("there is no message yet that could be answered again");
        return;
    }
    json_t *before = has_answer ? json_incref(json_array_get(messages, n - 1)) : NULL;
    if (has_answer) pop_message(messages);
    if (has_answer && c->args->sampling.temperature <= 0)
        say("(at temp 0 the best token is taken: the answer will be the same)");
    outcome result = answer(c);
    if (result != ANSWERED && before) {
        (void)json_array_append(messages, before);
        say("%sthe answer before is kept", result == STOPPED ? "stopped; " : "");
    } else if (result == STOPPED) {
        say("stopped before the answer");
    }
    json_decref(before);
}

/* Puts a file's text before the next message. */
void cmd_file(chat_state *c, const char *path)
{
    char *text = NULL;
    size_t n = 0;
    attachment *f = &c->files;
    if (!*path) {
        say("/file PATH puts a file before your next message; there %s %d now, %s", f->n_files == 1 ? "is" : "are",
            f->n_files, bytes_text(f->n));
        return;
    }
    if (strcmp(path, "none") == 0) {
        say("%s", f->n_files > 0 ? "no file goes before your next message" : "there was no file");
        let_go_of_files(c);
        return;
    }
    kvasir_status status = strcmp(path, "-") == 0 ? fail(KVASIR_E_ARGUMENT, "/file - would read what you type")
                                                  : read_text(path, &text, &n);
    if (status != KVASIR_OK) {
        if (interrupted()) line_forget(c->reader);
        clear_interrupt();
        (void)failed(status);
        say("no file was added");
        return;
    }
    char *grown = mem_grow(f->text, f->n, f->n + n + 2, 1);
    if (!grown) {
        free(text);
        (void)failed(fail_memory(n));
        return;
    }
    memcpy(grown + f->n, text, n);
    grown[f->n + n] = grown[f->n + n + 1] = '\n';
    *f = (attachment){grown, f->n + n + 2, f->n_files + 1};
    free(text);
    (void)fprintf(stderr, "%s: %s go before your next message\n", quoted(path, strlen(path)), bytes_text(n));
}
