/* Building a tokenizer from the tables of a vocabulary, and what can be asked about a token. */
#include "base/mem.h"
#include "tok/internal.h"
#include "tok/utf8.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

/* Texts that end a generation where the token is a control token (the list of llama.cpp's llama-vocab.cpp). */
/* clang-format off */
static const char *const eog_names[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
    "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "[e~[",
    "<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>", /* DeepSeek: full-width bars, U+2581 */
    /* fill-in-the-middle: padding, repository, file separator */
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>",
    "<reponame>", "<|file_sep|>"};

/* Texts that are control tokens whatever the file says, and end nothing. */
static const char *const control_names[] = {
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<PRE>", "\342\226\201<PRE>", "<|code_prefix|>", "<|prefix|>",
    "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<SUF>", "\342\226\201<SUF>", "<|code_suffix|>", "<|suffix|>",
    "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<MID>", "\342\226\201<MID>", "<|code_middle|>", "<|middle|>",
    "<\357\275\234fim\342\226\201begin\357\275\234>", "<\357\275\234fim\342\226\201hole\357\275\234>",
    "<\357\275\234fim\342\226\201end\357\275\234>"};

/* clang-format on */

/* The byte of a text like <0x0A>, or -1. */
static int byte_of_text(const tok_text *text)
{
    int value = 0;
    if (text->n != 6 || memcmp(text->s, "<0x", 3) != 0 || text->s[5] != '>') return -1;
    for (int i = 3; i < 5; i++) {
        int c = (unsigned char)text->s[i];
        if (!isxdigit(c)) return -1;
        value = value * 16 + (isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

static unsigned char flags_of_attr(int32_t attr, const tok_text *text)
{
    switch (attr) {
    case TOK_UNKNOWN:
        return FLAG_UNKNOWN;
    case TOK_CONTROL:
        return FLAG_CONTROL;
    case TOK_USER_DEFINED:
        return FLAG_USER;
    case TOK_BYTE:
        return byte_of_text(text) >= 0 ? FLAG_BYTE : 0;
    default:
        return 0;
    }
}

static kvasir_status add_tokens(tok *t, const tok_source *source)
{
    t->flags = mem_alloc((size_t)t->n, 1);
    if (!t->flags) return fail_memory((size_t)t->n);
    for (int32_t id = 0; id < t->n; id++) {
        const tok_text *text = &t->text[id];
        if (text->n > TOK_MAX_PIECE)
            return fail(KVASIR_E_FORMAT, "token %d has %zu bytes, more than %d", id, text->n, TOK_MAX_PIECE);
        if (source->attrs) t->flags[id] = flags_of_attr(source->attrs[id], text);
        if (text->n > t->max_text) t->max_text = text->n;
    }
    return texts_build(t);
}

static int32_t find_name(const tok *t, const char *name)
{
    return tok_find(t, name, strlen(name));
}

static void mark(tok *t, int32_t id, unsigned char flags)
{
    if (id >= 0) t->flags[id] |= flags;
}

/* Does the token end a generation by its name? Its type decides: "</s>" is a tag of HTML in some vocabularies. Files without
   types have the name alone; and where a file calls the token that its own template writes between messages a normal one, the
   template is believed. */
static bool ends_by_name(const tok *t, const tok_source *source, int32_t id, const char *name)
{
    if (!source->attrs || t->flags[id] & (FLAG_CONTROL | FLAG_UNKNOWN)) return true;
    return source->template && strstr(source->template, name);
}

/* Control tokens and ends of generation that files do not declare. */
static void mark_names(tok *t, const tok_source *source)
{
    for (size_t i = 0; i < sizeof eog_names / sizeof *eog_names; i++) {
        int32_t id = find_name(t, eog_names[i]);
        if (id < 0) continue;
        mark(t, id, ends_by_name(t, source, id, eog_names[i]) ? FLAG_CONTROL | FLAG_EOG : FLAG_NAMED);
    }
    for (size_t i = 0; i < sizeof control_names / sizeof *control_names; i++)
        mark(t, find_name(t, control_names[i]), FLAG_CONTROL);
    mark(t, t->eos, FLAG_EOG);
    if (source->eot < t->n) mark(t, source->eot, FLAG_EOG);
    if (source->eom < t->n) mark(t, source->eom, FLAG_EOG);
    /* Harmony and Solar write several messages in a turn, each closed by <|end|>. */
    int32_t end = find_name(t, "<|end|>");
    bool call = find_name(t, "<|call|>") >= 0 || find_name(t, "<|calls|>") >= 0;
    if (end >= 0 && call && (find_name(t, "<|return|>") >= 0 || find_name(t, "<|flush|>") >= 0))
        t->flags[end] &= (unsigned char)~FLAG_EOG;
    /* Gemma 4 has </s> as the HTML tag. */
    int32_t strike = find_name(t, "</s>");
    if (strike >= 0 && find_name(t, "<|tool_response>") >= 0) t->flags[strike] = 0;
}

static kvasir_status find_specials(tok *t)
{
    for (int32_t id = 0; id < t->n; id++) {
        const tok_text *text = &t->text[id];
        if (!(t->flags[id] & (FLAG_CONTROL | FLAG_USER | FLAG_UNKNOWN | FLAG_NAMED))) continue;
        TRY(special_add(&t->any, text->s, text->n, id));
        if (t->flags[id] & FLAGS_NOT_TEXT) continue;
        TRY(special_add(&t->user, text->s, text->n, id));
    }
    TRY(special_finish(&t->any));
    return special_finish(&t->user);
}

static void find_byte_tokens(tok *t)
{
    static const char hex[] = "0123456789ABCDEF";
    for (int b = 0; b < 256; b++) {
        const char name[6] = {'<', '0', 'x', hex[b >> 4], hex[b & 15], '>'}, raw = (char)b;
        t->byte_id[b] = tok_find(t, name, sizeof name);
        if (t->byte_id[b] < 0) t->byte_id[b] = texts_find_plain(t, &raw, 1);
    }
}

/* The id, or -1 with a note where no token has it: files of finetunes name a padding token that was never added. */
static kvasir_status take_id(const tok *t, const tok_source *source, const char *name, int32_t id, int32_t *out)
{
    *out = id >= 0 && id < t->n ? id : -1;
    if (*out == id || !source->notes) return KVASIR_OK;
    return note_add(source->notes, "the vocabulary's %s token is %d, but there are %d tokens: it is left out", name, id,
                    t->n);
}

static kvasir_status set_special_ids(tok *t, const tok_source *source)
{
    int32_t other;
    TRY(take_id(t, source, "BOS", source->bos, &t->bos));
    TRY(take_id(t, source, "EOS", source->eos, &t->eos));
    TRY(take_id(t, source, "unknown", source->unk, &t->unk));
    TRY(take_id(t, source, "EOT", source->eot, &other));
    TRY(take_id(t, source, "EOM", source->eom, &other));
    TRY(take_id(t, source, "separator", source->sep, &other));
    TRY(take_id(t, source, "padding", source->pad, &other));
    if (t->kind == TOK_SPM) { /* SentencePiece's own defaults */
        if (t->bos < 0 && t->n > 1) t->bos = 1;
        if (t->eos < 0 && t->n > 2) t->eos = 2;
        if (t->unk < 0) t->unk = 0;
    }
    t->add_bos = t->kind == TOK_SPM || pretok_adds_bos(t->split);
    if (source->add_bos >= 0 && !(t->split && pretok_forces_bos(t->split))) t->add_bos = source->add_bos != 0;
    t->add_eos = source->add_eos > 0;
    t->add_space_prefix = t->kind == TOK_SPM && source->add_space_prefix != 0;
    if (source->add_bos > 0 && t->bos < 0)
        return fail(KVASIR_E_FORMAT, "the vocabulary asks for a BOS token but has none");
    if (t->add_eos && t->eos < 0) return fail(KVASIR_E_FORMAT, "the vocabulary asks for an EOS token but has none");
    if (t->bos < 0) t->add_bos = false;
    return KVASIR_OK;
}

static kvasir_status set_kind(tok *t, const tok_source *source)
{
    const char *model = source->model ? source->model : "";
    if (strcmp(model, "llama") == 0) {
        t->kind = TOK_SPM;
        return KVASIR_OK;
    }
    const bool gemma4 = strcmp(model, "gemma4") == 0;
    if (!gemma4 && strcmp(model, "gpt2") != 0)
        return fail(KVASIR_E_UNSUPPORTED, "tokenizer model %s is not supported; gpt2, llama and gemma4 are",
                    quoted(model, strlen(model)));
    TRY(pretok_create(gemma4 ? "gemma4" : source->pre, &t->split));
    t->kind = pretok_raw(t->split) ? TOK_RAW_BPE : TOK_BYTE_BPE;
    return KVASIR_OK;
}

/* What a user should know of a vocabulary that works all the same. */
static kvasir_status say_guesses(const tok *t, const tok_source *source)
{
    if (!source->notes) return KVASIR_OK;
    if (t->n_twins > 0) {
        const tok_text *text = &t->text[t->twin[0]];
        TRY(note_add(source->notes,
                     "%d tokens have the text of an earlier one and never come from text: %d and %d are both %s",
                     t->n_twins, t->twin[0], t->twin[1], quoted(text->s, text->n)));
    }
    if (t->kind == TOK_BYTE_BPE && (!source->pre || !*source->pre))
        TRY(note_add(source->notes,
                     "the file does not say how text is split (tokenizer.ggml.pre), so the pattern %s is a guess",
                     tok_pre_name(t)));
    if (t->kind != TOK_SPM && source->n_merges == 0)
        TRY(note_add(source->notes, "the vocabulary has no merges: text becomes single characters"));
    return KVASIR_OK;
}

static kvasir_status build(tok *t, const tok_source *source)
{
    if (source->n_tokens == 0 || source->n_tokens > TOK_MAX_TOKENS)
        return fail(KVASIR_E_FORMAT, "the vocabulary has %zu tokens, not 1 to %d", source->n_tokens, TOK_MAX_TOKENS);
    t->text = source->tokens;
    t->n = (int32_t)source->n_tokens;
    t->scores = source->scores;
    TRY(set_kind(t, source));
    TRY(set_special_ids(t, source));
    TRY(add_tokens(t, source));
    mark_names(t, source);
    TRY(find_specials(t));
    TRY(say_guesses(t, source));
    if (t->kind != TOK_BYTE_BPE) find_byte_tokens(t);
    return t->kind == TOK_SPM ? KVASIR_OK : bpe_build(t, source);
}

kvasir_status tok_create(const tok_source *source, tok **out)
{
    *out = NULL;
    tok *t = mem_alloc(1, sizeof *t);
    if (!t) return fail_memory(sizeof *t);
    kvasir_status status = build(t, source);
    if (status != KVASIR_OK) {
        tok_free(t);
        return status;
    }
    *out = t;
    return KVASIR_OK;
}

void tok_free(tok *t)
{
    if (!t) return;
    special_free(&t->any);
    special_free(&t->user);
    pretok_free(t->split);
    mem_free(t->flags);
    mem_free(t->texts);
    mem_free(t->pairs);
    mem_free(t);
}

int32_t tok_size(const tok *t)
{
    return t->n;
}

int32_t tok_bos(const tok *t)
{
    return t->bos;
}

int32_t tok_eos(const tok *t)
{
    return t->eos;
}

bool tok_is_eog(const tok *t, int32_t id)
{
    return id >= 0 && id < t->n && t->flags[id] & FLAG_EOG;
}

bool tok_is_control(const tok *t, int32_t id)
{
    return id >= 0 && id < t->n && t->flags[id] & FLAG_CONTROL;
}

bool tok_adds_bos(const tok *t)
{
    return t->add_bos;
}

bool tok_adds_eos(const tok *t)
{
    return t->add_eos;
}

const char *tok_model_name(const tok *t)
{
    return t->kind == TOK_SPM ? "spm" : "bpe";
}

const char *tok_pre_name(const tok *t)
{
    return t->split ? pretok_name(t->split) : "";
}

const char *tok_raw(const tok *t, int32_t id, size_t *n)
{
    *n = 0;
    if (id < 0 || id >= t->n || t->text[id].n == 0) return "";
    *n = t->text[id].n;
    return t->text[id].s;
}
