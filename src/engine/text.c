/* Text in and out: the tokenizer and the chat template of a model, for the public header. */
#include "base/mem.h"
#include "base/status.h"
#include "engine/model.h"
#include "jinja/jinja.h"

#include <string.h>
#include <time.h>

static kvasir_status need_tok(const kvasir_model *m)
{
    return m->tok ? KVASIR_OK
                  : fail(KVASIR_E_UNSUPPORTED, "%s: the model's tokenizer cannot be used: %s", m->info.path,
                         m->n_problems ? m->problems[0] : "it has none");
}

kvasir_status kvasir_tokenize(const kvasir_model *m, const char *text, size_t n, int add_special, int parse_special,
                              int32_t **ids, size_t *n_ids)
{
    NEED(m);
    NEED(ids);
    NEED(n_ids);
    if (n > 0) NEED(text);
    TRY(need_tok(m));
    return tok_encode(m->tok, text, n, add_special != 0, parse_special != 0, ids, n_ids);
}

kvasir_status kvasir_detokenize(const kvasir_model *m, const int32_t *ids, size_t n, int special, char **text,
                                size_t *n_text)
{
    NEED(m);
    NEED(text);
    NEED(n_text);
    if (n > 0) NEED(ids);
    TRY(need_tok(m));
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= tok_size(m->tok))
            return fail(KVASIR_E_ARGUMENT, "id %d at place %zu is outside the vocabulary of %d", (int)ids[i], i,
                        tok_size(m->tok));
    return tok_decode(m->tok, ids, n, special != 0, text, n_text);
}

int kvasir_token_ends(const kvasir_model *m, int32_t id)
{
    NEED_OR(m, 0);
    return m->tok && tok_is_eog(m->tok, id);
}

/* Appends "NAME": "text of the token" to the beginning of a JSON object. Later keys win, so a value that the caller
   gives is kept. */
static char *put_token(char *to, const char *name, const tok *t, int32_t id)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    const char *s = tok_raw(t, id, &n);
    to = stpcpy(stpcpy(stpcpy(to, "\""), name), "\":\"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\') *to++ = '\\';
        if (c < 0x20) {
            to = stpcpy(to, "\\u00");
            *to++ = hex[c >> 4];
            *to++ = hex[c & 15];
        } else {
            *to++ = (char)c;
        }
    }
    return stpcpy(to, "\",");
}

/* The caller's JSON object with the model's bos_token and eos_token put in front. NULL when out of memory. */
static char *with_tokens(const kvasir_model *m, const char *json)
{
    size_t n_bos = 0, n_eos = 0, at = strspn(json, " \t\r\n");
    int32_t bos = m && m->tok ? tok_bos(m->tok) : -1, eos = m && m->tok ? tok_eos(m->tok) : -1;
    if (bos >= 0) (void)tok_raw(m->tok, bos, &n_bos);
    if (eos >= 0) (void)tok_raw(m->tok, eos, &n_eos);
    char *text = mem_alloc(strlen(json) + 6 * (n_bos + n_eos) + 64, 1), *to = text;
    if (!text) return NULL;
    if (json[at] != '{') return strcpy(text, json); /* not an object: the renderer will say so */
    *to++ = '{';
    if (bos >= 0) to = put_token(to, "bos_token", m->tok, bos);
    if (eos >= 0) to = put_token(to, "eos_token", m->tok, eos);
    at++;
    at += strspn(json + at, " \t\r\n");
    if (json[at] == '}' && to[-1] == ',') to--;
    (void)strcpy(to, json + at);
    return text;
}

static kvasir_status template_of(const kvasir_model *m, const char *text, jinja **out)
{
    if (!text) text = m ? m->info.chat_template : NULL;
    if (!text) return fail(KVASIR_E_ARGUMENT, "the model has no chat template");
    return jinja_parse(text, strlen(text), out);
}

kvasir_status kvasir_template_uses(const kvasir_model *m, const char *text, const char *variable, int *uses)
{
    jinja *j = NULL;
    TRY(template_of(m, text, &j));
    *uses = jinja_uses(j, variable);
    jinja_free(j);
    return KVASIR_OK;
}

kvasir_status kvasir_template_render(const kvasir_model *m, const char *text, const char *json, int64_t now, char **out,
                                     size_t *n_out)
{
    NEED(json);
    NEED(out);
    NEED(n_out);
    struct tm tm;
    time_t clock = now ? (time_t)now : time(NULL);
    if (!(now ? gmtime_r(&clock, &tm) : localtime_r(&clock, &tm)))
        return fail(KVASIR_E_ARGUMENT, "the time is out of range");
    jinja *j = NULL;
    TRY(template_of(m, text, &j));
    char *context = with_tokens(m, json);
    kvasir_status status = context ? KVASIR_OK : fail_memory(strlen(json));
    if (status == KVASIR_OK) status = jinja_render(j, context, strlen(context), &tm, NULL, out, n_out);
    jinja_free(j);
    mem_free(context);
    return status;
}

kvasir_status kvasir_template_ids(const kvasir_model *m, const char *text, const char *json, int64_t now, int32_t **ids,
                                  size_t *n_ids)
{
    NEED(m);
    NEED(json);
    NEED(ids);
    NEED(n_ids);
    const kvasir_model_info *info = &m->info;
    char *prompt = NULL;
    size_t n = 0;
    TRY(kvasir_template_render(m, text, json, now, &prompt, &n));
    kvasir_status status = kvasir_tokenize(m, prompt, n, 1, 1, ids, n_ids);
    mem_free(prompt);
    TRY(status);
    if (info->adds_bos && *n_ids >= 2 && (*ids)[0] == info->bos && (*ids)[1] == info->bos)
        memmove(*ids, *ids + 1, --*n_ids * sizeof **ids);
    if (info->adds_eos && *n_ids >= 1 && (*ids)[*n_ids - 1] == info->eos) --*n_ids;
    return KVASIR_OK;
}
