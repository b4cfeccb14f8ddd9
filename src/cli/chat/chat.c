/* The chat at the terminal. A conversation is a list of messages and the sequence that holds their tokens;
   each turn renders the whole conversation and computes only what the sequence does not hold yet. */
#include "cli/session/generate.h"
#include "cli/files/json_file.h"
#include "cli/chat/line.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_BRANCHES = 64 };

typedef struct branch {
    json_t *messages;
    kvasir_seq *seq;
} branch;

typedef struct chat_state {
    session *s;
    run_args *args;
    const char *template_text, *system_text;
    branch branches[MAX_BRANCHES];
    int n_branches, current;
    char *pending; /* text of /file, put before the next message */
    size_t n_pending;
    unsigned turns;
    kvasir_stats last;
    int last_reused;
} chat_state;

static branch *now(chat_state *c)
{
    return &c->branches[c->current];
}

static void say(const char *text)
{
    (void)fprintf(stderr, "%s%s%s\n", dim_on(), text, dim_off());
}

/* ---- the sequence follows the messages ---------------------------------------------------------------- */

/* Cuts the sequence to what the conversation's ids begin with and returns the ids that are to be appended. */
static kvasir_status follow(chat_state *c, int ask, int32_t **ids, size_t *n_ids, int *n_held)
{
    branch *b = now(c);
    TRY(conversation_ids(c->s->model, c->template_text, b->messages, ask, ids, n_ids));
    const int32_t *held = kvasir_seq_ids(b->seq);
    int n = 0, length = kvasir_seq_length(b->seq);
    while (n < length && (size_t)n < *n_ids && held[n] == (*ids)[n]) n++;
    if (ask && (size_t)n == *n_ids && n > 0) n--; /* one token has to be computed to have logits */
    *n_held = n;
    return n < length ? kvasir_seq_truncate(b->seq, n) : KVASIR_OK;
}

static void pop_message(json_t *messages)
{
    if (json_array_size(messages)) (void)json_array_remove(messages, json_array_size(messages) - 1);
}

/* One turn: the user's message is appended, then the answer. */
static void take_turn(chat_state *c, const char *text, size_t n)
{
    branch *b = now(c);
    int32_t *ids = NULL;
    size_t n_ids = 0;
    int held = 0;
    reply r = {0};
    clear_interrupt();
    kvasir_status status = add_message(b->messages, "user", text, n);
    if (status == KVASIR_OK) status = follow(c, 1, &ids, &n_ids, &held);
    if (status == KVASIR_OK) {
        status = generate(c->s, b->seq, c->args, ids + held, n_ids - (size_t)held, c->turns++, 1, &r);
        if (r.n && r.text[r.n - 1] != '\n') (void)putchar('\n');
        (void)fflush(stdout);
    }
    int stopped = status == KVASIR_E_CANCELLED && interrupted();
    if (status == KVASIR_OK || (stopped && r.n)) {
        if (add_message(b->messages, "assistant", r.text, r.n) != KVASIR_OK) pop_message(b->messages);
        if (stopped) say("stopped; the answer so far is kept (/undo takes it back)");
        c->last = r.stats;
        c->last_reused = held;
        print_summary(c->s, &r.stats);
    } else {
        pop_message(b->messages);
        if (stopped)
            say("stopped before the answer; your message is taken back");
        else
            (void)failed(status);
    }
    clear_interrupt();
    reply_free(&r);
    kvasir_free(ids);
}

/* ---- branches ----------------------------------------------------------------------------------------- */

/* The messages of a conversation that has not begun. */
static json_t *fresh_messages(const chat_state *c)
{
    json_t *messages = json_array();
    if (c->system_text) (void)add_message(messages, "system", c->system_text, strlen(c->system_text));
    return messages;
}

static void cmd_fork(chat_state *c, const char *rest)
{
    if (c->n_branches == MAX_BRANCHES) {
        say("no room for another branch");
        return;
    }
    branch made = {0};
    kvasir_status status = kvasir_seq_fork(now(c)->seq, -1, &made.seq);
    if (status != KVASIR_OK) {
        (void)failed(status);
        return;
    }
    made.messages = json_deep_copy(now(c)->messages);
    c->branches[c->n_branches] = made;
    (void)fprintf(stderr, "branch %d begins here; /branch %d goes back\n", c->n_branches, c->current);
    c->current = c->n_branches++;
}

/* Lists the branches, or goes to one. */
static void cmd_branch(chat_state *c, const char *rest)
{
    char *end = NULL;
    long wanted = strtol(rest, &end, 10);
    if (*rest) {
        if (*end || wanted < 0 || wanted >= c->n_branches)
            say("there is no such branch");
        else
            c->current = (int)wanted;
        if (*end) return;
    }
    for (int i = 0; i < c->n_branches; i++)
        (void)fprintf(stderr, "%c branch %d: %zu messages, %d tokens, KV %s\n", i == c->current ? '*' : ' ', i,
                      json_array_size(c->branches[i].messages), kvasir_seq_length(c->branches[i].seq),
                      bytes_text(kvasir_seq_kv_bytes(c->branches[i].seq)));
}

