/* tok with small vocabularies: merging compared with a slow double, special tokens, streaming, bad
   text, hostile tables. */
#include "test.h"

#include "base/mem.h"
#include "tok_builder.h"

#include <math.h>
#include <pthread.h>

static tok *make(builder *b, const char *model, const char *pre)
{
    tok_source s = builder_source(b, model, pre);
    tok *t;
    assert_ok(tok_create(&s, &t));
    return t;
}

/* Encodes and writes the tokens' stored texts with a | between two. */
static const char *show(const tok *t, const char *text, size_t n, bool add_special, bool parse_special)
{
    static char to[1024];
    int32_t *ids;
    size_t n_ids, used = 0, len;
    assert_ok(tok_encode(t, text, n, add_special, parse_special, &ids, &n_ids));
    for (size_t i = 0; i < n_ids; i++) {
        const char *raw = tok_raw(t, ids[i], &len);
        assert_true(used + len + 2 < sizeof to);
        if (i) to[used++] = '|';
        memcpy(to + used, raw, len);
        used += len;
    }
    to[used] = 0;
    mem_free(ids);
    return to;
}

#define assert_tokens(t, text, want) assert_string_equal(show(t, text, strlen(text), false, false), want)
#define assert_parsed(t, text, want) assert_string_equal(show(t, text, strlen(text), false, true), want)

static void assert_round_trip(const tok *t, const char *text, size_t n)
{
    int32_t *ids;
    char *back;
    size_t n_ids, n_back;
    assert_ok(tok_encode(t, text, n, true, false, &ids, &n_ids));
    assert_ok(tok_decode(t, ids, n_ids, false, &back, &n_back));
    assert_int_equal(n_back, n);
    assert_memory_equal(back, text, n);
    mem_free(ids);
    mem_free(back);
}

static void test_alphabet(void **state)
{
    for (int byte = 0; byte < 256; byte++)
        assert_int_equal(bpe_byte_of_char(bpe_char_of_byte((unsigned char)byte)), byte);
    assert_int_equal(bpe_char_of_byte(' '), 0x120);
    assert_int_equal(bpe_char_of_byte('\n'), 0x10a);
    assert_int_equal(bpe_char_of_byte(0xad), 0x143);
    assert_int_equal(bpe_byte_of_char(0x144), -1);
    assert_int_equal(bpe_byte_of_char(' '), -1);
}

static void test_byte_bpe(void **state)
{
    builder *b = calloc(1, sizeof *b);
    builder_alphabet(b);
    builder_merge(b, "l l");
    builder_merge(b, "h e");
    builder_merge(b, "he ll");
    builder_merge(b, "hell o");
    builder_merge(b, "\xc4\xa0 hello");
    builder_merge(b, "a a");
    b->merges[b->n_merges++] = (tok_text){"x nothere", 9}; /* its union is no token */
    b->merges[b->n_merges++] = (tok_text){"nogap", 5};
    b->merges[b->n_merges++] = (tok_text){" ", 1};
    b->merges[b->n_merges++] = (tok_text){"", 0};
    b->merges[b->n_merges++] = (tok_text){"h e", 3}; /* again: the first one counts */
    (void)builder_add(b, "whole", TOK_NORMAL, 0);
    tok *t = make(b, "gpt2", "gpt-2");
    assert_tokens(t, "hello hello", "hello|\xc4\xa0hello");
    assert_tokens(t, "hell", "hell");
    assert_tokens(t, "aaa", "aa|a"); /* the leftmost of equals */
    assert_tokens(t, "aaaa", "aa|aa");
    assert_tokens(t, "whole", "w|h|o|l|e"); /* a token, but no merges lead there */
    assert_tokens(t, "", "");
    assert_round_trip(t, "hello \xf0\x9f\x98\x80\n\t\x01 whole \xc3\xa9", 23);
    assert_int_equal(tok_size(t), b->n);
    assert_string_equal(tok_model_name(t), "bpe");
    assert_string_equal(tok_pre_name(t), "gpt-2");
    tok_free(t);
    t = make(b, "gpt2", "llama-bpe"); /* this family takes words that are tokens as they are */
    assert_tokens(t, "whole", "whole");
    tok_free(t);
    t = make(b, "gpt2", NULL);
    assert_string_equal(tok_pre_name(t), "default");
    tok_free(t);
    free(b);
}

