#include "cli/chat/editor.h"

#ifdef HAVE_LIBEDIT

#include "cli/chat/terminal.h"
#include "cli/common/common.h"
#include "base/mem.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

enum {
    HISTORY_LINES = 500,
    QUEUE_BYTES = 4096,
    WAIT_MS = 50,   /* a signal that comes just before a blocking wait would be lost until the next key */
    ESCAPE_MS = 50, /* how long the rest of a sequence may be behind its start */
    PASTE_MS = 1000,
    INSERT_KEY = 0x80 /* a control character that no keyboard has: "insert what is in `insert`" */
};

/* A terminal that is asked to puts these around what is pasted. */
static const char paste_on[] = "\033[?2004h", paste_off[] = "\033[?2004l";
static const char paste_begins[] = "\033[200~", paste_ends[] = "\033[201~";

struct editor {
    EditLine *line;
    History *history;
    const char *prompt;
    char queue[QUEUE_BYTES]; /* read from the terminal and not taken yet */
    size_t n_queue, at_queue;
    char *insert; /* a paste, or what is put back: goes into the line as text */
    size_t n_insert, room_insert;
    int put_back;   /* `insert` is to come before all that is typed */
    int stopped;    /* Ctrl-C has come as a character */
    int typed;      /* something else came before it */
    size_t n_ahead; /* bytes that came before the prompt did */
    line_complete complete;
    void *complete_user;
};

/* ---- the terminal's state ----------------------------------------------------------------------------- */

/* Async-signal-safe: for what ends the process at once. */
static void restore_terminal(void)
{
    if (write(STDERR_FILENO, paste_off, sizeof paste_off - 1) < 0) return;
    (void)tcsetattr(STDIN_FILENO, TCSANOW, terminal_before());
}

static void enter(editor *e)
{
    int typed_ahead = 0;
    terminal_watch(restore_terminal);
    /* libedit shows the prompt before it takes the terminal out of its line mode: what is typed in between
       would be shown twice, and a Ctrl-D lost. */
    (void)el_set(e->line, EL_PREP_TERM, 1);
    (void)fputs(paste_on, stderr);
    (void)fflush(stderr);
    if (ioctl(STDIN_FILENO, FIONREAD, &typed_ahead) != 0 || typed_ahead < 0) typed_ahead = 0;
    e->n_ahead = e->n_queue - e->at_queue + (size_t)typed_ahead;
}

static void leave(editor *e)
{
    (void)fputs(paste_off, stderr);
    (void)fflush(stderr);
    (void)el_set(e->line, EL_PREP_TERM, 0);
    terminal_unwatch();
}

static void raise_outside(editor *e, int number)
{
    leave(e);
    (void)raise(number); /* comes back after SIGTSTP, or where the signal is ignored */
    enter(e);
    (void)el_set(e->line, EL_REFRESH);
}

/* Signals that would leave the terminal in the editor's state are acted on between two keys. */
static void act_on_signals(editor *e)
{
    for (int number; (number = terminal_next_signal()) != 0;) {
        if (number == SIGWINCH) {
            el_resize(e->line);
            (void)el_set(e->line, EL_REFRESH);
        } else {
            raise_outside(e, number);
        }
    }
}

/* ---- bytes -------------------------------------------------------------------------------------------- */

typedef enum byte_result { BYTE_HERE, BYTE_NONE, BYTE_END, BYTE_STOP } byte_result;

/* Is there another byte, `ahead` behind the first one in the queue? Waits; limit_ms < 0: for as long as it takes. */
static byte_result look(editor *e, size_t ahead, int limit_ms)
{
    while (e->at_queue + ahead >= e->n_queue) {
        memmove(e->queue, e->queue + e->at_queue, e->n_queue - e->at_queue);
        e->n_queue -= e->at_queue;
        e->at_queue = 0;
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        int ready = poll(&in, 1, limit_ms < 0 ? WAIT_MS : limit_ms);
        if (interrupted()) return BYTE_STOP;
        act_on_signals(e);
        if (ready <= 0 && limit_ms >= 0) return BYTE_NONE;
        if (ready <= 0) continue;
        ssize_t n = read(STDIN_FILENO, e->queue + e->n_queue, sizeof e->queue - e->n_queue);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return BYTE_END;
        e->n_queue += (size_t)n;
    }
    return BYTE_HERE;
}

/* Takes what stands at the head of the queue. */
static void take(editor *e, size_t n)
{
    e->at_queue += n;
    e->n_ahead -= n < e->n_ahead ? n : e->n_ahead;
}

/* Does `text` stand at the head of the queue? It is taken if so. */
static int take_sequence(editor *e, const char *text, int limit_ms)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if (look(e, i, limit_ms) != BYTE_HERE || e->queue[e->at_queue + i] != text[i]) return 0;
    take(e, n);
    return 1;
}

