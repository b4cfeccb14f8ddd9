#define PCRE2_CODE_UNIT_WIDTH 8
#include "tok/pretok.h"
#include "base/mem.h"

#include <pcre2.h>
#include <stdio.h>
#include <string.h>

/* The patterns are those of the models' own tokenizer.json files, as collected in llama.cpp's
   llama-vocab.cpp. Where that engine approximates one for lack of character classes (gpt-4o, tekken), the
   model's own stands here.

   \s is written out: Unicode's White_Space, which PCRE2's \s is not quite (it has U+180E too).

   No pattern can take more than linear time. They repeat single character classes only, so a failed attempt
   gives the repeat back one character at a time with a constant test each; an alternative that fails after a
   long run is followed by one that consumes this run (or all but its last character); and where a search
   starts inside a run that cannot match, a lookbehind ends the attempt at once. Nothing repeats a group, so
   the matcher needs no stack. */
#define WS                                "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"
#define SPACES                            "[" WS "]+(?![^" WS "])|[" WS "]+" /* a run of spaces leaves its last one to the word that follows */
#define LINES                             "[" WS "]*[\\r\\n]+"
#define OTHER                             " ?[^" WS "\\p{L}\\p{N}]+"
#define CONTRACTION                       "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
#define WORD                              "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define GPT2                              "'(?:[stmd]|re|ve|ll)| ?\\p{L}+| ?\\p{N}+|" OTHER "|" SPACES
#define QWEN2(contraction, number, lines) contraction WORD "|" number "|" OTHER "[\\r\\n]*|" lines "|" SPACES
/* Upper case, then lower case, with letters that have no case and marks in either. */
#define CASED(upper, lower, suffix)                                                                                    \
    "[^\\r\\n\\p{L}\\p{N}]?" upper "*" lower "+" suffix "|[^\\r\\n\\p{L}\\p{N}]?" upper "+" lower "*" suffix
#define UPPER          "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER          "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define NO_HAN         "\\p{N}\\p{P}\\p{S}\\p{Z}\\p{C}\\p{sc:Han}]" /* the same classes without Han, by their complement */
#define CJK            "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
#define ASIAN          "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
#define ASCII_WORD     "[!-/:-@\\[-`{-~][A-Za-z]+"
#define PUNCTUATION_V3 ASCII_WORD "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+"
#define BLOOM          " ?[^(" WS "|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+"
/* DeepSeek LLM's letters: those with case, of Unicode 11. */
#define DEEPSEEK_LETTERS                                                                                               \
    "A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}"                    \
    "\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}"             \
    "\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}"                    \
    "\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}"                  \
    "\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}"                  \
    "\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}"                             \
    "\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}"                            \
    "\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}"                  \
    "\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}"                    \
    "\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}"                             \
    "\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}"                             \
    "\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}"                   \
    "\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}"                  \
    "\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}"                                 \
    "\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}"                             \
    "\\x{1E900}-\\x{1E943}"

enum { MAX_STAGES = 6 };

typedef enum split_id {
    SPLIT_DEFAULT,
    SPLIT_GPT2,
    SPLIT_LLAMA3,
    SPLIT_QWEN2,
    SPLIT_QWEN35,
    SPLIT_DIGITS_GPT2,
    SPLIT_DEEPSEEK_LLM,
    SPLIT_DEEPSEEK_CODER,
    SPLIT_DEEPSEEK_V3,
    SPLIT_FALCON,
    SPLIT_GPT4O,
    SPLIT_TEKKEN,
    SPLIT_KIMI,
    SPLIT_NEWLINES,
    SPLIT_BAILING,
    SPLIT_SEED_CODER,
    SPLIT_MINICPM5,
    SPLIT_LAGUNA,
    SPLIT_SPARK,
    SPLIT_YOUTU,
    SPLIT_BLOOM,
    SPLIT_VIKING,
    SPLITS
} split_id;

/* Each stage searches the words that the one before it made; what matches is a word and what lies between two
   matches is one. */
