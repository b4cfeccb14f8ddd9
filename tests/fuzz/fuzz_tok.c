/* Fuzz target of the tokenizers: the first two bytes choose a vocabulary, a split pattern and the switches,
   the rest is the text. Ids are in range, plain text gives no control token, valid UTF-8 comes back byte for
   byte, streaming says what decoding says, and the work stays linear. With bit 7 of the first byte the text
   is the vocabulary instead. */
#include "../unit/rig/tok_builder.h"

#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const patterns[] = {"default",    "gpt-2",        "llama-bpe",      "qwen2",       "qwen35",
                                       "smollm",     "deepseek-llm", "deepseek-coder", "deepseek-v3", "falcon",
                                       "gpt-4o",     "tekken",       "kimi-k2",        "gemma4",      "bailingmoe",
                                       "seed-coder", "minicpm5",     "laguna",         "spark2_5",    "youtu",
                                       "bloom",      "viking"};
enum { PATTERNS = sizeof patterns / sizeof *patterns };

typedef enum kind { BYTE_LEVEL, SENTENCE_PIECE, GEMMA4, KINDS } kind;

static void require(bool true_)
{
    if (!true_) abort();
}

static void fill(builder *b, kind k)
{
    static const char *const byte_merges[] = {
        "t h", "th e", "\xc4\xa0 the",      "a a", "aa aa", "\xc4\xa0 \xc4\xa0", "i n", "\xc3\xa4 \xc2\xb8",
        "' s", "1 2",  "\xc4\x8a \xc4\x8a", "s >"};
    static const char *const text_merges[] = {
        "t h", "th e", "\xe2\x96\x81 the",         "a a", "aa aa", "\xe2\x96\x81 \xe2\x96\x81", "i n",
        "< s", "<s >", "\xe4\xb8\xad \xe6\x96\x87"};
    (void)builder_add(b, "<unk>", TOK_UNKNOWN, 0);
    (void)builder_add(b, "<s>", TOK_CONTROL, 0);
    (void)builder_add(b, "</s>", TOK_CONTROL, 0);
    if (k == BYTE_LEVEL)
        builder_alphabet(b);
    else
        builder_byte_tokens(b);
    for (const char *c = "\xe2\x96\x81\0t\0h\0e\0a\0i\0n\0s\0<\0>\0\n\0\xe4\xb8\xad\0\xe6\x96\x87\0\n\n\0";
         k != BYTE_LEVEL && *c; c += strlen(c) + 1)
        (void)builder_add(b, c, TOK_NORMAL, -1);
    const char *const *merge = k == BYTE_LEVEL ? byte_merges : text_merges;
    size_t n_merges =
        k == BYTE_LEVEL ? sizeof byte_merges / sizeof *byte_merges : sizeof text_merges / sizeof *text_merges;
    for (size_t i = 0; i < n_merges; i++) {
        size_t before = b->n;
        builder_merge(b, merge[i]);
        if (b->n > before) b->scores[before] = -(float)(i * 7 % 5);
    }
    (void)builder_add(b, "<|tool|>", TOK_USER_DEFINED, 0);
    (void)builder_add(b, "<|tool|><|tool|>", TOK_USER_DEFINED, 0);
    (void)builder_add(b, "<|im_end|>", TOK_CONTROL, 0);
}

static bool is_utf8(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        int len = utf8_char((const unsigned char *)s + i, n - i);
        if (len <= 0) return false;
        i += (size_t)len;
    }
    return true;
}

/* Streaming gives the decoded bytes with U+FFFD for each that is no part of a character. */
static void check_stream(const tok *t, const int32_t *ids, size_t n_ids, const char *whole, size_t n)
{
    tok_stream s = {0};
    char *streamed = malloc(3 * n + TOK_STREAM_ROOM);
    size_t used = 0, at = 0;
    for (size_t i = 0; i < n_ids; i++) {
        used += tok_stream_next(t, &s, ids[i], true, streamed + used, TOK_STREAM_ROOM);
        require(is_utf8(streamed, used) && s.n_held < 4);
    }
    used += tok_stream_end(&s, streamed + used, TOK_STREAM_ROOM);
    for (size_t i = 0; i < n;) {
        int len = utf8_char((const unsigned char *)whole + i, n - i);
        require(used - at >= (len > 0 ? (size_t)len : 3));
        require(memcmp(streamed + at, len > 0 ? whole + i : "\xef\xbf\xbd", len > 0 ? (size_t)len : 3) == 0);
        at += len > 0 ? (size_t)len : 3;
        i += len > 0 ? (size_t)len : 1;
    }
    require(at == used);
    free(streamed);
}

