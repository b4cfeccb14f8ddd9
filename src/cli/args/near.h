/* Words that are nearly the same: what may have been meant. */
#ifndef KVASIR_CLI_ARGS_NEAR_H
#define KVASIR_CLI_ARGS_NEAR_H

enum { NEAR_WORD_BYTES = 96, NEAR_FAR = 1000 };

/* How many letters have to be added, removed, replaced or exchanged with their neighbour to make `b` of `a` (case is not
   looked at). NEAR_FAR for words of NEAR_WORD_BYTES and more. */
int near_distance(const char *a, const char *b);
/* The same to the nearest beginning of `b`. */
int near_start_distance(const char *a, const char *b);

/* The nearest of several words so far. */
typedef struct near_word {
    const char *typed;
    char best[NEAR_WORD_BYTES]; /* "": nothing that may have been meant */
    int distance;
} near_word;

near_word near_begin(const char *typed);
/* Takes `word` if it is nearer than what there is, and near enough: about one slip in three letters. */
void near_try(near_word *n, const char *word);
/* The same for long words, of which a beginning is enough. */
void near_try_start(near_word *n, const char *word);

#endif