static int add_to_insert(editor *e, const char *text, size_t n)
{
    if (e->n_insert + n + 1 > e->room_insert) {
        size_t room = 2 * (e->n_insert + n) + 256;
        char *grown = mem_grow(e->insert, e->room_insert, room, 1);
        if (!grown) return 0;
        e->insert = grown;
        e->room_insert = room;
    }
    memcpy(e->insert + e->n_insert, text, n);
    e->n_insert += n;
    e->insert[e->n_insert] = 0;
    return 1;
}

/* What is pasted, up to its end; then it is text whatever is in it: no key, no signal, no end of the line. Ctrl-C after a pause
   has been typed, by somebody whose terminal has left the end out. */
static byte_result read_paste(editor *e)
{
    for (int paused = 0;;) {
        byte_result result = look(e, 0, PASTE_MS);
        if (result == BYTE_NONE) {
            paused = 1;
            continue;
        }
        if (result != BYTE_HERE) return result;
        char byte = e->queue[e->at_queue];
        if (byte == '\033' && take_sequence(e, paste_ends, PASTE_MS)) return BYTE_HERE;
        take(e, 1);
        if (paused && (unsigned char)byte == terminal_before()->c_cc[VINTR]) {
            e->stopped = 1;
            return BYTE_STOP;
        }
        paused = 0;
        if (!add_to_insert(e, byte ? &byte : "\xef\xbf\xbd", byte ? 1 : 3)) return BYTE_STOP;
    }
}

/* ---- keys --------------------------------------------------------------------------------------------- */

static editor *editor_of(EditLine *line)
{
    editor *e = NULL;
    (void)el_get(line, EL_CLIENTDATA, &e);
    return e;
}

/* Ctrl-C, Ctrl-\ and Ctrl-Z come as characters, so that pasted ones are text. 1: `byte` was one of them. The latter two mean nothing
   where they came before the prompt: most likely they were pasted while an answer was written. */
static int act_on_key(editor *e, unsigned char byte, int is_ahead)
{
    const cc_t *keys = terminal_before()->c_cc;
    if (byte == _POSIX_VDISABLE) return 0;
    if (byte == keys[VINTR])
        e->stopped = 1;
    else if (byte != keys[VQUIT] && byte != keys[VSUSP])
        return 0;
    else if (!is_ahead)
        raise_outside(e, byte == keys[VQUIT] ? SIGQUIT : SIGTSTP);
    return 1;
}

/* One character for libedit. */
static int read_character(EditLine *line, wchar_t *out)
{
    editor *e = editor_of(line);
    mbstate_t state = {0};
    while (!e->put_back) {
        byte_result result = look(e, 0, -1);
        if (result == BYTE_HERE && e->queue[e->at_queue] == '\033' && take_sequence(e, paste_begins, ESCAPE_MS)) {
            e->n_insert = 0;
            result = read_paste(e);
            if (result == BYTE_HERE && e->n_insert == 0) continue;
            if (result == BYTE_HERE) break;
        }
        if (result == BYTE_END) return 0;
        if (result != BYTE_HERE) {
            errno = EINTR;
            return -1;
        }
        const int is_ahead = e->n_ahead > 0;
        char byte = e->queue[e->at_queue];
        take(e, 1);
        if (mbsinit(&state) && act_on_key(e, (unsigned char)byte, is_ahead)) {
            if (!e->stopped) continue;
            errno = EINTR;
            return -1;
        }
        e->typed = 1;
        size_t length = mbrtowc(out, &byte, 1, &state);
        if (length == (size_t)-1)
            state = (mbstate_t){0}; /* no character: left out */
        else if (length != (size_t)-2)
            return 1;
    }
    e->put_back = 0;
    e->typed = 1;
    *out = INSERT_KEY;
    return 1;
}

/* The characters of a text with its line ends as newlines; NULL: out of memory. */
static wchar_t *characters(const char *text, size_t n)
{
    wchar_t *to = mem_alloc(n + 1, sizeof *to);
    size_t used = 0;
    mbstate_t state = {0};
    for (size_t i = 0; to && i < n;) {
        wchar_t c = 0;
        size_t length = mbrtowc(&c, text + i, n - i, &state);
        if (length == 0 || length > n) {
            state = (mbstate_t){0};
            c = 0xfffd;
            length = 1;
        }
        if (c == '\r') {
            c = '\n';
            if (i + 1 < n && text[i + 1] == '\n') length++;
        }
        to[used++] = c;
        i += length;
    }
    return to;
}

static unsigned char insert_text(EditLine *line, int key)
{
    editor *e = editor_of(line);
    (void)key;
    wchar_t *text = characters(e->insert, e->n_insert);
    int bad = !text || (*text && el_winsertstr(line, text) != 0);
    mem_free(text);
    e->n_insert = 0;
    return bad ? CC_ERROR : CC_REFRESH;
}