static void test_raw_bpe(void **state)
{
    builder *b = calloc(1, sizeof *b);
    (void)builder_add(b, "<bos>", TOK_CONTROL, 0);
    builder_byte_tokens(b);
    for (const char *c = "\n\0a\0b\0\xe2\x96\x81\0\xc3\xa9\0\n\n\n\0"; *c; c += strlen(c) + 1)
        (void)builder_add(b, c, TOK_NORMAL, 0);
    builder_merge(b, "a b");
    builder_merge(b, "\xe2\x96\x81 ab");
    tok_source s = builder_source(b, "gemma4", "ignored");
    s.bos = 0;
    s.add_bos = 0; /* Gemma 4 files say no and mean yes */
    tok *t;
    assert_ok(tok_create(&s, &t));
    assert_string_equal(tok_pre_name(t), "gemma4");
    assert_tokens(t, "ab ab\n\n\nab\n\n",
                  "ab|\xe2\x96\x81"
                  "ab|\n\n\n|ab|\n|\n");
    assert_tokens(t,
                  "\xc3\xa9"
                  "c",
                  "\xc3\xa9|<0x63>");
    assert_tokens(t, "\xf0\x9f\x98\x80", "<0xF0>|<0x9F>|<0x98>|<0x80>");
    assert_string_equal(show(t, "a", 1, true, false), "<bos>|a");
    assert_round_trip(t, " ab  \xc3\xa9 \xf0\x9f\x98\x80\n", 14);
    tok_free(t);
    free(b);
}

static builder *spm_builder(void)
{
    builder *b = calloc(1, sizeof *b);
    (void)builder_add(b, "<unk>", TOK_UNKNOWN, 0);
    (void)builder_add(b, "<s>", TOK_CONTROL, 0);
    (void)builder_add(b, "</s>", TOK_CONTROL, 0);
    builder_byte_tokens(b);
    float score = -1;
    for (const char *c = "ll\0he\0\xe2\x96\x81h\0ello\0\xe2\x96\x81hello\0lo\0<s\0<0\0x4\0x41\0<0x41\0\xe2\x96\x81\0h\0"
                         "e\0l\0o\0<\0s\0>\0x\0"
                         "4\0"
                         "1\0"
                         "0\0";
         *c; c += strlen(c) + 1)
        (void)builder_add(b, c, TOK_NORMAL, score--);
    return b;
}

static void test_spm(void **state)
{
    builder *b = spm_builder();
    tok *t = make(b, "llama", NULL);
    assert_string_equal(tok_model_name(t), "spm");
    assert_string_equal(tok_pre_name(t), "");
    assert_true(tok_adds_bos(t) && tok_bos(t) == 1 && tok_eos(t) == 2);
    assert_true(tok_is_eog(t, 2) && tok_is_control(t, 1) && !tok_is_eog(t, 1));
    /* ll -1, he -2: h+e goes before _+h although it stands to the right */
    assert_string_equal(show(t, "hello", 5, true, false), "<s>|\xe2\x96\x81|he|ll|o");
    assert_tokens(t, "o", "\xe2\x96\x81|o");
    assert_tokens(t, "y", "\xe2\x96\x81|<0x79>");
    assert_round_trip(t, "hello  \xc3\xa9 lo", 12);
    assert_round_trip(t, " \x80\x80 hello", 9);
    /* A text that spells a control or byte token is text, even if merging could make that token. */
    assert_tokens(t, "<s>", "\xe2\x96\x81|<s|>");
    assert_tokens(t, "<0x41>", "\xe2\x96\x81|<0x41|>");
    assert_tokens(t, "</s>", "\xe2\x96\x81|<|<0x2F>|s|>");
    assert_parsed(t, "<s>o</s>o", "<s>|\xe2\x96\x81|o|</s>|\xe2\x96\x81|o");
    tok_free(t);
    tok_source s = builder_source(b, "llama", NULL);
    s.add_space_prefix = 0;
    s.add_bos = 0;
    s.add_eos = 1;
    assert_ok(tok_create(&s, &t));
    assert_string_equal(show(t, "lo", 2, true, false), "lo|</s>");
    assert_round_trip(t, " lo", 3);
    tok_free(t);
    free(b);
}

