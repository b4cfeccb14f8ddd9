/* Text as a terminal is to show it while it comes in pieces: lines end between words, and nothing in it acts on the
   terminal. A pure state machine: what comes out does not depend on how the text is cut into pieces. */
#ifndef KVASIR_CLI_SESSION_WRAP_H
#define KVASIR_CLI_SESSION_WRAP_H

#include <stddef.h>

/* Receives what is to be written. */
typedef void (*wrap_out)(void *user, const char *text, size_t n);

enum {
    WRAP_LEAST = 16, /* narrower terminals break lines as they like */
    WRAP_HELD_BYTES = 512
};

/* Zeroed but for `out`, `user` and `width` before the first piece. */
typedef struct wrap {
    wrap_out out;
    void *user;
    int width; /* columns of the terminal, which may change between pieces; 0: lines are left to the terminal */
    int column, spaces;         /* of the line so far; behind them and not written yet */
    char word[WRAP_HELD_BYTES]; /* held back until its end is known to fit, or not to */
    size_t n_word;
    int word_columns;
    int has_word; /* more than indentation is on the line */
    int glued;    /* what comes belongs to a word that has been written */
    char part[4]; /* of a character */
    size_t n_part;
    int carriage;                    /* a carriage return has come: half a line end? */
    int run, after_run, run_in_rest; /* ``` or ~~~ at the start of the line, and what stands behind it */
    char run_of;
    int fence; /* how long the run was that began a block of code; 0: in none */
    char fence_of;
} wrap;

/* Takes a piece. Between words, a line end is put in place of the spaces where the next word does not fit. Words longer
   than a line, text without spaces (Chinese) and lines of ``` blocks are left to the terminal, so that copying them
   gives what was written. Characters that may not be shown (shown_character) come out as \x1b or \u202e, bytes that are not UTF-8 as U+FFFD. */
void wrap_feed(wrap *w, const char *text, size_t n);
/* Writes what is held back. */
void wrap_end(wrap *w);

#endif