/* ---- files -------------------------------------------------------------------------------------------- */

static void cmd_save(chat_state *c, const char *path)
{
    if (!*path) {
        say("/save PATH");
        return;
    }
    json_t *d = json_document("chat");
    (void)json_object_set_new(d, "model", json_text_or_null(c->s->info->name));
    (void)json_object_set(d, "messages", now(c)->messages);
    char *text = json_dumps(d, JSON_INDENT(2));
    json_decref(d);
    kvasir_status status = text ? write_file(path, text, strlen(text)) : fail_memory(0);
    free(text);
    if (status != KVASIR_OK)
        (void)failed(status);
    else
        (void)fprintf(stderr, "%zu messages saved to %s\n", json_array_size(now(c)->messages), path);
}

/* Every message an object with a role and a text? */
static int messages_ok(const json_t *messages)
{
    size_t i;
    json_t *m;
    if (!json_is_array(messages)) return 0;
    json_array_foreach(messages, i, m)
    {
        if (!json_is_string(json_object_get(m, "role")) || !json_is_string(json_object_get(m, "content"))) return 0;
    }
    return 1;
}

static void cmd_load(chat_state *c, const char *path)
{
    static const json_kind any = {NULL, "conversation"};
    json_t *d;
    if (!*path) {
        say("/load PATH");
        return;
    }
    kvasir_status status = json_read(path, &any, &d);
    if (status != KVASIR_OK) {
        (void)failed(status);
        return;
    }
    json_t *messages = json_is_array(d) ? d : json_object_get(d, "messages");
    if (messages_ok(messages)) {
        json_decref(now(c)->messages);
        now(c)->messages = json_incref(messages);
        (void)fprintf(stderr, "%zu messages loaded; they are read again with your next message\n",
                      json_array_size(messages));
    } else {
        note("%s: no list of messages with role and content", path);
    }
    json_decref(d);
}

static void cmd_file(chat_state *c, const char *path)
{
    char *text = NULL;
    size_t n = 0;
    if (!*path) {
        say("/file PATH");
        return;
    }
    kvasir_status status = read_text(path, &text, &n);
    if (status != KVASIR_OK) {
        (void)failed(status);
        return;
    }
    char *grown = mem_grow(c->pending, c->n_pending, c->n_pending + n + 2, 1);
    if (!grown) {
        free(text);
        (void)failed(fail_memory(n));
        return;
    }
    memcpy(grown + c->n_pending, text, n);
    grown[c->n_pending + n] = grown[c->n_pending + n + 1] = '\n';
    c->pending = grown;
    c->n_pending += n + 2;
    free(text);
    (void)fprintf(stderr, "%s: %s go before your next message\n", path, bytes_text(n));
}

/* ---- the other commands ------------------------------------------------------------------------------- */

static int has_role(const json_t *message, const char *role)
{
    const char *own = json_string_value(json_object_get(message, "role"));
    return own && strcmp(own, role) == 0;
}

/* Back to before the last message of the user. */
static void cmd_undo(chat_state *c, const char *rest)
{
    json_t *messages = now(c)->messages;
    size_t n = json_array_size(messages), at = n;
    while (at > 0 && !has_role(json_array_get(messages, at - 1), "user")) at--;
    if (at == 0) {
        say("there is nothing to undo");
        return;
    }
    for (at--; n > at; n--) pop_message(messages);
    int32_t *ids = NULL;
    size_t n_ids = 0;
    int held = 0;
    /* Some templates cannot render a conversation without a user; then the next turn cuts the sequence. */
    if (n > 0)
        (void)follow(c, 0, &ids, &n_ids, &held);
    else
        (void)kvasir_seq_truncate(now(c)->seq, 0);
    kvasir_free(ids);
    (void)fprintf(stderr, "the last exchange is undone; %zu messages, %d tokens\n", n, kvasir_seq_length(now(c)->seq));
}

static void cmd_stats(chat_state *c, const char *rest)
{
    kvasir_engine_info info;
    const kvasir_seq *seq = now(c)->seq;
    kvasir_engine_get_info(c->s->engine, &info);
    (void)fprintf(stderr, "branch %d: %zu messages, %d of %d tokens, KV %s:%s %s\n", c->current,
                  json_array_size(now(c)->messages), kvasir_seq_length(seq), kvasir_seq_ctx(seq),
                  kvasir_seq_kv_type(seq, 0), kvasir_seq_kv_type(seq, 1), bytes_text(kvasir_seq_kv_bytes(seq)));
    (void)fprintf(stderr, "KV %s of %s, weights %s, process %s (peak %s), %d threads, %s\n", bytes_text(info.kv_used),
                  bytes_text(info.kv_budget), bytes_text(info.weights_bytes), bytes_text(info.resident_bytes),
                  bytes_text(info.peak_resident_bytes), info.n_threads, info.cpu_level);
    if (c->last.generated_tokens == 0) return;
    (void)fprintf(stderr, "last turn: %d tokens were held, ", c->last_reused);
    print_summary(c->s, &c->last);
}