static void test_spm_without_bytes(void **state)
{
    builder *b = calloc(1, sizeof *b);
    (void)builder_add(b, "<unk>", TOK_UNKNOWN, 0);
    (void)builder_add(b, "a", TOK_NORMAL, NAN);
    (void)builder_add(b, "aa", TOK_NORMAL, INFINITY);
    (void)builder_add(b, "aaa", TOK_NORMAL, -INFINITY);
    tok_source s = builder_source(b, "llama", NULL);
    s.add_space_prefix = 0;
    tok *t;
    assert_ok(tok_create(&s, &t));
    assert_tokens(t, "aaa", "aaa");
    assert_tokens(t, "aab", "aa|<unk>");
    tok_free(t);
    free(b);
}

/* A list of strings merged the slow way: the best pair of all, leftmost first, until there is none. */
typedef struct words {
    char text[64][64];
    size_t n;
} words;

static int find_text(const builder *b, const char *text)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->tokens[i].n == strlen(text) && memcmp(b->tokens[i].s, text, strlen(text)) == 0) return (int)i;
    return -1;
}

static double badness(const builder *b, bool spm, const char *left, const char *right)
{
    char both[130];
    (void)snprintf(both, sizeof both, spm ? "%s%s" : "%s %s", left, right);
    if (spm) {
        int id = find_text(b, both);
        return id < 0 ? INFINITY : -(double)b->scores[id];
    }
    for (size_t i = 0; i < b->n_merges; i++)
        if (b->merges[i].n == strlen(both) && memcmp(b->merges[i].s, both, strlen(both)) == 0) return (double)i;
    return INFINITY;
}

static void merge_slowly(const builder *b, bool spm, words *w)
{
    for (;;) {
        double best = INFINITY;
        size_t at = 0;
        for (size_t i = 0; i + 1 < w->n; i++) {
            double bad = badness(b, spm, w->text[i], w->text[i + 1]);
            if (bad < best) best = bad, at = i;
        }
        if (isinf(best)) return;
        memcpy(w->text[at] + strlen(w->text[at]), w->text[at + 1], strlen(w->text[at + 1]) + 1);
        memmove(w->text + at + 1, w->text + at + 2, (w->n - at - 2) * sizeof *w->text);
        w->n--;
    }
}

static uint32_t next_random(uint32_t *r)
{
    *r = *r * 1664525 + 1013904223;
    return *r >> 8;
}

static void random_vocabulary(builder *b, bool spm, uint32_t *r)
{
    char text[64], merge[64];
    if (!spm)
        builder_alphabet(b);
    else
        (void)builder_add(b, "<unk>", TOK_UNKNOWN, 0);
    for (const char *c = "a\0b\0c\0"; spm && *c; c += 2) (void)builder_add(b, c, TOK_NORMAL, -100);
    int32_t pool[64], n = 0;
    for (const char *c = "abc"; *c; c++) pool[n++] = find_text(b, (char[]){*c, 0});
    for (int i = 0; i < 40; i++) {
        const tok_text *x = &b->tokens[pool[next_random(r) % (uint32_t)n]],
                       *y = &b->tokens[pool[next_random(r) % (uint32_t)n]];
        if (x->n + y->n > 12) continue;
        (void)snprintf(text, sizeof text, "%.*s%.*s", (int)x->n, x->s, (int)y->n, y->s);
        (void)snprintf(merge, sizeof merge, "%.*s %.*s", (int)x->n, x->s, (int)y->n, y->s);
        if (find_text(b, text) < 0) pool[n++] = builder_add(b, text, TOK_NORMAL, -(float)(next_random(r) % 20));
        b->merges[b->n_merges++] = builder_text(b, merge, strlen(merge));
    }
    for (size_t i = b->n_merges; i > 1; i--) { /* ranks in any order: a merge may rank before those that it needs */
        size_t j = next_random(r) % i;
        tok_text swap = b->merges[i - 1];
        b->merges[i - 1] = b->merges[j];
        b->merges[j] = swap;
    }
}

