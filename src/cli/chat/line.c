#include "cli/chat/line.h"
#include "cli/common/common.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_LIBEDIT
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <wchar.h>
#endif

enum { HISTORY_LINES = 500 };

struct line_reader {
    char *plain; /* getline's buffer, when there is no editor */
    size_t room;
    int terminal;
    const char *prompt;
#ifdef HAVE_LIBEDIT
    EditLine *editor;
    History *history;
#endif
};

#ifdef HAVE_LIBEDIT

/* libedit asks for the prompt by callback. */
static char *current_prompt(EditLine *e)
{
    line_reader *r = NULL;
    (void)el_get(e, EL_CLIENTDATA, &r);
    return (char *)(uintptr_t)(r ? r->prompt : "");
}

/* One character for libedit. A signal that comes just before a blocking read would be lost until the next
   key, so this looks up every WAIT_MS whether Ctrl-C was pressed. */
static int read_character(EditLine *e, wchar_t *out)
{
    enum { WAIT_MS = 50 };
    mbstate_t state = {0};
    (void)e;
    for (;;) {
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        int ready = poll(&in, 1, WAIT_MS);
        if (interrupted()) {
            errno = EINTR;
            return -1;
        }
        if (ready <= 0) continue;
        char byte;
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n <= 0) return (int)n;
        size_t length = mbrtowc(out, &byte, 1, &state);
        if (length == (size_t)-1)
            state = (mbstate_t){0}; /* no character: left out */
        else if (length != (size_t)-2)
            return 1;
    }
}

static void open_editor(line_reader *r)
{
    HistEvent event;
    /* libedit takes bytes for characters unless the locale says otherwise. */
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) (void)setlocale(LC_CTYPE, "C.UTF-8");
    r->editor = el_init("kvasir", stdin, stderr, stderr);
    r->history = history_init();
    if (!r->editor || !r->history) return;
    (void)history(r->history, &event, H_SETSIZE, HISTORY_LINES);
    (void)history(r->history, &event, H_SETUNIQUE, 1);
    (void)el_set(r->editor, EL_CLIENTDATA, r);
    (void)el_set(r->editor, EL_PROMPT, current_prompt);
    (void)el_set(r->editor, EL_GETCFN, read_character);
    (void)el_set(r->editor, EL_EDITOR, "emacs");
    (void)el_set(r->editor, EL_HIST, history, r->history);
    (void)el_set(r->editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    (void)el_source(r->editor, NULL); /* the user's ~/.editrc */
}

static line_result edit_line(line_reader *r, const char **text)
{
    int n = 0;
    HistEvent event;
    /* libedit shows the prompt before it takes the terminal out of its line mode: what is typed in between
       would be shown twice, and a Ctrl-D lost. */
    (void)el_set(r->editor, EL_PREP_TERM, 1);
    errno = 0;
    const char *line = el_gets(r->editor, &n);
    if (!line || n <= 0) {
        if (!interrupted()) return LINE_END;
        clear_interrupt();
        (void)el_set(r->editor, EL_REFRESH);
        el_reset(r->editor);
        (void)fputc('\n', stderr);
        return LINE_INTERRUPTED;
    }
    if (n > 1) (void)history(r->history, &event, H_ENTER, line);
    char *copy = mem_grow(r->plain, 0, (size_t)n + 1, 1);
    if (!copy) return LINE_END;
    memcpy(copy, line, (size_t)n);
    copy[n - (line[n - 1] == '\n')] = 0;
    r->plain = copy;
    *text = copy;
    return LINE_TEXT;
}

#endif

line_reader *line_open(void)
{
    line_reader *r = mem_alloc(1, sizeof *r);
    if (!r) return NULL;
    r->terminal = isatty(STDIN_FILENO);
#ifdef HAVE_LIBEDIT
    if (r->terminal) open_editor(r);
#endif
    return r;
}

void line_close(line_reader *r)
{
    if (!r) return;
#ifdef HAVE_LIBEDIT
    if (r->editor) el_end(r->editor);
    if (r->history) history_end(r->history);
#endif
    free(r->plain); /* mem_alloc and getline both take it from malloc */
    mem_free(r);
}

line_result line_read(line_reader *r, const char *prompt, const char **text)
{
    r->prompt = prompt;
#ifdef HAVE_LIBEDIT
    if (r->editor && r->history) return edit_line(r, text);
#endif
    if (r->terminal) (void)fputs(prompt, stderr);
    errno = 0;
    ssize_t n = getline(&r->plain, &r->room, stdin);
    if (n < 0) {
        if (!interrupted()) return LINE_END;
        clearerr(stdin);
        clear_interrupt();
        if (r->terminal) (void)fputc('\n', stderr);
        return LINE_INTERRUPTED;
    }
    if (n > 0 && r->plain[n - 1] == '\n') r->plain[n - 1] = 0;
    *text = r->plain;
    return LINE_TEXT;
}
