/* Reading lines from the user: with editing and history at a terminal (libedit, where it was built in), plain
   otherwise. The prompt goes to stderr, so that stdout holds answers only. */
#ifndef KVASIR_CLI_CHAT_LINE_H
#define KVASIR_CLI_CHAT_LINE_H

#include <stddef.h>

typedef struct line_reader line_reader;

typedef enum line_result { LINE_TEXT, LINE_END, LINE_INTERRUPTED } line_result;

line_reader *line_open(void); /* NULL: out of memory */
void line_close(line_reader *r);
/* One line without its newline, valid until the next call. LINE_INTERRUPTED after Ctrl-C (the flag is
 * cleared). */
line_result line_read(line_reader *r, const char *prompt, const char **text);

#endif
