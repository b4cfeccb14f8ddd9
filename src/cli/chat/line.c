#include "cli/chat/line.h"
#include "cli/chat/editor.h"
#include "cli/common/common.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct line_reader {
    char *line; /* getline's buffer, or what the editor gave; malloc's both, as mem_alloc's */
    size_t room;
    int terminal;
    editor *editor;
};

line_reader *line_open(line_complete complete, void *user)
{
    line_reader *r = mem_alloc(1, sizeof *r);
    if (!r) return NULL;
    r->terminal = isatty(STDIN_FILENO);
    if (r->terminal) r->editor = editor_open(complete, user);
    return r;
}

void line_close(line_reader *r)
{
    if (!r) return;
    editor_close(r->editor);
    free(r->line);
    mem_free(r);
}

static line_result read_plain(line_reader *r, const char *prompt, const char **text)
{
    if (r->terminal) (void)fputs(prompt, stderr);
    errno = 0;
    ssize_t n = getline(&r->line, &r->room, stdin);
    if (n < 0) {
        if (!interrupted()) return LINE_END;
        clearerr(stdin);
        clear_interrupt();
        if (r->terminal) (void)fputc('\n', stderr);
        return asked_to_end() ? LINE_END : LINE_INTERRUPTED;
    }
    if (n > 0 && r->line[n - 1] == '\n') r->line[n - 1] = 0;
    *text = r->line;
    return LINE_TEXT;
}

static line_result edit(line_reader *r, const char *prompt, int remember, const char **text)
{
    free(r->line);
    r->line = NULL;
    line_result result = editor_read(r->editor, prompt, remember, &r->line);
    *text = r->line;
    return result;
}

line_result line_read(line_reader *r, const char *prompt, const char **text)
{
    return r->editor ? edit(r, prompt, 1, text) : read_plain(r, prompt, text);
}

line_result line_ask(line_reader *r, const char *prompt, const char **text)
{
    return r->editor ? edit(r, prompt, 0, text) : read_plain(r, prompt, text);
}

void line_forget(line_reader *r)
{
    if (r->editor) editor_forget(r->editor);
}

int line_put_back(line_reader *r, const char *text, size_t n)
{
    if (!r->editor) return 0;
    editor_put_back(r->editor, text, n);
    return 1;
}

int line_at_terminal(const line_reader *r)
{
    return r->terminal;
}
