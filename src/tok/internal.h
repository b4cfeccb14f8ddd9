/* What the files of the tokenizer share. Nobody outside src/tok and its tests includes this. */
#ifndef KVASIR_TOK_INTERNAL_H
#define KVASIR_TOK_INTERNAL_H

#include "tok/pretok.h"
#include "tok/special.h"
#include "tok/tok.h"

/* Named limits of a vocabulary. */
enum {
    TOK_MAX_TOKENS = 1 << 24,
    TOK_MAX_MERGES = 1 << 26,
    TOK_MAX_PROBES = 512 /* steps of one look-up: far above what an honest table needs, so more is an attack */
};

typedef enum tok_kind {
    TOK_BYTE_BPE, /* GPT-2's: merges over bytes, each written as one printable character */
    TOK_RAW_BPE,  /* Gemma 4's: merges over characters, spaces as U+2581, bytes as <0xXX> */
    TOK_SPM       /* SentencePiece's BPE: the pair whose union scores highest; spaces and bytes likewise */
} tok_kind;

/* What the program has to know about a token, one byte for each. */
enum {
    FLAG_CONTROL = 1,
    FLAG_USER = 2,
    FLAG_UNKNOWN = 4,
    FLAG_BYTE = 8, /* its text is <0xXX> and it stands for that byte */
    FLAG_EOG = 16,
    FLAG_NAMED =
        32, /* text of an end of generation whose type says it is none: looked for as a control token, but shown */
    FLAGS_NOT_TEXT = FLAG_CONTROL | FLAG_UNKNOWN | FLAG_BYTE | FLAG_NAMED /* never the result of merging text */
};

typedef struct text_slot {
    uint32_t hash;
    int32_t id_plus_1; /* 0: empty */
} text_slot;

typedef struct pair_slot {
    uint32_t left, right, merged;
    uint32_t rank_plus_1; /* 0: empty */
} pair_slot;

struct tok {
    tok_kind kind;
    const tok_text *text; /* the caller's */
    const float *scores;  /* the caller's; NULL: all zero */
    int32_t n;
    size_t max_text; /* of any token */
    unsigned char *flags;
    text_slot *texts;
    size_t text_mask;
    pair_slot *pairs;
    size_t pair_mask;
    int32_t byte_id[256];  /* byte-level: the byte's own token; else the <0xXX> token; -1 when there is none */
    pretok *split;         /* NULL for SentencePiece */
    special_set any, user; /* tokens found in text with parse_special, and without */
    int32_t bos, eos, unk;
    bool add_bos, add_eos, add_space_prefix;
    int32_t n_twins, twin[2]; /* tokens whose text an earlier one has; the first such pair */
};

/* What an encoding cost, for the tests that show it to be linear. */
typedef struct tok_work {
    size_t pops;    /* of the merge queue */
    size_t pairs;   /* look-ups of a pair */
    size_t matches; /* calls of the pattern matcher */
} tok_work;

typedef struct id_list {
    int32_t *v;
    size_t n, room;
} id_list;

typedef struct symbol {
    uint32_t start, len; /* in the text being merged */
    int32_t prev, next;  /* -1 at the ends */
    uint32_t rank;       /* of the pair that this one and the next make, NO_RANK when none; smaller goes first */
    int32_t id, merged;  /* its token or -1; the pair's token */
} symbol;

/* Buffers of one encoding, reused from word to word. */
typedef struct encoder {
    const tok *t;
    id_list ids;
    symbol *symbols;
    uint64_t *heap;
    size_t room, n_symbols, n_heap;
    const char *text; /* the text being split */
    tok_work work;
} encoder;

/* texts.c: builds the table of t->text. Of equal texts the first is found; the others are counted as twins. KVASIR_E_FORMAT for
   texts that are made to collide. */
kvasir_status texts_build(tok *t);
/* The token with this text, among those that plain text may become (no control, unknown or byte token), or -1. */
int32_t texts_find_plain(const tok *t, const char *text, size_t n);
/* The same for up to TEXTS_BATCH texts at once: their cache misses overlap, which halves the time to load. */
enum { TEXTS_BATCH = 32 };
void texts_find_batch(const tok *t, const tok_text *text, int n, int32_t *id);

/* bpe.c. bpe_build reads the merges. It leaves out those that do not name tokens of the vocabulary, and the second of
   two equal ones. bpe_encode appends the ids of a text without special tokens. */
kvasir_status bpe_build(tok *t, const tok_source *source);
kvasir_status bpe_encode(encoder *e, const char *text, size_t n);
/* The printable character of a byte in GPT-2's alphabet, and back (-1: not in the alphabet). */
uint32_t bpe_char_of_byte(unsigned char byte);
int bpe_byte_of_char(uint32_t cp);

/* spm.c: bpe_encode for SentencePiece. `text` has its spaces as U+2581 already. */
kvasir_status spm_encode(encoder *e, const char *text, size_t n);

/* encode.c: appends an id to the result. */
kvasir_status encoder_push(encoder *e, int32_t id);
/* Makes room for the symbols and the merge queue of a word of n_symbols symbols. */
kvasir_status encoder_reserve(encoder *e, size_t n_symbols);
/* A copy of the text with every space as U+2581, and with `prefix` one more before it. Freed by mem_free. */
kvasir_status escape_spaces(const char *text, size_t n, bool prefix, char **out, size_t *n_out);
/* tok_encode that adds its cost to *work. */
kvasir_status tok_encode_counted(const tok *t, const char *text, size_t n, bool add_special, bool parse_special,
                                 int32_t **out, size_t *n_out, tok_work *work);

#endif