static void cmd_help(chat_state *c, const char *rest);

typedef struct chat_command {
    const char *name;
    void (*run)(chat_state *c, const char *rest);
    const char *help;
} chat_command;

static const chat_command commands[] = {
    {"/help", cmd_help, "this list"},
    {"/undo", cmd_undo, "take the last exchange back"},
    {"/fork", cmd_fork, "begin a branch that shares all so far"},
    {"/branch", cmd_branch, "list the branches; /branch N goes to one"},
    {"/file", cmd_file, "/file PATH puts a file's text before your next message"},
    {"/save", cmd_save, "/save PATH writes the conversation as JSON"},
    {"/load", cmd_load, "/load PATH takes a saved conversation up"},
    {"/stats", cmd_stats, "tokens, speed and memory"},
    {"/quit", NULL, "end (Ctrl-D too); Ctrl-C stops an answer"},
};

static void cmd_help(chat_state *c, const char *rest)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        (void)fprintf(stderr, "%-9s %s\n", commands[i].name, commands[i].help);
    say("A line that ends with \\ goes on in the next one.");
}

/* Runs a line that begins with "/"; 0 ends the chat. */
static int run_command_line(chat_state *c, const char *line)
{
    size_t n = strcspn(line, " \t");
    const char *rest = line + n + strspn(line + n, " \t");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strlen(commands[i].name) == n && strncmp(line, commands[i].name, n) == 0) {
            if (!commands[i].run) return 0;
            commands[i].run(c, rest);
            return 1;
        }
    (void)fprintf(stderr, "%s is no command; /help lists them\n", quoted(line, n));
    return 1;
}

/* ---- the loop ----------------------------------------------------------------------------------------- */

/* Reads one message: lines that end with a backslash go on. *text is the caller's (mem_free), with n bytes.
 */
static line_result read_message(line_reader *reader, char **text, size_t *n)
{
    *text = NULL;
    *n = 0;
    for (;;) {
        const char *line = NULL;
        line_result result = line_read(reader, *n ? "... " : "> ", &line);
        if (result == LINE_END && *n) return LINE_TEXT;
        if (result != LINE_TEXT) return result;
        size_t length = strlen(line);
        int more = length > 0 && line[length - 1] == '\\';
        char *grown = mem_grow(*text, *n, *n + length + 1, 1);
        if (!grown) return LINE_END;
        memcpy(grown + *n, line, length + 1);
        *text = grown;
        *n += length;
        if (!more) return LINE_TEXT;
        grown[*n - 1] = '\n';
    }
}

/* Puts the text of /file before the message and takes the turn. */
static void send_message(chat_state *c, const char *text, size_t n)
{
    char *whole = mem_grow(c->pending, c->n_pending, c->n_pending + n + 1, 1);
    if (!whole) {
        (void)failed(fail_memory(n));
        return;
    }
    memcpy(whole + c->n_pending, text, n);
    size_t length = c->n_pending + n;
    c->pending = NULL;
    c->n_pending = 0;
    take_turn(c, whole, length);
    mem_free(whole);
}

static void converse(chat_state *c, line_reader *reader)
{
    int asked_to_quit = 0;
    for (;;) {
        char *text = NULL;
        size_t n = 0;
        line_result result = read_message(reader, &text, &n);
        if (result == LINE_INTERRUPTED) {
            mem_free(text);
            if (asked_to_quit) return;
            say("Ctrl-C once more, Ctrl-D or /quit ends the chat");
            asked_to_quit = 1;
            continue;
        }
        asked_to_quit = 0;
        if (result == LINE_END) {
            mem_free(text);
            if (isatty(STDIN_FILENO)) (void)fputc('\n', stderr);
            return;
        }
        int go_on = 1;
        if (n > 0 && text[0] == '/')
            go_on = run_command_line(c, text);
        else if (n > 0)
            send_message(c, text, n);
        mem_free(text);
        if (!go_on || ferror(stdout)) return;
    }
}

int chat(session *s, run_args *a, const char *template_text, const char *system_text, const char *first)
{
    chat_state c = {.s = s, .args = a, .template_text = template_text, .system_text = system_text, .n_branches = 1};
    line_reader *reader = line_open();
    int code = reader ? session_sequence(s, NULL, &c.branches[0].seq) : failed(fail_memory(0));
    if (code == EXIT_DONE) {
        c.branches[0].messages = fresh_messages(&c);
        (void)fprintf(stderr, "%s%s, %d tokens of context, KV %s. /help lists commands.%s\n", dim_on(),
                      s->info->name && *s->info->name ? quoted(s->info->name, strlen(s->info->name)) : s->path,
                      kvasir_seq_ctx(c.branches[0].seq), s->kv, dim_off());
        if (first && *first) send_message(&c, first, strlen(first));
        converse(&c, reader);
        code = finish_output(EXIT_DONE);
    }
    for (int i = 0; i < c.n_branches; i++) {
        json_decref(c.branches[i].messages);
        kvasir_seq_free(c.branches[i].seq);
    }
    mem_free(c.pending);
    line_close(reader);
    return code;
}