static void check_text(const tok *t, kind k, const char *text, size_t n, bool add_special, bool parse_special)
{
    int32_t *ids;
    char *back;
    size_t n_ids, n_back;
    tok_work work = {0};
    require(tok_encode_counted(t, text, n, add_special, parse_special, &ids, &n_ids, &work) == KVASIR_OK);
    require(work.pops <= 9 * n + 9 && work.pairs <= 9 * n + 9); /* a space is three bytes, and each counts thrice */
    const size_t n_bos = add_special && tok_adds_bos(t);
    for (size_t i = 0; i < n_ids; i++) {
        require(ids[i] >= 0 && ids[i] < tok_size(t));
        require(parse_special || i < n_bos || !tok_is_control(t, ids[i]));
    }
    require(tok_decode(t, ids + n_bos, n_ids - n_bos, true, &back, &n_back) == KVASIR_OK);
    if (is_utf8(text, n) && k == BYTE_LEVEL) require(n_back == n && memcmp(back, text, n) == 0);
    if (is_utf8(text, n) && k == GEMMA4 && !memmem(text, n, "\xe2\x96\x81", 3))
        require(n_back == n && memcmp(back, text, n) == 0);
    check_stream(t, ids + n_bos, n_ids - n_bos, back, n_back);
    mem_free(ids);
    mem_free(back);
}

/* The text as a vocabulary: lines are tokens, lines with a space in them merges, the first byte of a line its type. */
static void check_vocabulary(kind k, const char *pattern, const char *text, size_t n)
{
    static const char *const models[] = {"gpt2", "llama", "gemma4"};
    builder *b = calloc(1, sizeof *b);
    const char *end = text + n;
    while (text < end && b->n < BUILDER_TOKENS - 1 && b->n_merges < BUILDER_TOKENS - 1) {
        const char *line = memchr(text, '\n', (size_t)(end - text));
        if (!line) line = end;
        if (line > text) {
            tok_text word = {text + 1, (size_t)(line - text) - 1};
            if (memchr(word.s, ' ', word.n)) {
                b->merges[b->n_merges++] = word;
            } else {
                b->tokens[b->n] = word;
                b->attrs[b->n] = text[0] & 7;
                memcpy(&b->scores[b->n++], (const char[4]){text[0], 0, text[0], text[0]}, 4);
            }
        }
        text = line + (line < end);
    }
    tok_source s = builder_source(b, models[k], pattern);
    s.bos = (int32_t)(n % 5) - 1;
    s.eos = (int32_t)(n % 7) - 1;
    tok *t;
    if (tok_create(&s, &t) == KVASIR_OK) {
        static const char sample[] = "the <s> a\xc3\xa9\n 12 \xff";
        int32_t *ids;
        size_t n_ids;
        require(tok_encode(t, sample, sizeof sample - 1, true, true, &ids, &n_ids) == KVASIR_OK);
        for (size_t i = 0; i < n_ids; i++) require(ids[i] >= 0 && ids[i] < tok_size(t));
        mem_free(ids);
        tok_free(t);
    } else {
        require(*kvasir_message());
    }
    free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const models[] = {"gpt2", "llama", "gemma4"};
    static builder vocabulary[KINDS]; /* made once: this program is the fuzzer's own, not the library */
    static tok *cached[KINDS][PATTERNS];
    if (n < 2) return 0;
    const kind k = (kind)((data[0] & 0x0f) % KINDS);
    const size_t p = k == BYTE_LEVEL ? data[1] % PATTERNS : 0;
    const char *text = (const char *)data + 2;
    if (data[0] & 0x80) {
        check_vocabulary(k, patterns[data[1] % PATTERNS], text, n - 2);
        return 0;
    }
    if (!vocabulary[k].n) fill(&vocabulary[k], k);
    if (!cached[k][p]) {
        tok_source s = builder_source(&vocabulary[k], models[k], patterns[p]);
        s.bos = 1;
        require(tok_create(&s, &cached[k][p]) == KVASIR_OK);
    }
    const tok *t = cached[k][p];
    const bool lacks_bytes = k == BYTE_LEVEL && pretok_raw(t->split); /* the alphabet is no use without byte level */
    check_text(t, lacks_bytes ? KINDS : k, text, n - 2, data[0] & 0x40, data[0] & 0x20);
    return 0;
}
