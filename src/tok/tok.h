/* Text to token ids and back, from the vocabulary inside a GGUF file. */
#ifndef KVASIR_TOK_TOK_H
#define KVASIR_TOK_TOK_H

#include "base/notes.h"
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tok tok;

enum {
    TOK_MAX_TEXT = 1 << 30 /* bytes of one text to encode */
};

typedef enum tok_attr { /* tokenizer.ggml.token_type */
                        TOK_NORMAL = 1,
                        TOK_UNKNOWN = 2,
                        TOK_CONTROL = 3,
                        TOK_USER_DEFINED = 4,
                        TOK_UNUSED = 5,
                        TOK_BYTE = 6
} tok_attr;

/* What the vocabulary is made from: plain arrays, so that tests and fuzzers can build one without a file. The caller
   keeps everything alive for the tok's life. */
typedef struct tok_text {
    const char *s;
    size_t n;
} tok_text; /* same layout as gguf_string */

typedef struct tok_source {
    const char *model; /* tokenizer.ggml.model: "gpt2" (byte-level BPE), "llama" (SentencePiece BPE), "gemma4" ... */
    const char *pre;   /* tokenizer.ggml.pre; NULL when absent */
    const tok_text *tokens;
    size_t n_tokens;
    const float *scores;  /* SentencePiece; NULL when absent */
    const int32_t *attrs; /* tok_attr per token; NULL when absent: all normal */
    const tok_text *merges;
    size_t n_merges;
    int32_t bos, eos, eot, eom, unk, sep, pad; /* -1 when absent */
    int add_bos, add_eos, add_space_prefix;    /* 0, 1, or -1 when the file does not say */
    const char *template;                      /* the file's chat template; NULL when absent */
    notes *notes;                              /* what had to be left out or guessed; NULL: nobody wants to know */
} tok_source;

/* KVASIR_E_UNSUPPORTED naming an unknown model or pre-tokenizer pattern (and the known ones), KVASIR_E_FORMAT for missing
   tokens that make the vocabulary unusable. Special ids out of range are dropped, and of tokens with one text the first is
   found: both get a note. */
kvasir_status tok_create(const tok_source *source, tok **out);
void tok_free(tok *t); /* NULL is fine */

int32_t tok_size(const tok *t); /* tokens in the vocabulary */
int32_t tok_bos(const tok *t);  /* -1 when there is none */
int32_t tok_eos(const tok *t);
bool tok_is_eog(const tok *t, int32_t id); /* ends generation: eos, eot, eom, and control tokens known by name */
bool tok_is_control(const tok *t, int32_t id);
bool tok_adds_bos(const tok *t);                            /* whether the vocabulary wants BOS before a text */
bool tok_adds_eos(const tok *t);                            /* whether it wants EOS behind one */
const char *tok_model_name(const tok *t);                   /* "bpe", "spm" */
const char *tok_pre_name(const tok *t);                     /* the split pattern in use, "" for SentencePiece */
int32_t tok_find(const tok *t, const char *text, size_t n); /* the token whose stored text this is, or -1 */
/* The stored text of a token (byte-level BPE's mapped form, SentencePiece's U+2581 form). */
const char *tok_raw(const tok *t, int32_t id, size_t *n);
/* The bytes that a token stands for; control tokens give nothing unless `special`. Returns the length, and writes at
   most `room` bytes. Call with room 0 for the length. */
size_t tok_piece(const tok *t, int32_t id, bool special, char *to, size_t room);

/* Encodes `n` bytes, valid UTF-8 or not. add_special: adds BOS/EOS as the vocabulary asks. parse_special: a control
   token that is written in the text becomes that token; without it, text never yields one. *out is the caller's
   (mem_free). The time is linear in n, also for one long line. */
kvasir_status tok_encode(const tok *t, const char *text, size_t n, bool add_special, bool parse_special, int32_t **out,
                         size_t *n_out);

/* The bytes of n ids put together, without the space that add_space_prefix put before the first text. This is the text
   that was encoded, if it was UTF-8, the vocabulary can express it, and (for SentencePiece) it had no U+2581, which
   becomes a space. *out is NUL-terminated and the caller's (mem_free). */
kvasir_status tok_decode(const tok *t, const int32_t *ids, size_t n, bool special, char **out, size_t *n_out);

/* Streaming: takes one id and gives the bytes that are now complete characters; an unfinished UTF-8 sequence (at most 3
   bytes) waits for the next id. The result is always valid UTF-8: each byte that belongs to no character becomes
   U+FFFD. tok_stream_end gives what is left in the same way. `to` has TOK_STREAM_ROOM bytes; pieces longer than
   TOK_MAX_PIECE do not exist (checked at load). A stream starts from {0}; one that continues a text sets `started`. */
enum { TOK_MAX_PIECE = 4096, TOK_STREAM_ROOM = 3 * TOK_MAX_PIECE + 16 };
typedef struct tok_stream {
    unsigned char held[4];
    int n_held;
    bool started; /* the space that add_space_prefix puts before the first text has been dropped, or does not exist */
} tok_stream;
size_t tok_stream_next(const tok *t, tok_stream *s, int32_t id, bool special, char *to, size_t room);
size_t tok_stream_end(tok_stream *s, char *to, size_t room);

#endif
