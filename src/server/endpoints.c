#include "server/endpoints.h"
#include "server/openai/read.h"
#include "server/request/fields.h"
#include "server/schedule/kept.h"
#include "base/clock.h"

#include <event2/buffer.h>
#include <stdlib.h>

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

void answer_tokenize(server *s, exchange *x, const char *body, size_t n)
{
    http_error e = {0};
    json_t *d = NULL;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    int add_special = 0, parse_special = 1, status = request_json(body, n, &d, &e);
    const json_t *content = json_object_get(d, "content");
    if (!status && !json_is_string(content))
        status = http_refuse(&e, 400, "invalid_value", "content", "content must be a text");
    if (!status) status = request_flag(d, "add_special", &add_special, &e);
    if (!status) status = request_flag(d, "parse_special", &parse_special, &e);
    if (!status && kvasir_tokenize(s->o->model, json_string_value(content), json_string_length(content), add_special,
                                   parse_special, &ids, &n_ids) != KVASIR_OK)
        status = http_refuse(&e, 500, "internal", NULL, "%s", kvasir_message());
    if (status) {
        exchange_refuse(x, &e);
    } else {
        json_t *list = json_array();
        for (size_t i = 0; i < n_ids; i++) (void)json_array_append_new(list, json_integer(ids[i]));
        exchange_json(x, 200, json_pack("{s:o}", "tokens", list));
    }
    kvasir_free(ids);
    json_decref(d);
}

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
        json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value > INT32_MAX) value = -1; /* which the library then refuses */
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
    http_error e = {0};
    json_t *d = NULL, *text = NULL;
    int status = request_json(body, n, &d, &e);
    const json_t *list = json_object_get(d, "tokens");
    if (!status && !json_is_array(list))
        status = http_refuse(&e, 400, "invalid_value", "tokens", "tokens must be an array of token ids");
    if (!status) text = text_of(s, list, &e);
    if (text)
        exchange_json(x, 200, json_pack("{s:o}", "content", text));
    else
        exchange_refuse(x, &e);
    json_decref(d);
}

void answer_template(server *s, exchange *x, const char *body, size_t n)
{
    http_error e = {0};
    json_t *d = NULL;
    char *prompt = NULL;
    size_t n_prompt = 0;
    int status = request_json(body, n, &d, &e);
    json_t *conversation = status ? NULL : request_conversation(d, &e);
    char *json = conversation ? json_dumps(conversation, JSON_COMPACT) : NULL;
    if (!status && !conversation) status = e.status;
    if (!status && !json) status = http_refuse_memory(&e);
    if (!status && kvasir_template_render(s->o->model, s->o->template_text, json, 0, &prompt, &n_prompt) != KVASIR_OK)
        status = http_refuse(&e, 400, "invalid_value", "messages", "%s", kvasir_message());
    if (status)
        exchange_refuse(x, &e);
    else
        exchange_json(x, 200, json_pack("{s:o}", "prompt", json_stringn(prompt, n_prompt)));
    kvasir_free(prompt);
    free(json);
    json_decref(conversation);
    json_decref(d);
}
