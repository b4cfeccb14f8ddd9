/* Prompts of OpenAI's requests as ids: of conversations, texts, and lists of ids. */
#include "server/openai/conversation.h"
#include "server/openai/read.h"
#include "server/request/fields.h"
#include "base/mem.h"

#include <string.h>

/* The ids of a text. Where it is a template's, and both write BOS, there is only one. */
static int text_ids(const request_rules *r, const char *text, size_t n, int special, request *q, const char *param,
                    http_error *e)
{
    const kvasir_model_info *info = kvasir_model_get_info(r->model);
    kvasir_status status = kvasir_tokenize(r->model, text, n, special, 1, &q->ids, &q->n_ids);
    if (status != KVASIR_OK) return refuse_status(e, status, param);
    if (q->chat && special && info->adds_bos && q->n_ids >= 2 && q->ids[0] == info->bos && q->ids[1] == info->bos)
        memmove(q->ids, q->ids + 1, --q->n_ids * sizeof *q->ids);
    if (info->adds_eos && q->n_ids > 0 && q->ids[q->n_ids - 1] == info->eos) q->n_ids--; /* the text goes on */
    return 0;
}

int chat_ids(const request_rules *r, const json_t *d, request *q, http_error *e)
{
    char *text = NULL;
    size_t n = 0;
    int special = 1, status = request_flag(d, "add_special_tokens", &special, e);
    if (!status) status = chat_text(r, d, &text, &n, q->ignored, e);
    if (!status) status = text_ids(r, text, n, special, q, "messages", e);
    kvasir_free(text);
    return status;
}

static int given_ids(const json_t *list, int n_vocab, request *q, http_error *e)
{
    size_t i, n = json_array_size(list);
    const json_t *id;
    q->ids = mem_alloc(n, sizeof *q->ids);
    if (!q->ids) return http_refuse_memory(e);
    json_array_foreach(list, i, id)
    {
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= n_vocab)
            return http_refuse(e, 400, "invalid_value", "prompt",
                               "entry %zu of the prompt is no id of a token (0 to %d)", i, n_vocab - 1);
        q->ids[i] = (int32_t)json_integer_value(id);
    }
    q->n_ids = n;
    return 0;
}

/* lm-eval and other clients of several prompts send a list also where it has one. */
static const json_t *only_prompt(const json_t *prompt, http_error *e)
{
    const json_t *first = json_array_get(prompt, 0);
    if (!json_is_string(first) && !json_is_array(first)) return prompt;
    if (json_array_size(prompt) == 1) return first;
    (void)http_refuse(e, 400, "unsupported", "prompt",
                      "several prompts in one request are not supported: send a request for each");
    return NULL;
}

int plain_ids(const request_rules *r, const json_t *d, request *q, http_error *e)
{
    const json_t *prompt = only_prompt(field(d, "prompt"), e);
    int special = 1;
    if (e->status) return e->status;
    if (request_flag(d, "add_special_tokens", &special, e)) return e->status;
    if (json_is_array(prompt) && json_array_size(prompt) > 0)
        return given_ids(prompt, kvasir_model_get_info(r->model)->n_vocab, q, e);
    if (!json_is_string(prompt)) return refuse_value(e, "prompt", "a text or an array of token ids");
    return text_ids(r, json_string_value(prompt), json_string_length(prompt), special, q, "prompt", e);
}