static void test_merging_against_double(void **state)
{
    uint32_t r = 7;
    for (int round = 0; round < 400; round++) {
        const bool spm = round & 1;
        builder *b = calloc(1, sizeof *b);
        random_vocabulary(b, spm, &r);
        tok_source s = builder_source(b, spm ? "llama" : "gpt2", "gpt-2");
        s.add_space_prefix = 0;
        tok *t;
        assert_ok(tok_create(&s, &t));
        for (int k = 0; k < 10; k++) {
            char text[64], want[256] = "";
            words w = {.n = 1 + next_random(&r) % 40};
            for (size_t i = 0; i < w.n; i++) w.text[i][0] = text[i] = (char)('a' + next_random(&r) % 3);
            text[w.n] = 0;
            merge_slowly(b, spm, &w);
            for (size_t i = 0, used = 0; i < w.n; i++)
                used += (size_t)snprintf(want + used, sizeof want - used, i ? "|%s" : "%s", w.text[i]);
            assert_tokens(t, text, want);
        }
        tok_free(t);
        free(b);
    }
}

static void test_special(void **state)
{
    builder *b = calloc(1, sizeof *b);
    builder_alphabet(b);
    (void)builder_add(b, "<|im_end|>", TOK_CONTROL, 0);
    (void)builder_add(b, "<|x|>", TOK_CONTROL, 0);
    (void)builder_add(b, "<|x|><|x|>", TOK_CONTROL, 0);
    (void)builder_add(b, "<tool>", TOK_USER_DEFINED, 0);
    (void)builder_add(b, "<unk>", TOK_UNKNOWN, 0);
    (void)builder_add(b, "</s>", TOK_USER_DEFINED,
                      0); /* looked for as a control token by its name, but it ends nothing */
    tok *t = make(b, "gpt2", "llama-bpe");
    assert_tokens(t, "<|x|>", "<|||x|||>");
    assert_tokens(t, "<|im_end|>", "<|||i|m|_|e|n|d|||>");
    assert_tokens(t, "</s>", "<|/|s|>");
    assert_tokens(t, "<unk>", "<|u|n|k|>");
    assert_tokens(t, "a<tool>b", "a|<tool>|b");
    assert_parsed(t, "a<tool>b<|im_end|>", "a|<tool>|b|<|im_end|>");
    assert_parsed(t, "<unk></s>", "<unk>|</s>");
    assert_parsed(t, "<|x|><|x|><|x|>", "<|x|><|x|>|<|x|>");
    assert_parsed(t, "<<|x|>>", "<|<|x|>|>");
    assert_parsed(t, "<|x|", "<|||x||");
    assert_true(tok_is_eog(t, tok_find(t, "<|im_end|>", 10)));
    assert_false(tok_is_eog(t, tok_find(t, "</s>", 4)) || tok_is_control(t, tok_find(t, "</s>", 4)));
    assert_int_equal(tok_piece(t, tok_find(t, "</s>", 4), false, NULL, 0), 4);
    assert_false(tok_is_eog(t, tok_find(t, "<|x|>", 5)));
    assert_false(tok_is_eog(t, -1) || tok_is_eog(t, 1 << 20) || tok_is_control(t, -1) || tok_is_control(t, 1 << 20));
    assert_int_equal(tok_find(t, "nothing", 7), -1);
    tok_free(t);
    free(b);
    b = calloc(1, sizeof *b); /* several messages in one turn */
    builder_alphabet(b);
    for (const char *c = "<|end|>\0<|return|>\0<|call|>\0</s>\0<|tool_response>\0"; *c; c += strlen(c) + 1)
        (void)builder_add(b, c, TOK_CONTROL, 0);
    t = make(b, "gpt2", "gpt-4o");
    assert_false(tok_is_eog(t, tok_find(t, "<|end|>", 7)));
    assert_true(tok_is_eog(t, tok_find(t, "<|return|>", 10)));
    assert_false(tok_is_eog(t, tok_find(t, "</s>", 4)));
    tok_free(t);
    free(b);
}

