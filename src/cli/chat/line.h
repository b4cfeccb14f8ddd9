/* Reading lines from the user: with editing and history at a terminal (libedit, where it was built in), plain
   otherwise. The prompt goes to stderr, so that stdout holds answers only. */
#ifndef KVASIR_CLI_CHAT_LINE_H
#define KVASIR_CLI_CHAT_LINE_H

#include <stddef.h>

typedef struct line_reader line_reader;

/* Ctrl-C: LINE_INTERRUPTED with nothing typed, LINE_DROPPED with something, which is gone. */
typedef enum line_result { LINE_TEXT, LINE_END, LINE_INTERRUPTED, LINE_DROPPED } line_result;

/* Asked when Tab is pressed: `before` stands before the cursor. Writes what fits behind it into `to` (n bytes) and returns
   1, or returns 0. */
typedef int (*line_complete)(void *user, const char *before, char *to, size_t n);

line_reader *line_open(line_complete complete, void *user); /* NULL: out of memory */
void line_close(line_reader *r);
/* One line without its newline, valid until the next call. With an editor it may have newlines in it: what was pasted is
   one text. After Ctrl-C its flag is cleared. */
line_result line_read(line_reader *r, const char *prompt, const char **text);
/* The same for an answer to a question, which the history has no use for. */
line_result line_ask(line_reader *r, const char *prompt, const char **text);
/* Forgets what has been typed ahead, as a terminal does at Ctrl-C. */
void line_forget(line_reader *r);
/* Puts a text into the next line, as if it had been typed. 0: there is no editor that
   could. */
int line_put_back(line_reader *r, const char *text, size_t n);
/* Is there somebody to ask? */
int line_at_terminal(const line_reader *r);

#endif
