/* Finding special tokens in text: an Aho-Corasick automaton over the reversed texts, read from the end, so that each
   position knows the longest special token that starts there, and the shorter ones by following links. */
#ifndef KVASIR_TOK_SPECIAL_H
#define KVASIR_TOK_SPECIAL_H

#include "base/status.h"
#include <stdint.h>

enum { SPECIAL_MAX_BYTES = 1 << 22 /* of all special tokens' texts together */ };

typedef struct special_node {
    int32_t child, sibling; /* 0: none (the root is nobody's child) */
    int32_t fail;           /* the longest proper suffix that is in the trie too */
    int32_t shorter;        /* the next node on the fail path where a token ends; 0: none */
    int32_t token;          /* that ends here, or -1 */
    int32_t depth;
    unsigned char byte;
} special_node;

typedef struct special_set {
    special_node *node; /* NULL: no tokens */
    int32_t n, room;
    int32_t first[256]; /* the root's children */
    int32_t *length;    /* the distinct lengths, descending */
    int32_t n_lengths;
} special_set;

typedef struct special_hit {
    size_t start;
    int32_t token, length;
} special_hit;

/* Adds a token before special_finish; empty texts are ignored. */
kvasir_status special_add(special_set *s, const char *text, size_t n, int32_t token);
kvasir_status special_finish(special_set *s); /* builds the links; then special_find may be called */
void special_free(special_set *s);            /* frees what it holds */

/* Finds the special tokens in a text. Longer ones are taken before shorter ones wherever they are, equally long ones
   from left to right, and none overlaps another (the order of the reference engine). *out is in ascending order and
   freed by mem_free; it is NULL when *n is 0. Time and memory are linear in n for a given set. */
kvasir_status special_find(const special_set *s, const char *text, size_t n, special_hit **out, size_t *n_out);

#endif