/* A text that looks like an end is one where its type, the lack of types or the file's own template says so. */
static void test_named_ends(void **state)
{
    builder *b = calloc(1, sizeof *b);
    builder_alphabet(b);
    const int32_t end = builder_add(b, "<|im_end|>", TOK_NORMAL, 0);
    (void)builder_add(b, "<|fim_middle|>", TOK_NORMAL, 0);
    tok_source s = builder_source(b, "gpt2", "qwen2");
    for (int i = 0; i < 4; i++) {
        tok *t;
        s.attrs = i == 1 ? NULL : b->attrs;
        s.template = i == 2 ? "{{ text }}<|im_end|>" : i == 3 ? "{{ text }}" : NULL;
        assert_ok(tok_create(&s, &t));
        assert_int_equal(tok_is_eog(t, end), i == 1 || i == 2);
        assert_int_equal(tok_is_control(t, end), i == 1 || i == 2);
        assert_true(tok_is_control(t, end + 1)); /* a mark between parts of code, whatever its type */
        assert_tokens(t, "<|im_end|>", "<|||i|m|_|e|n|d|||>");
        assert_parsed(t, "<|im_end|>", "<|im_end|>");
        tok_free(t);
    }
    free(b);
}

/* special_find against the reference's order: all of one length over the whole text before the next shorter. */
static void test_special_against_double(void **state)
{
    uint32_t r = 3;
    for (int round = 0; round < 600; round++) {
        char token[12][8], text[64], owner[64] = "";
        int n_tokens = 1 + (int)(next_random(&r) % 12), n_unique = 0;
        size_t n = next_random(&r) % 60, n_hits, k = 0;
        special_set set = {0};
        special_hit *hits;
        for (int i = 0; i < n_tokens; i++) {
            size_t len = 1 + next_random(&r) % 6;
            for (size_t j = 0; j < len; j++) token[n_unique][j] = (char)('a' + next_random(&r) % 2);
            token[n_unique][len] = 0;
            bool seen = false;
            for (int j = 0; j < n_unique; j++) seen |= strcmp(token[j], token[n_unique]) == 0;
            if (seen) continue;
            assert_ok(special_add(&set, token[n_unique], len, n_unique));
            n_unique++;
        }
        assert_ok(special_finish(&set));
        for (size_t i = 0; i < n; i++) text[i] = "abc"[next_random(&r) % (next_random(&r) % 8 ? 2 : 3)];
        for (size_t len = 6; len > 0; len--) {
            for (size_t at = 0; at + len <= n; at++) {
                for (int i = 0; i < n_unique; i++) {
                    bool is_free = strlen(token[i]) == len && memcmp(text + at, token[i], len) == 0;
                    for (size_t j = at; is_free && j < at + len; j++) is_free = !owner[j];
                    if (is_free) owner[at] = (char)(i + 1), memset(owner + at + 1, 100, len - 1);
                }
            }
        }
        assert_ok(special_find(&set, text, n, &hits, &n_hits));
        for (size_t at = 0; at < n; at++) {
            if (!owner[at] || owner[at] == 100) continue;
            assert_true(k < n_hits);
            assert_int_equal(hits[k].start, at);
            assert_int_equal(hits[k].token, owner[at] - 1);
            assert_int_equal(hits[k++].length, strlen(token[owner[at] - 1]));
        }
        assert_int_equal(k, n_hits);
        mem_free(hits);
        special_free(&set);
    }
}

