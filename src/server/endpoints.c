#include "server/endpoints.h"
#include "server/openai/conversation.h"
#include "server/openai/read.h"
#include "server/request/fields.h"
#include "server/schedule/kept.h"
#include "base/clock.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

void answer_health(server *s, exchange *x, const char *body, size_t n)
{
    (void)body;
    (void)n;
    exchange_json(x, s->signals ? 503 : 200, json_pack("{s:s}", "status", s->signals ? "stopping" : "ok"));
}

void answer_metrics(server *s, exchange *x, const char *body, size_t n)
{
    struct evbuffer *text = evbuffer_new();
    kvasir_engine_info info;
    (void)body;
    (void)n;
    kvasir_engine_get_info(s->o->engine, &info);
    const metrics_state now = {.running = s->n_running,
                               .queued = s->n_queued,
                               .kept = s->n_kept,
                               .kv_used = info.kv_used,
                               .kv_kept = kept_bytes(s),
                               .kv_budget = info.kv_budget,
                               .now = clock_now()};
    if (text) metrics_write(&s->metrics, &now, text);
    exchange_text(x, 200, "text/plain; version=0.0.4", text);
}

/* ---- text to tokens ------------------------------------------------------------------------------------ */

/* Names those that the endpoint does not read. The list ends with NULL. */
static void ignore_others(const json_t *d, const char *const *read, char *ignored)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)d, name, value)
    {
        int i = 0;
        while (read[i] && strcmp(read[i], name) != 0) i++;
        if (!read[i] && !json_is_null(value)) ignore_field(ignored, NULL, name);
    }
}

/* The ids of a text, which is llama.cpp's `content` or vLLM's `prompt`. */
static int tokenize_text(const server *s, const json_t *d, request *q, http_error *e)
{
    const json_t *content = field(d, "content"), *prompt = field(d, "prompt"), *text = content ? content : prompt;
    int add_special = !content, parse_special = 1; /* what those two do where nothing is said */
    if (content && prompt)
        return http_refuse(e, 400, "invalid_value", "prompt", "content and prompt are the same: leave one out");
    if (!json_is_string(text))
        return http_refuse(e, 400, "invalid_value", prompt ? "prompt" : "content",
                           "content (or prompt) must be a text");
    int status = request_flag(d, "add_special_tokens", &add_special, e);
    if (!status) status = request_flag(d, "add_special", &add_special, e);
    if (!status) status = request_flag(d, "parse_special", &parse_special, e);
    if (status) return status;
    kvasir_status done = kvasir_tokenize(s->o->model, json_string_value(text), json_string_length(text), add_special,
                                         parse_special, &q->ids, &q->n_ids);
    return done == KVASIR_OK ? 0 : http_refuse(e, 500, "internal", NULL, "%s", kvasir_message());
}

static int tokenize(const server *s, const json_t *d, request *q, http_error *e)
{
    static const char *const text[] =
        {"model",       "content",           "prompt", "add_special", "add_special_tokens", "parse_special",
         "with_pieces", "return_token_strs", NULL},
                             *const chat[] = {"model",
                                              "messages",
                                              "chat_template_kwargs",
                                              "add_generation_prompt",
                                              "continue_final_message",
                                              "reasoning_effort",
                                              "verbosity",
                                              "documents",
                                              "add_special_tokens",
                                              "with_pieces",
                                              "return_token_strs",
                                              NULL},
                             *const pieces[] = {"with_pieces", "return_token_strs"};
    int status = check_model(&s->rules, d, e);
    for (int i = 0; i < 2 && !status; i++) {
        int wanted = 0;
        status = request_flag(d, pieces[i], &wanted, e);
        if (!status && wanted) status = refuse_unsupported(e, pieces[i], "give the ids to /detokenize one by one");
    }
    if (status) return status;
    q->chat = field(d, "messages") != NULL;
    ignore_others(d, q->chat ? chat : text, q->ignored);
    return q->chat ? chat_ids(&s->rules, d, q, e) : tokenize_text(s, d, q, e);
}

