/* OpenAI's requests for completions, read into what is to be computed. */
#include "server/openai/read.h"
#include "server/request/fields.h"
#include "base/mem.h"

#include <string.h>

/* ---- what is not supported ---------------------------------------------------------------------------- */

static int refuse_unsupported(http_error *e, const char *param)
{
    return http_refuse(e, 400, "unsupported", param, "%s is not supported by this version", param);
}

static int check_choices(const json_t *d, http_error *e)
{
    static const char *const counts[] = {"n", "best_of"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        json_int_t n = 1;
        int status = take_int(d, counts[i], 1, 128, &n, e);
        if (status) return status;
        if (n != 1) return refuse_unsupported(e, counts[i]);
    }
    return 0;
}

/* A request that asks for something that we cannot do must not get an answer that looks as if we had done it. */
static int check_supported(const json_t *d, http_error *e)
{
    static const char *const lists[] = {"tools", "functions"};
    const json_t *format = field(d, "response_format"), *value;
    const char *type = json_string_value(json_object_get(format, "type"));
    if (format && !(type && strcmp(type, "text") == 0)) return refuse_unsupported(e, "response_format");
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        value = field(d, lists[i]);
        if (value && !(json_is_array(value) && json_array_size(value) == 0)) return refuse_unsupported(e, lists[i]);
    }
    value = field(d, "tool_choice");
    const char *choice = json_string_value(value);
    if (value && !(choice && (strcmp(choice, "none") == 0 || strcmp(choice, "auto") == 0)))
        return refuse_unsupported(e, "tool_choice");
    value = field(d, "logprobs");
    if (value && !json_is_false(value)) return refuse_unsupported(e, "logprobs");
    value = field(d, "top_logprobs");
    if (value && !(json_is_integer(value) && json_integer_value(value) == 0))
        return refuse_unsupported(e, "top_logprobs");
    value = field(d, "echo");
    if (value && !json_is_false(value)) return refuse_unsupported(e, "echo");
    value = field(d, "suffix");
    if (value && !(json_is_string(value) && json_string_length(value) == 0)) return refuse_unsupported(e, "suffix");
    return check_choices(d, e);
}

/* ---- limits ------------------------------------------------------------------------------------------- */

static int add_stop(const json_t *value, request *q, http_error *e)
{
    if (!json_is_string(value) || json_string_length(value) == 0 || q->n_stop == REQUEST_MAX_STOPS)
        return refuse_value(e, "stop", "a text or at most 16 of them, none of them empty");
    q->stop[q->n_stop] = mem_text(json_string_value(value), json_string_length(value));
    return q->stop[q->n_stop++] ? 0 : http_refuse_memory(e);
}

static int read_stop(const json_t *d, request *q, http_error *e)
{
    const json_t *stop = field(d, "stop"), *one;
    size_t i;
    if (!stop) return 0;
    if (!json_is_array(stop)) return add_stop(stop, q, e);
    json_array_foreach(stop, i, one)
    {
        int status = add_stop(one, q, e);
        if (status) return status;
    }
    return 0;
}

static int read_limits(const request_rules *r, const json_t *d, request *q, http_error *e)
{
    json_int_t most = r->max_tokens;
    const json_t *options = field(d, "stream_options");
    const char *key;
    json_t *value;
    int status = take_int(d, "max_tokens", 1, INT32_MAX, &most, e);
    if (!status) status = take_int(d, "max_completion_tokens", 1, INT32_MAX, &most, e);
    if (!status) status = request_flag(d, "stream", &q->stream, e);
    if (status) return status;
    q->max_tokens = (int)most;
    if (options && !json_is_object(options)) return refuse_value(e, "stream_options", "an object");
    json_object_foreach((json_t *)options, key, value)
    {
        if (strcmp(key, "include_usage") != 0 && !json_is_null(value)) return refuse_unsupported(e, "stream_options");
    }
    if (options && request_flag(options, "include_usage", &q->include_usage, e))
        return refuse_value(e, "stream_options", "an object whose include_usage is true or false");
    return read_stop(d, q, e);
}

static int check_model(const request_rules *r, const json_t *d, http_error *e)
{
    const json_t *name = field(d, "model");
    if (name && !json_is_string(name)) return refuse_value(e, "model", "a text");
    if (!name || strcmp(json_string_value(name), r->name) == 0) return 0;
    return http_refuse(e, 404, "model_not_found", "model", "there is no model '%s'; this server has '%s'",
                       quoted(json_string_value(name), json_string_length(name)), r->name);
}

static int read_all(const request_rules *r, const json_t *d, request *q, http_error *e)
{
    int status = check_model(r, d, e);
    if (!status) status = check_supported(d, e);
    if (!status) status = read_limits(r, d, q, e);
    if (!status) status = read_sampling(r, d, q, e);
    if (!status) status = q->chat ? chat_ids(r, d, q, e) : plain_ids(r, d, q, e);
    const char *param = q->chat ? "messages" : "prompt";
    if (!status && q->n_ids == 0) status = http_refuse(e, 400, "invalid_value", param, "the prompt is empty");
    if (!status && q->n_ids > (size_t)r->ctx)
        status = http_refuse(e, 400, "context_length_exceeded", param,
                             "the prompt has %zu tokens and the context holds %d; nothing was cut", q->n_ids, r->ctx);
    return status;
}

int request_read(const request_rules *r, int chat, const char *body, size_t n, request *out, http_error *e)
{
    json_t *d = NULL;
    *out = (request){.chat = chat};
    *e = (http_error){0};
    int status = request_json(body, n, &d, e);
    if (!status) status = read_all(r, d, out, e);
    json_decref(d);
    return status;
}
