/* A message is a line, or several. */
#include "cli/chat/chat.h"

#include <string.h>

static const char mark[] = "\"\"\"";
enum { MARK = sizeof mark - 1 };

static size_t trimmed(const char *text, size_t n)
{
    while (n > 0 && strchr(" \t\r\n", text[n - 1])) n--;
    return n;
}

static int begins_quoted(const typed_message *m)
{
    return m->n >= MARK && memcmp(m->text, mark, MARK) == 0;
}

static int ends_quoted(const typed_message *m)
{
    size_t n = trimmed(m->text, m->n);
    return n >= 2 * (size_t)MARK && memcmp(m->text + n - MARK, mark, MARK) == 0;
}

/* Takes the marks off, and a line end next to each. */
static void unquote(typed_message *m)
{
    size_t from = MARK, to = trimmed(m->text, m->n) - MARK;
    if (from < to && m->text[from] == '\n') from++;
    if (to > from && m->text[to - 1] == '\n') to--;
    memmove(m->text, m->text + from, to - from);
    m->n = to - from;
    m->text[m->n] = 0;
    m->quoted = 1;
}

static int add_line(typed_message *m, const char *line)
{
    size_t n = strlen(line), gap = m->text ? 1 : 0;
    char *grown = mem_grow(m->text, m->text ? m->n + 1 : 0, m->n + gap + n + 1, 1);
    if (!grown) return 0;
    if (gap) grown[m->n] = '\n';
    memcpy(grown + m->n + gap, line, n + 1);
    m->text = grown;
    m->n += gap + n;
    return 1;
}

/* Takes the backslash off that says that another line follows. */
static int goes_on(typed_message *m)
{
    if (m->n == 0 || m->text[m->n - 1] != '\\') return 0;
    m->text[--m->n] = 0;
    return 1;
}

line_result read_message(line_reader *reader, typed_message *out)
{
    *out = (typed_message){0};
    for (int in_quotes = 0;;) {
        const char *line = NULL;
        line_result result = line_read(reader, out->text ? "... " : "> ", &line);
        if (result == LINE_END && out->text) {
            if (in_quotes) note("the text has no closing \"\"\"; it is sent as it is");
            return LINE_TEXT;
        }
        if (result != LINE_TEXT) {
            const int begun = out->text != NULL;
            mem_free(out->text);
            *out = (typed_message){0};
            return result == LINE_INTERRUPTED && begun ? LINE_DROPPED : result;
        }
        int first = !out->text, pasted = strchr(line, '\n') != NULL;
        if (!add_line(out, line)) return LINE_END;
        /* What was pasted with line ends is whole, unless it is between quotes as well. */
        if (first) in_quotes = begins_quoted(out) && (!pasted || ends_quoted(out));
        if (in_quotes && ends_quoted(out)) {
            unquote(out);
            return LINE_TEXT;
        }
        if (in_quotes || (!pasted && goes_on(out))) continue;
        if (pasted) {
            while (out->n > 0 && out->text[out->n - 1] == '\n') out->text[--out->n] = 0;
        }
        return LINE_TEXT;
    }
}