static void test_streaming(void **state)
{
    builder *b = calloc(1, sizeof *b);
    builder_alphabet(b);
    int32_t mark = builder_add(b, "<|mark|>", TOK_CONTROL, 0);
    tok *t = make(b, "gpt2", "qwen2");
    tok_stream s = {0};
    char to[TOK_STREAM_ROOM];
    const int32_t smile[] = {0xf0, 0x9f, 0x98, 0x80};
    for (int i = 0; i < 3; i++) assert_int_equal(tok_stream_next(t, &s, smile[i], false, to, sizeof to), 0);
    assert_int_equal(tok_stream_next(t, &s, mark, false, to, sizeof to), 0); /* says nothing, breaks nothing */
    assert_int_equal(tok_stream_next(t, &s, smile[3], false, to, sizeof to), 4);
    assert_memory_equal(to, "\xf0\x9f\x98\x80", 4);
    assert_int_equal(tok_stream_next(t, &s, mark, true, to, sizeof to), 8);
    assert_int_equal(tok_stream_next(t, &s, 0xe2, false, to, sizeof to), 0);
    assert_int_equal(tok_stream_next(t, &s, 0x82, false, to, sizeof to), 0);
    assert_int_equal(tok_stream_next(t, &s, 'x', false, to, sizeof to), 7);
    assert_memory_equal(to, "\xef\xbf\xbd\xef\xbf\xbdx", 7);
    assert_int_equal(tok_stream_next(t, &s, 0xff, false, to, sizeof to), 3);
    assert_int_equal(tok_stream_next(t, &s, 0xe2, false, to, sizeof to), 0);
    assert_int_equal(tok_stream_next(t, &s, 0x82, false, to, sizeof to), 0);
    assert_int_equal(tok_stream_end(&s, to, sizeof to), 6);
    assert_int_equal(tok_stream_end(&s, to, sizeof to), 0);
    assert_int_equal(tok_stream_next(t, &s, -1, true, to, sizeof to), 0);
    assert_int_equal(tok_stream_next(t, &s, 1 << 20, true, to, sizeof to), 0);
    tok_free(t);
    free(b);
    b = spm_builder();
    t = make(b, "llama", NULL);
    int32_t space = tok_find(t, "\xe2\x96\x81h", 4);
    s = (tok_stream){0};
    assert_int_equal(tok_stream_next(t, &s, 1, false, to, sizeof to), 0);
    assert_int_equal(tok_stream_next(t, &s, space, false, to, sizeof to), 1); /* the first space is not the text's */
    assert_int_equal(tok_stream_next(t, &s, space, false, to, sizeof to), 2);
    s = (tok_stream){.started = true};
    assert_int_equal(tok_stream_next(t, &s, space, false, to, sizeof to), 2);
    tok_free(t);
    free(b);
}