static const char *const split_stage[SPLITS][MAX_STAGES] = {
    [SPLIT_DEFAULT] = {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"},
    [SPLIT_GPT2] = {GPT2},
    [SPLIT_LLAMA3] = {QWEN2(CONTRACTION "|", "\\p{N}{1,3}", LINES)},
    [SPLIT_QWEN2] = {QWEN2(CONTRACTION "|", "\\p{N}", LINES)},
    [SPLIT_QWEN35] = {CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^" WS
                                  "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES "|" SPACES},
    [SPLIT_DIGITS_GPT2] = {"\\p{N}", GPT2},
    [SPLIT_DEEPSEEK_LLM] = {"[\\r\\n]", "[" WS "]?[" DEEPSEEK_LETTERS "]+",
                            "[" WS "]?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}"
                            "\\x{3000}-\\x{3002}]+",
                            "(?<![" WS "])[" WS "]+\\z", ASIAN, "\\p{N}+"},
    [SPLIT_DEEPSEEK_CODER] = {"[\\r\\n]", "[" WS "]?\\p{L}+", "[" WS "]?\\p{P}+", ASIAN, "\\p{N}"},
    [SPLIT_DEEPSEEK_V3] = {"\\p{N}{1,3}", CJK, PUNCTUATION_V3 "[\\r\\n]*|" LINES "|" SPACES},
    [SPLIT_FALCON] = {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"},
    [SPLIT_GPT4O] = {CASED(UPPER, LOWER, "(?:" CONTRACTION ")?") "|\\p{N}{1,3}|" OTHER "[\\r\\n/]*|" LINES "|" SPACES},
    [SPLIT_TEKKEN] = {CASED(UPPER, LOWER, "") "|\\p{N}|" OTHER "[\\r\\n/]*|" LINES "|" SPACES},
    [SPLIT_KIMI] = {"\\p{sc:Han}+|" CASED("[^\\p{Ll}" NO_HAN, "[^\\p{Lu}\\p{Lt}" NO_HAN,
                                          "(?:" CONTRACTION ")?") "|\\p{N}{1,3}|" OTHER "[\\r\\n]*|" LINES "|" SPACES},
    [SPLIT_NEWLINES] = {"[^\\n]+|\\n+"},
    [SPLIT_BAILING] = {QWEN2(CONTRACTION "|", "\\p{N}", "[" WS "]*[\\r\\n]")},
    [SPLIT_SEED_CODER] = {CONTRACTION "|" WORD "|\\p{N}| ?[^" WS "\\p{L}\\p{N}\\r\\n]+|" LINES "|" SPACES},
    [SPLIT_MINICPM5] = {"\\p{N}{1,3}", QWEN2(CONTRACTION "|", "\\p{N}+", LINES)},
    [SPLIT_LAGUNA] = {"[^\\n]+|\\n+", QWEN2(CONTRACTION "|", "\\p{N}", LINES)},
    [SPLIT_SPARK] = {"\\p{N}{1,3}", CJK, PUNCTUATION_V3 "|[\\r\\n]|" SPACES, "\\p{N}"},
    [SPLIT_YOUTU] = {"[\\x{AC00}-\\x{D7A3}\\x{3131}-\\x{318E}]+|[\\x{FF01}\\x{2026}\\x{201C}\\x{201D}\\x{2018}"
                     "\\x{2019}\\x{2014}\\x{FF1A}\\x{FF1B}\\x{FF0C}\\x{3001}-\\x{303F}\\x{FE30}-\\x{FE4F}]+|"
                     "[\\x{3105}-\\x{312F}]+|" CJK,
                     CASED(UPPER, LOWER, "(?:" CONTRACTION ")?") "|\\p{N}|" OTHER "[\\r\\n/]*|" LINES "|" SPACES},
    [SPLIT_BLOOM] = {BLOOM},
    [SPLIT_VIKING] = {BLOOM, "\\p{N}"},
};

enum { WHOLE_WORDS = 1, ADDS_BOS = 2, FORCES_BOS = 4, RAW = 8, WHOLE_NEWLINES = 16 };

typedef struct pre_name {
    const char *name; /* tokenizer.ggml.pre */
    split_id split;
    unsigned flags;
} pre_name;

/* The first name of each pattern is the one that messages give for it. */
static const pre_name known[] = {
    {"default", SPLIT_DEFAULT, 0},
    {"gpt-2", SPLIT_GPT2, 0},
    {"phi-2", SPLIT_GPT2, 0},
    {"mpt", SPLIT_GPT2, 0},
    {"olmo", SPLIT_GPT2, 0},
    {"jais", SPLIT_GPT2, 0},
    {"trillion", SPLIT_GPT2, 0},
    {"granite-docling", SPLIT_GPT2, 0},
    {"gigachat", SPLIT_GPT2, 0},
    {"a.x-4.0", SPLIT_GPT2, 0},
    {"mellum", SPLIT_GPT2, 0},
    {"exaone4", SPLIT_GPT2, 0},
    {"modern-bert", SPLIT_GPT2, 0},
    {"llama-bpe", SPLIT_LLAMA3, WHOLE_WORDS | ADDS_BOS},
    {"llama3", SPLIT_LLAMA3, WHOLE_WORDS | ADDS_BOS},
    {"llama-v3", SPLIT_LLAMA3, WHOLE_WORDS | ADDS_BOS},
    {"falcon3", SPLIT_LLAMA3, WHOLE_WORDS | ADDS_BOS},
    {"falcon-h1", SPLIT_LLAMA3, WHOLE_WORDS | ADDS_BOS},
    {"pixtral", SPLIT_LLAMA3, WHOLE_WORDS | ADDS_BOS},
    {"midm-2.0", SPLIT_LLAMA3, WHOLE_WORDS | ADDS_BOS},
    {"lfm2", SPLIT_LLAMA3, WHOLE_WORDS | ADDS_BOS},
    {"smaug-bpe", SPLIT_LLAMA3, 0},
    {"dbrx", SPLIT_LLAMA3, 0},
    {"chatglm-bpe", SPLIT_LLAMA3, 0},
    {"glm4", SPLIT_LLAMA3, 0},
    {"qwen2", SPLIT_QWEN2, 0},
    {"deepseek-r1-qwen", SPLIT_QWEN2, 0},
    {"stablelm2", SPLIT_QWEN2, 0},
    {"hunyuan", SPLIT_QWEN2, 0},
    {"solar-open", SPLIT_QWEN2, 0},
    {"megrez", SPLIT_QWEN2, 0},
    {"grok-2", SPLIT_QWEN2, 0},
    {"kormo", SPLIT_QWEN2, 0},
    {"f2llmv2", SPLIT_QWEN2, 0},
    {"qwen35", SPLIT_QWEN35, 0},
    {"smollm", SPLIT_DIGITS_GPT2, 0},
    {"starcoder", SPLIT_DIGITS_GPT2, 0},
    {"refact", SPLIT_DIGITS_GPT2, 0},
    {"command-r", SPLIT_DIGITS_GPT2, 0},
    {"codeshell", SPLIT_DIGITS_GPT2, 0},
    {"exaone", SPLIT_DIGITS_GPT2, 0},
    {"minerva-7b", SPLIT_DIGITS_GPT2, 0},
    {"mellum2", SPLIT_DIGITS_GPT2, 0},
    {"deepseek-llm", SPLIT_DEEPSEEK_LLM, 0},
    {"deepseek-coder", SPLIT_DEEPSEEK_CODER, 0},
    {"deepseek-v3", SPLIT_DEEPSEEK_V3, 0},
    {"hunyuan-dense", SPLIT_DEEPSEEK_V3, 0},
    {"joyai-llm", SPLIT_DEEPSEEK_V3, 0},
    {"hy_v4", SPLIT_DEEPSEEK_V3, 0},
    {"falcon", SPLIT_FALCON, 0},
    {"gpt-4o", SPLIT_GPT4O, 0},
    {"llama4", SPLIT_GPT4O, 0},
    {"kanana2", SPLIT_GPT4O, 0},
    {"talkie", SPLIT_GPT4O, 0},
    {"minimax-m2", SPLIT_GPT4O, 0},
    {"tekken", SPLIT_TEKKEN, WHOLE_WORDS | ADDS_BOS},
    {"kimi-k2", SPLIT_KIMI, 0},
    {"gemma4", SPLIT_NEWLINES, RAW | WHOLE_NEWLINES | FORCES_BOS},
    {"sarvam-moe", SPLIT_NEWLINES, RAW},
    {"bailingmoe", SPLIT_BAILING, 0},
    {"bailingmoe2", SPLIT_BAILING, 0},
    {"llada-moe", SPLIT_BAILING, 0},
    {"seed-coder", SPLIT_SEED_CODER, 0},
    {"minicpm5", SPLIT_MINICPM5, WHOLE_WORDS},
    {"laguna", SPLIT_LAGUNA, 0},
    {"spark2_5", SPLIT_SPARK, 0},
    {"youtu", SPLIT_YOUTU, WHOLE_WORDS},
    {"bloom", SPLIT_BLOOM, 0},
    {"gpt3-finnish", SPLIT_BLOOM, 0},
    {"poro-chat", SPLIT_BLOOM, 0},
    {"viking", SPLIT_VIKING, 0},
};

struct pretok {
    const pre_name *row;
    pcre2_general_context *general;
    pcre2_match_context *match;
    pcre2_code *stage[MAX_STAGES];
    int n_stages;
};

static void *pcre_alloc(PCRE2_SIZE n, void *unused)
{
    return mem_alloc(n, 1);
}

static void pcre_free(void *p, void *unused)
{
    mem_free(p);
}

static kvasir_status unknown_name(const char *name)
{
    char list[400] = "";
    size_t used = 0;
    unsigned seen = 0;
    _Static_assert(SPLITS <= 32, "one bit each");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (seen >> known[i].split & 1 || used >= sizeof list - 1) continue;
        seen |= 1u << known[i].split;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", known[i].name);
    }
    return fail(KVASIR_E_UNSUPPORTED, "pre-tokenizer %s is not known; the known patterns are %s",
                quoted(name, strlen(name)), list);
}

static kvasir_status compile(pretok *p)
{
    p->general = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    p->match = p->general ? pcre2_match_context_create(p->general) : NULL;
    pcre2_compile_context *context = p->match ? pcre2_compile_context_create(p->general) : NULL;
    if (!context) return fail_memory(sizeof *p);
    /* Every attempt is linear in its run (see above), so these limits are not needed against wasted time. */
    (void)pcre2_set_match_limit(p->match, UINT32_MAX);
    (void)pcre2_set_heap_limit(p->match, UINT32_MAX);
    kvasir_status status = KVASIR_OK;
    const char *const *text = split_stage[p->row->split];
    for (int i = 0; i < MAX_STAGES && text[i] && status == KVASIR_OK; i++) {
        int error;
        PCRE2_SIZE at;
        p->stage[i] =
            pcre2_compile((PCRE2_SPTR)text[i], PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error, &at, context);
        if (!p->stage[i])
            status = fail(KVASIR_E_UNSUPPORTED, "PCRE2 refuses stage %d of the split pattern %s at byte %zu (error %d)",
                          i, p->row->name, at, error);
        else
            (void)pcre2_jit_compile(p->stage[i], PCRE2_JIT_COMPLETE); /* without it matching is slower, not different */
        p->n_stages = i + 1;
    }
    pcre2_compile_context_free(context);
    return status;
}

kvasir_status pretok_create(const char *name, pretok **out)
{
    const pre_name *row = NULL;
    *out = NULL;
    if (!name || !*name) name = "default";
    for (size_t i = 0; i < sizeof known / sizeof *known && !row; i++)
        if (strcmp(known[i].name, name) == 0) row = &known[i];
    if (!row) return unknown_name(name);
    pretok *p = mem_alloc(1, sizeof *p);
    if (!p) return fail_memory(sizeof *p);
    p->row = row;
    kvasir_status status = compile(p);
    if (status != KVASIR_OK) {
        pretok_free(p);
        return status;
    }
    *out = p;
    return KVASIR_OK;
}

void pretok_free(pretok *p)
{
    if (!p) return;
    for (int i = 0; i < p->n_stages; i++) pcre2_code_free(p->stage[i]);
    pcre2_match_context_free(p->match);
    pcre2_general_context_free(p->general);
    mem_free(p);
}

const char *pretok_name(const pretok *p)
{
    return p->row->name;
}

bool pretok_raw(const pretok *p)
{
    return p->row->flags & RAW;
}

bool pretok_whole_words(const pretok *p)
{
    return p->row->flags & WHOLE_WORDS;
}

bool pretok_whole_newlines(const pretok *p)
{
    return p->row->flags & WHOLE_NEWLINES;
}

bool pretok_forces_bos(const pretok *p)
{
    return p->row->flags & FORCES_BOS;
}

bool pretok_adds_bos(const pretok *p)
{
    return p->row->flags & (ADDS_BOS | FORCES_BOS);
}

typedef struct splitter {
    const pretok *p;
    const char *text;
    pcre2_match_data *data;
    pretok_word word;
    void *arg;
    size_t *matches;
} splitter;

/* Splits one word of the stage before. Lookahead and lookbehind end at its borders. */
static kvasir_status split(const splitter *s, int stage, size_t begin, size_t end)
{
    if (stage == s->p->n_stages) return s->word(s->arg, begin, end);
    size_t at = begin;
    while (at < end) {
        int found = pcre2_match(s->p->stage[stage], (PCRE2_SPTR)s->text + begin, end - begin, at - begin,
                                PCRE2_NO_UTF_CHECK, s->data, s->p->match);
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(s->data);
        ++*s->matches;
        if (found == PCRE2_ERROR_NOMATCH) break;
        if (found < 0 || range[1] <= range[0])
            return fail(KVASIR_E_INTERNAL, "the split pattern %s stopped at byte %zu (PCRE2 error %d)", s->p->row->name,
                        at, found);
        size_t from = begin + range[0], to = begin + range[1]; /* the next stage overwrites the range */
        if (from > at) TRY(split(s, stage + 1, at, from));
        TRY(split(s, stage + 1, from, to));
        at = to;
    }
    return at < end ? split(s, stage + 1, at, end) : KVASIR_OK;
}

kvasir_status pretok_split(const pretok *p, const char *text, size_t n, pretok_word word, void *arg, size_t *matches)
{
    splitter s = {p, text, pcre2_match_data_create(1, p->general), word, arg, matches};
    if (!s.data) return fail_memory(sizeof s);
    kvasir_status status = split(&s, 0, 0, n);
    pcre2_match_data_free(s.data);
    return status;
}