static unsigned char complete_word(EditLine *line, int key)
{
    editor *e = editor_of(line);
    char more[128];
    const LineInfo *info = el_line(line);
    (void)key;
    char *so_far = mem_text(info->buffer, (size_t)(info->cursor - info->buffer));
    int found = so_far && e->complete && e->complete(e->complete_user, so_far, more, sizeof more);
    mem_free(so_far);
    return found && el_insertstr(line, more) == 0 ? CC_REFRESH : CC_ERROR;
}

/* libedit asks for the prompt by callback. */
static char *current_prompt(EditLine *line)
{
    editor *e = editor_of(line);
    return (char *)(uintptr_t)(e ? e->prompt : "");
}

/* ---- the editor --------------------------------------------------------------------------------------- */

static void set_up(editor *e)
{
    HistEvent event;
    static const char insert_key[] = {(char)0xc2, (char)INSERT_KEY, 0}; /* in UTF-8 */
    (void)history(e->history, &event, H_SETSIZE, HISTORY_LINES);
    (void)history(e->history, &event, H_SETUNIQUE, 1);
    (void)el_set(e->line, EL_CLIENTDATA, e);
    (void)el_set(e->line, EL_PROMPT, current_prompt);
    (void)el_set(e->line, EL_GETCFN, read_character);
    (void)el_set(e->line, EL_EDITOR, "emacs");
    (void)el_set(e->line, EL_HIST, history, e->history);
    (void)el_set(e->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
    /* (libedit copies names of plain characters and never frees them.) */
    (void)el_wset(e->line, EL_ADDFN, L"kvasir-complete", L"complete a command", complete_word);
    (void)el_wset(e->line, EL_ADDFN, L"kvasir-insert", L"insert what was pasted", insert_text);
    (void)el_set(e->line, EL_BIND, "^I", "kvasir-complete", NULL);
    (void)el_source(e->line, NULL); /* the user's ~/.editrc */
    (void)el_set(e->line, EL_BIND, insert_key, "kvasir-insert", NULL);
    (void)el_set(e->line, EL_BIND, "-a", insert_key, "kvasir-insert", NULL); /* vi's command mode */
    (void)el_set(e->line, EL_SETTY, "-d", "-isig", "-ixon", NULL);
}

editor *editor_open(line_complete complete, void *user)
{
    const char *terminal = getenv("TERM");
    if (!terminal || !*terminal || strcmp(terminal, "dumb") == 0) return NULL;
    editor *e = mem_alloc(1, sizeof *e);
    if (!e) return NULL;
    e->complete = complete;
    e->complete_user = user;
    /* libedit takes bytes for characters unless the locale says otherwise. */
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) (void)setlocale(LC_CTYPE, "C.UTF-8");
    e->line = el_init("kvasir", stdin, stderr, stderr);
    e->history = history_init();
    if (!e->line || !e->history) {
        editor_close(e);
        return NULL;
    }
    set_up(e);
    return e;
}

void editor_close(editor *e)
{
    if (!e) return;
    if (e->line) el_end(e->line);
    if (e->history) history_end(e->history);
    mem_free(e->insert);
    mem_free(e);
}

static line_result stopped_line(editor *e)
{
    int end = asked_to_end() || (!interrupted() && !e->stopped);
    clear_interrupt();
    e->stopped = 0;
    editor_forget(e);
    if (end) return LINE_END;
    (void)el_set(e->line, EL_REFRESH);
    el_reset(e->line);
    (void)fputc('\n', stderr);
    return e->typed ? LINE_DROPPED : LINE_INTERRUPTED;
}

line_result editor_read(editor *e, const char *prompt, int remember, char **text)
{
    int n = 0;
    HistEvent event;
    e->prompt = prompt;
    e->typed = 0;
    enter(e);
    errno = 0;
    const char *line = el_gets(e->line, &n);
    leave(e);
    if (!line || n <= 0) return stopped_line(e);
    if (n > 1 && remember) (void)history(e->history, &event, H_ENTER, line);
    *text = mem_text(line, (size_t)(n - (line[n - 1] == '\n')));
    return *text ? LINE_TEXT : LINE_END;
}

void editor_forget(editor *e)
{
    e->n_queue = e->at_queue = e->n_ahead = 0;
}

void editor_put_back(editor *e, const char *text, size_t n)
{
    e->n_insert = 0;
    e->put_back = add_to_insert(e, text, n);
}

#else

editor *editor_open(line_complete complete, void *user)
{
    (void)complete, (void)user;
    return NULL;
}

void editor_close(editor *e)
{
    (void)e;
}

line_result editor_read(editor *e, const char *prompt, int remember, char **text)
{
    (void)e, (void)prompt, (void)remember, (void)text;
    return LINE_END;
}

void editor_forget(editor *e)
{
    (void)e;
}

void editor_put_back(editor *e, const char *text, size_t n)
{
    (void)e, (void)text, (void)n;
}

#endif