void answer_tokenize(server *s, exchange *x, const char *body, size_t n)
{
    http_error e = {0};
    request q = {0};
    json_t *d = NULL;
    int status = request_json(body, n, &d, &e);
    if (!status) status = tokenize(s, d, &q, &e);
    if (status) {
        exchange_refuse(x, &e);
    } else {
        json_t *list = json_array();
        for (size_t i = 0; i < q.n_ids; i++) (void)json_array_append_new(list, json_integer(q.ids[i]));
        json_t *answer = json_pack("{s:o}", "tokens", list);
        if (!field(d, "content")) { /* as vLLM answers */
            (void)json_object_set_new(answer, "count", json_integer((json_int_t)q.n_ids));
            (void)json_object_set_new(answer, "max_model_len", json_integer(s->rules.ctx));
        }
        exchange_ignored(x, q.ignored);
        exchange_json(x, 200, answer);
    }
    request_free(&q);
    json_decref(d);
}

/* ---- tokens to text ------------------------------------------------------------------------------------ */

/* The text of the ids, with U+FFFD for bytes that are no character. NULL, with *e filled in, when one of them
   is no id. */
static json_t *text_of(const server *s, const json_t *list, http_error *e)
{
    kvasir_detokenizer *d = NULL;
    const json_t *id;
    size_t i, n;
    kvasir_status status = kvasir_detokenizer_create(s->o->model, NULL, 0, 1, &d);
    json_array_foreach(list, i, id)
    {
        const json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (status == KVASIR_OK && (!json_is_integer(id) || value < 0 || value > INT32_MAX)) {
            char *shown = json_dumps(id, JSON_ENCODE_ANY | JSON_COMPACT);
            (void)http_refuse(e, 400, "invalid_value", "tokens", "entry %zu of tokens is %s, which is no token id", i,
                              shown ? quoted(shown, strlen(shown)) : "?");
            free(shown);
            kvasir_detokenizer_free(d);
            return NULL;
        }
        if (status == KVASIR_OK) status = kvasir_detokenizer_add(d, (int32_t)value, NULL);
    }
    if (status == KVASIR_OK) status = kvasir_detokenizer_end(d);
    const char *text = status == KVASIR_OK ? kvasir_detokenizer_text(d, &n) : NULL;
    json_t *json = text ? json_stringn(text, n) : NULL;
    if (status == KVASIR_E_ARGUMENT)
        (void)http_refuse(e, 400, "invalid_value", "tokens", "%s", kvasir_message());
    else if (!json)
        (void)http_refuse_memory(e);
    kvasir_detokenizer_free(d);
    return json;
}

void answer_detokenize(server *s, exchange *x, const char *body, size_t n)
{
    static const char *const read[] = {"model", "tokens", NULL};
    http_error e = {0};
    char ignored[REQUEST_IGNORED_BYTES] = "";
    json_t *d = NULL, *text = NULL;
    int status = request_json(body, n, &d, &e);
    const json_t *list = json_object_get(d, "tokens");
    if (!status) status = check_model(&s->rules, d, &e);
    if (!status && !json_is_array(list))
        status = http_refuse(&e, 400, "invalid_value", "tokens", "tokens must be an array of token ids");
    if (!status) text = text_of(s, list, &e);
    if (text) {
        ignore_others(d, read, ignored);
        exchange_ignored(x, ignored);
        exchange_json(x, 200,
                      json_pack("{s:O, s:o}", "content", text, "prompt", text)); /* llama.cpp's name and vLLM's */
    } else {
        exchange_refuse(x, &e);
    }
    json_decref(d);
}

/* ---- messages to text ---------------------------------------------------------------------------------- */

void answer_template(server *s, exchange *x, const char *body, size_t n)
{
    static const char *const read[] = {"model",
                                       "messages",
                                       "chat_template_kwargs",
                                       "add_generation_prompt",
                                       "continue_final_message",
                                       "reasoning_effort",
                                       "verbosity",
                                       "documents",
                                       NULL};
    http_error e = {0};
    char ignored[REQUEST_IGNORED_BYTES] = "", *prompt = NULL;
    json_t *d = NULL;
    size_t n_prompt = 0;
    int status = request_json(body, n, &d, &e);
    if (!status) status = check_model(&s->rules, d, &e);
    if (!status) ignore_others(d, read, ignored);
    if (!status) status = chat_text(&s->rules, d, &prompt, &n_prompt, ignored, &e);
    if (status) {
        exchange_refuse(x, &e);
    } else {
        exchange_ignored(x, ignored);
        exchange_json(x, 200, json_pack("{s:o}", "prompt", json_stringn(prompt, n_prompt)));
    }
    kvasir_free(prompt);
    json_decref(d);
}
