/* Splitting text into words before byte-pair merging: the patterns of the model families. */
#ifndef KVASIR_TOK_PRETOK_H
#define KVASIR_TOK_PRETOK_H

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct pretok pretok;

/* `name` is a value of tokenizer.ggml.pre; NULL and "" mean "default". KVASIR_E_UNSUPPORTED lists the patterns. */
kvasir_status pretok_create(const char *name, pretok **out);
void pretok_free(pretok *p); /* NULL is fine */

const char *pretok_name(const pretok *p);    /* the name that it was created with; "default" for none */
bool pretok_raw(const pretok *p);            /* merges over characters, not bytes; spaces as U+2581 */
bool pretok_whole_words(const pretok *p);    /* a word that is a token is that token, whatever the merges say */
bool pretok_whole_newlines(const pretok *p); /* the same for words of newlines only */
bool pretok_forces_bos(const pretok *p);     /* BOS even where the file says no */
bool pretok_adds_bos(const pretok *p);       /* BOS where the file does not say */

/* Calls `word` for each word of text[0..n), in order; together the words are the text. The text has the
   structure of UTF-8 (and no surrogates). `matches` counts the matcher's calls. The time is linear in n: see the
   note at the table. */
typedef kvasir_status (*pretok_word)(void *arg, size_t begin, size_t end);
kvasir_status pretok_split(const pretok *p, const char *text, size_t n, pretok_word word, void *arg, size_t *matches);

#endif
