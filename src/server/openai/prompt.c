/* Prompts of OpenAI's requests: conversations, texts, and lists of ids. */
#include "server/openai/read.h"
#include "server/request/fields.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* The text of a message that comes in parts. NULL: *e says why. */
static json_t *join_parts(const json_t *parts, http_error *e)
{
    size_t i, n = 0, at = 0;
    const json_t *part;
    json_array_foreach(parts, i, part)
    {
        const char *type = json_string_value(json_object_get(part, "type"));
        if (type && strcmp(type, "text") != 0) {
            (void)http_refuse(e, 400, "unsupported", "messages", "parts of type '%s' are not supported",
                              quoted(type, strlen(type)));
            return NULL;
        }
        if (!type || !json_is_string(json_object_get(part, "text"))) {
            (void)refuse_value(e, "messages", "made of parts with a type and a text");
            return NULL;
        }
        n += json_string_length(json_object_get(part, "text"));
    }
    char *text = mem_alloc(n + 1, 1);
    if (text) {
        json_array_foreach(parts, i, part)
        {
            const json_t *piece = json_object_get(part, "text");
            memcpy(text + at, json_string_value(piece), json_string_length(piece));
            at += json_string_length(piece);
        }
    }
    json_t *joined = text ? json_stringn_nocheck(text, n) : NULL;
    mem_free(text);
    if (!joined) (void)http_refuse_memory(e);
    return joined;
}

/* A copy of a message with its content as one text. NULL: *e says why. */
static json_t *read_message(const json_t *message, http_error *e)
{
    const json_t *content = field(message, "content");
    if (!json_is_string(json_object_get(message, "role"))) {
        (void)refuse_value(e, "messages", "an array of objects with a role");
        return NULL;
    }
    if (content && !json_is_string(content) && !json_is_array(content)) {
        (void)refuse_value(e, "messages", "messages whose content is a text or an array of parts");
        return NULL;
    }
    json_t *copy = json_copy((json_t *)message);
    json_t *text = json_is_array(content) ? join_parts(content, e) : NULL;
    if (copy && json_is_array(content) && (!text || json_object_set(copy, "content", text) != 0)) {
        if (!e->status) (void)http_refuse_memory(e);
        json_decref(copy);
        copy = NULL;
    } else if (!copy) {
        (void)http_refuse_memory(e);
    }
    json_decref(text);
    return copy;
}

json_t *request_conversation(const json_t *body, http_error *e)
{
    const json_t *given = field(body, "messages"), *message;
    size_t i;
    if (!json_is_array(given) || json_array_size(given) == 0 || json_array_size(given) > REQUEST_MAX_MESSAGES) {
        (void)refuse_value(e, "messages", "an array of messages, and not empty");
        return NULL;
    }
    json_t *messages = json_array();
    json_array_foreach(given, i, message)
    {
        json_t *copy = read_message(message, e);
        if (!copy || json_array_append_new(messages, copy) != 0) {
            if (!e->status) (void)http_refuse_memory(e);
            json_decref(messages);
            return NULL;
        }
    }
    json_t *conversation = json_pack("{s:o, s:b}", "messages", messages, "add_generation_prompt", 1);
    if (!conversation) (void)http_refuse_memory(e);
    return conversation;
}

/* What a failed call into the library means for the client. */
static int refuse_status(http_error *e, kvasir_status status, const char *param)
{
    switch (status) {
    case KVASIR_E_ARGUMENT:
    case KVASIR_E_FORMAT:
    case KVASIR_E_TEMPLATE:
        return http_refuse(e, 400, "invalid_value", param, "%s", kvasir_message());
    case KVASIR_E_MEMORY:
        return http_refuse_memory(e);
    default:
        return http_refuse(e, 500, "internal", NULL, "%s", kvasir_message());
    }
}

int chat_ids(const request_rules *r, const json_t *d, request *q, http_error *e)
{
    json_t *conversation = request_conversation(d, e);
    if (!conversation) return e->status;
    char *json = json_dumps(conversation, JSON_COMPACT);
    json_decref(conversation);
    if (!json) return http_refuse_memory(e);
    kvasir_status status = kvasir_template_ids(r->model, r->template_text, json, 0, &q->ids, &q->n_ids);
    free(json);
    return status == KVASIR_OK ? 0 : refuse_status(e, status, "messages");
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

int plain_ids(const request_rules *r, const json_t *d, request *q, http_error *e)
{
    const kvasir_model_info *info = kvasir_model_get_info(r->model);
    const json_t *prompt = field(d, "prompt");
    if (json_is_array(prompt) && json_array_size(prompt) == 1 && json_is_string(json_array_get(prompt, 0)))
        prompt = json_array_get(prompt, 0);
    else if (json_is_array(prompt) && json_array_size(prompt) > 1 && json_is_string(json_array_get(prompt, 0)))
        return http_refuse(e, 400, "unsupported", "prompt", "several prompts in one request are not supported");
    if (json_is_array(prompt) && json_array_size(prompt) > 0) return given_ids(prompt, info->n_vocab, q, e);
    if (!json_is_string(prompt)) return refuse_value(e, "prompt", "a text or an array of token ids");
    kvasir_status status =
        kvasir_tokenize(r->model, json_string_value(prompt), json_string_length(prompt), 1, 1, &q->ids, &q->n_ids);
    if (status != KVASIR_OK) return refuse_status(e, status, "prompt");
    if (info->adds_eos && q->n_ids > 0 && q->ids[q->n_ids - 1] == info->eos) q->n_ids--; /* the text goes on */
    return 0;
}
