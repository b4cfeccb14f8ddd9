/* Small vocabularies made in place, for the tests and the fuzz target of the tokenizers. */
#ifndef KVASIR_TOK_BUILDER_H
#define KVASIR_TOK_BUILDER_H

#include "tok/internal.h"
#include "tok/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { BUILDER_TOKENS = 1024, BUILDER_BYTES = 1 << 16 };

typedef struct builder {
    tok_text tokens[BUILDER_TOKENS], merges[BUILDER_TOKENS];
    float scores[BUILDER_TOKENS];
    int32_t attrs[BUILDER_TOKENS];
    size_t n, n_merges, used;
    char bytes[BUILDER_BYTES];
} builder;

static inline tok_text builder_text(builder *b, const char *text, size_t n)
{
    if (b->used + n > BUILDER_BYTES) abort();
    tok_text t = {memcpy(b->bytes + b->used, text, n), n};
    b->used += n;
    return t;
}

static inline int32_t builder_add(builder *b, const char *text, tok_attr attr, float score)
{
    if (b->n == BUILDER_TOKENS) abort();
    b->tokens[b->n] = builder_text(b, text, strlen(text));
    b->attrs[b->n] = attr;
    b->scores[b->n] = score;
    return (int32_t)b->n++;
}

/* "he llo": a merge, and the token that it makes if there is none yet. */
static inline void builder_merge(builder *b, const char *merge)
{
    char joined[256];
    const char *gap = strchr(merge + 1, ' ');
    if (b->n_merges == BUILDER_TOKENS || !gap || strlen(merge) >= sizeof joined) abort();
    b->merges[b->n_merges++] = builder_text(b, merge, strlen(merge));
    memcpy(joined, merge, (size_t)(gap - merge));
    memcpy(joined + (gap - merge), gap + 1, strlen(gap));
    for (size_t i = 0; i < b->n; i++)
        if (b->tokens[i].n == strlen(joined) && memcmp(b->tokens[i].s, joined, b->tokens[i].n) == 0) return;
    (void)builder_add(b, joined, TOK_NORMAL, 0);
}

/* The 256 characters of GPT-2's alphabet: the id is the byte when these are the first tokens. */
static inline void builder_alphabet(builder *b)
{
    for (int byte = 0; byte < 256; byte++) {
        char c[5] = "";
        c[utf8_put(c, bpe_char_of_byte((unsigned char)byte))] = 0;
        (void)builder_add(b, c, TOK_NORMAL, 0);
    }
}

/* <0x00> to <0xFF>. */
static inline void builder_byte_tokens(builder *b)
{
    for (int byte = 0; byte < 256; byte++) {
        const char *hex = "0123456789ABCDEF";
        const char name[] = {'<', '0', 'x', hex[byte >> 4], hex[byte & 15], '>', 0};
        (void)builder_add(b, name, TOK_BYTE, 0);
    }
}

static inline tok_source builder_source(const builder *b, const char *model, const char *pre)
{
    return (tok_source){.model = model,
                        .pre = pre,
                        .tokens = b->tokens,
                        .n_tokens = b->n,
                        .scores = b->scores,
                        .attrs = b->attrs,
                        .merges = b->merges,
                        .n_merges = b->n_merges,
                        .bos = -1,
                        .eos = -1,
                        .eot = -1,
                        .eom = -1,
                        .unk = -1,
                        .sep = -1,
                        .pad = -1,
                        .add_bos = -1,
                        .add_eos = -1,
                        .add_space_prefix = -1};
}

#endif