static void test_bad_utf8(void **state)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {{"\xff", "\xef\xbf\xbd"},
                 {"a\x80z", "a\xef\xbf\xbdz"},
                 {"\xc0\xaf", "/"},
                 {"\xe0\x80\xaf", "/"},
                 {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xe2(\xa1", "\xef\xbf\xbd(\xef\xbf\xbd"},
                 {"x\xed\xa0\x80y", "x\xed\xa0\x80y"},
                 {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xf0\x9f\x98\x80\xf0", "\xf0\x9f\x98\x80\xef\xbf\xbd"}};
    builder *b = calloc(1, sizeof *b);
    builder_alphabet(b);
    tok *t = make(b, "gpt2", "qwen2");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t *ids;
        char *back;
        size_t n, n_back;
        assert_ok(tok_encode(t, cases[i].bytes, strlen(cases[i].bytes), false, true, &ids, &n));
        assert_ok(tok_decode(t, ids, n, false, &back, &n_back));
        assert_string_equal(back, cases[i].text);
        mem_free(ids);
        mem_free(back);
    }
    assert_round_trip(t, "a\0b", 3);
    tok_free(t);
    free(b);
}

static void expect(const tok_source *s, kvasir_status want, const char *word)
{
    tok *t = (tok *)1;
    assert_int_equal(tok_create(s, &t), want);
    assert_null(t);
    if (!strstr(kvasir_message(), word)) print_error("%s\n", kvasir_message());
    assert_non_null(strstr(kvasir_message(), word));
}

/* The vocabulary works, and of what was left out there is one sentence, with these words. */
static void expect_note(const tok_source *source, const char *about)
{
    arena memory = {0};
    notes said = {.memory = &memory};
    tok_source s = *source;
    tok *t;
    s.notes = &said;
    assert_ok(tok_create(&s, &t));
    assert_true(tok_bos(t) < tok_size(t) && tok_eos(t) < tok_size(t));
    int found = 0;
    for (int i = 0; i < said.n; i++) found += strstr(said.text[i], about) != NULL;
    if (found != 1) print_error("%d notes, of which %d have: %s\n", said.n, found, about);
    assert_int_equal(found, 1);
    tok_free(t);
    assert_ok(tok_create(source, &t)); /* and nobody has to listen */
    tok_free(t);
    arena_free(&memory);
}

static void test_hostile(void **state)
{
    builder *b = calloc(1, sizeof *b);
    builder_alphabet(b);
    const tok_source good = builder_source(b, "gpt2", "gpt-2");
    tok_source s = good;
    s.n_tokens = 0;
    expect(&s, KVASIR_E_FORMAT, "0 tokens");
    s.n_tokens = SIZE_MAX;
    expect(&s, KVASIR_E_FORMAT, "tokens, not 1 to");
    s = good;
    s.n_merges = SIZE_MAX;
    expect(&s, KVASIR_E_FORMAT, "merges");
    static const char *const others[] = {"bert", "t5", "rwkv", "plamo2", "", NULL};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        s = good;
        s.model = others[i];
        expect(&s, KVASIR_E_UNSUPPORTED, others[i] ? others[i] : "tokenizer model");
    }
    s = good;
    s.pre = "n\ne";
    expect(&s, KVASIR_E_UNSUPPORTED, "n\\x0ae");
    int32_t *const ids[] = {&s.bos, &s.eos, &s.eot, &s.eom, &s.unk, &s.sep, &s.pad};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        s = good;
        *ids[i] = 256; /* the first that is none */
        expect_note(&s, "is 256, but there are 256 tokens");
        *ids[i] = -2;
        expect_note(&s, "is -2,");
    }
    s = good;
    s.add_bos = 1;
    expect(&s, KVASIR_E_FORMAT, "BOS");
    s = good;
    s.add_eos = 1;
    expect(&s, KVASIR_E_FORMAT, "EOS");
    char *longest = malloc(TOK_MAX_PIECE + 1);
    memset(longest, 'x', TOK_MAX_PIECE + 1);
    b->tokens[7] = (tok_text){longest, TOK_MAX_PIECE + 1};
    expect(&good, KVASIR_E_FORMAT, "token 7");
    b->tokens[7] = (tok_text){longest, TOK_MAX_PIECE}; /* the longest that is allowed */
    b->attrs[7] = TOK_CONTROL;
    b->attrs[9] = 1 << 30;
    b->attrs[10] = -5;
    b->tokens[8] = (tok_text){"", 0};
    b->merges[b->n_merges++] = (tok_text){longest, TOK_MAX_PIECE};
    tok_source many = builder_source(b, "gpt2", "gpt-2");
    tok *t;
    size_t n;
    assert_ok(tok_create(&many, &t));
    assert_parsed(t, "ab", "a|b");
    assert_int_equal(tok_piece(t, 7, true, NULL, 0), TOK_MAX_PIECE);
    assert_int_equal(tok_piece(t, 8, true, NULL, 0), 0);
    assert_string_equal(tok_raw(t, 8, &n), "");
    tok_free(t);
    b->tokens[8] = b->tokens['q']; /* one text twice: the first is found */
    expect_note(&good, "8 and 113 are both");
    assert_ok(tok_create(&good, &t));
    assert_int_equal(tok_find(t, "q", 1), 8);
    tok_free(t);
    free(longest);
    free(b);
}

/* Counts work, not time: for one long word every symbol is looked up at most three times, and queued as often. */
static void test_linear_work(void **state)
{
    static const char *const models[] = {"gpt2", "llama", "gemma4"};
    for (int m = 0; m < 3; m++) {
        builder *b = calloc(1, sizeof *b);
        if (m == 0)
            builder_alphabet(b);
        else
            (void)builder_add(b, "<unk>", TOK_UNKNOWN, 0), (void)builder_add(b, "a", TOK_NORMAL, 0);
        char token[128] = "a", merge[260];
        for (size_t len = 1; len < 64; len *= 2) {
            (void)snprintf(merge, sizeof merge, "%s %s", token, token);
            builder_merge(b, merge);
            memset(token, 'a', 2 * len);
            token[2 * len] = 0;
        }
        tok *t = make(b, models[m], "gpt-2");
        for (size_t n = 50000; n <= 200000; n *= 2) {
            char *text = malloc(n);
            memset(text, 'a', n);
            int32_t *ids;
            size_t n_ids;
            tok_work work = {0};
            assert_ok(tok_encode_counted(t, text, n, false, true, &ids, &n_ids, &work));
            assert_true(work.pops > n / 2 && work.pops <= 3 * n);
            assert_true(work.pairs > n / 2 && work.pairs <= 3 * n);
            assert_true(n_ids < n / 60);
            mem_free(ids);
            free(text);
        }
        tok_free(t);
        free(b);
    }
}

static void test_many_specials(void **state)
{
    builder *b = calloc(1, sizeof *b);
    builder_alphabet(b);
    char token[64] = "";
    for (int i = 0; i < 40; i++) {
        strcat(token, "n");
        if (i) (void)builder_add(b, token, TOK_USER_DEFINED, 0);
    }
    tok *t = make(b, "gpt2", "gpt-2");
    enum { N = 400007 };
    char *text = malloc(N);
    memset(text, 'n', N);
    int32_t *ids;
    size_t n_ids;
    assert_ok(tok_encode(t, text, N, false, false, &ids, &n_ids));
    assert_int_equal(n_ids, N / 40 + 1);
    assert_int_equal(ids[0], tok_find(t, token, 40));
    assert_int_equal(ids[n_ids - 1], tok_find(t, token, 7));
    mem_free(ids);
    free(text);
    tok_free(t);
    free(b);
}

typedef struct reader {
    const tok *t;
    size_t n_ids;
    uint64_t sum;
} reader;

static void *encode_often(void *arg)
{
    reader *r = arg;
    static const char text[] = "hello  hello, 12 \xc3\xa9 <tool> <|x|> \xff\n";
    for (int i = 0; i < 300; i++) {
        int32_t *ids;
        if (tok_encode(r->t, text, sizeof text - 1, true, true, &ids, &r->n_ids) != KVASIR_OK) return NULL;
        for (size_t k = 0; k < r->n_ids; k++) r->sum = r->sum * 31 + (uint64_t)ids[k];
        mem_free(ids);
    }
    return NULL;
}

static void test_threads(void **state)
{
    builder *b = calloc(1, sizeof *b);
    builder_alphabet(b);
    builder_merge(b, "l l");
    (void)builder_add(b, "<tool>", TOK_USER_DEFINED, 0);
    (void)builder_add(b, "<|x|>", TOK_CONTROL, 0);
    tok *t = make(b, "gpt2", "smollm");
    reader r[4];
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) {
        r[i] = (reader){.t = t};
        assert_int_equal(pthread_create(&thread[i], NULL, encode_often, &r[i]), 0);
    }
    for (int i = 0; i < 4; i++) (void)pthread_join(thread[i], NULL);
    assert_true(r[0].n_ids > 10);
    for (int i = 1; i < 4; i++) assert_true(r[i].sum == r[0].sum);
    tok_free(t);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_alphabet),
                                       cmocka_unit_test(test_byte_bpe),
                                       cmocka_unit_test(test_raw_bpe),
                                       cmocka_unit_test(test_spm),
                                       cmocka_unit_test(test_spm_without_bytes),
                                       cmocka_unit_test(test_merging_against_double),
                                       cmocka_unit_test(test_special),
                                       cmocka_unit_test(test_named_ends),
                                       cmocka_unit_test(test_special_against_double),
                                       cmocka_unit_test(test_streaming),
                                       cmocka_unit_test(test_bad_utf8),
                                       cmocka_unit_test(test_hostile),
                                       cmocka_unit_test(test_linear_work),
                                       cmocka_unit_test(test_many_specials),
                                       cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
