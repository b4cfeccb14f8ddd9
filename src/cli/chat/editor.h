/* The line editor: libedit, with pasted text as one piece. Inside src/cli/chat. */
#ifndef KVASIR_CLI_CHAT_EDITOR_H
#define KVASIR_CLI_CHAT_EDITOR_H

#include "cli/chat/line.h"

typedef struct editor editor;

/* NULL where there is none: built without libedit, or a terminal that cannot move its cursor. */
editor *editor_open(line_complete complete, void *user);
void editor_close(editor *e);
/* As line_read; *text is the caller's (mem_free). */
line_result editor_read(editor *e, const char *prompt, int remember, char **text);
void editor_forget(editor *e); /* what has been read from the terminal and not taken yet */
void editor_put_back(editor *e, const char *text, size_t n);

#endif
