/* The state of the terminal while the chat has changed it: whatever ends the process, the terminal is left as it was. */
#ifndef KVASIR_CLI_CHAT_TERMINAL_H
#define KVASIR_CLI_CHAT_TERMINAL_H

#include <stdbool.h>
#include <termios.h>

/* Keeps the state as it is. From here on every signal that would end or stop the process is noted for `terminal_next_signal`; one
   that cannot wait (a crash) calls `restore`, which is async-signal-safe, and acts at once. So does the interruption that
   ends the process. Signals that are ignored, or that something else handles, are left alone. */
void terminal_watch(void (*restore)(void));
/* Ends that. */
void terminal_unwatch(void);
/* A signal that has come, which is then forgotten; 0: none. */
int terminal_next_signal(void);
/* The terminal as terminal_watch found it. */
const struct termios *terminal_before(void);

/* While an answer is written, what is typed or pasted is text to come: of its bytes Ctrl-C alone is a signal. Whatever ends the
   process, that ends too. Does nothing where stdin is no terminal. */
void terminal_quiet(void);
void terminal_unquiet(void);

#endif
