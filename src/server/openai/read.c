/* OpenAI's requests for completions, read into what is to be computed. */
#include "server/openai/read.h"
#include "server/request/fields.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* ---- limits ------------------------------------------------------------------------------------------- */

/* A text of nothing stops nothing, as with peers. */
static int add_stop(const json_t *value, request *q, http_error *e)
{
    if (is_text(value, "")) return 0;
    if (!json_is_string(value) || q->n_stop == REQUEST_MAX_STOPS ||
        memchr(json_string_value(value), 0, json_string_length(value)))
        return refuse_value(e, "stop", "a text or at most 16 of them, none of them with a NUL");
    q->stop[q->n_stop] = mem_text(json_string_value(value), json_string_length(value));
    return q->stop[q->n_stop++] ? 0 : http_refuse_memory(e);
}

static int read_stop(const json_t *d, request *q, http_error *e)
{
    const json_t *stop = field(d, "stop"), *one;
    size_t i, bytes = 0;
    int status = 0;
    if (!stop) return 0;
    if (!json_is_array(stop)) status = add_stop(stop, q, e);
    json_array_foreach(stop, i, one) if (!status) status = add_stop(one, q, e);
    for (int k = 0; k < q->n_stop && q->stop[k]; k++) bytes += strlen(q->stop[k]);
    if (!status && bytes > REQUEST_MAX_STOP_BYTES)
        status =
            http_refuse(e, 400, "invalid_value", "stop", "the stop texts have %zu bytes together, and %d are allowed",
                        bytes, REQUEST_MAX_STOP_BYTES);
    return status;
}

/* Three names of one limit. As with llama.cpp's server, -1 names none and 0 reads the prompt alone. */
static int read_most(const request_rules *r, const json_t *d, request *q, http_error *e)
{
    static const char *const names[] = {"max_tokens", "max_completion_tokens", "n_predict"};
    const char *first = NULL;
    json_int_t most = -1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_int_t value = most;
        int status = take_int(d, names[i], -1, INT32_MAX, &value, e);
        if (status) return status;
        if (!field(d, names[i])) continue;
        if (first && value != most)
            return http_refuse(e, 400, "invalid_value", names[i],
                               "%s and %s both name the limit and are not the same: leave one out", first, names[i]);
        first = names[i];
        most = value;
    }
    q->max_tokens = most >= 0 ? (int)most : r->max_tokens > 0 ? r->max_tokens : -1;
    return 0;
}

static int read_least(const json_t *d, request *q, http_error *e)
{
    json_int_t least = 0;
    int never = 0, status = take_int(d, "min_tokens", 0, INT32_MAX, &least, e);
    if (!status) status = request_flag(d, "ignore_eos", &never, e);
    q->min_tokens = never ? INT32_MAX : (int)least;
    return status;
}

static int read_stream(const json_t *d, request *q, http_error *e)
{
    const json_t *options = field(d, "stream_options");
    const char *key;
    json_t *value;
    int status = request_flag(d, "stream", &q->stream, e);
    if (status) return status;
    if (options && !json_is_object(options)) return refuse_value(e, "stream_options", "an object");
    if (options && request_flag(options, "include_usage", &q->include_usage, e))
        return refuse_value(e, "stream_options", "an object whose include_usage is true or false");
    json_object_foreach((json_t *)options, key, value)
    {
        if (strcmp(key, "include_usage") != 0 && !json_is_null(value) && !json_is_false(value))
            ignore_field(q->ignored, "stream_options", key);
    }
    return 0;
}

static int read_limits(const request_rules *r, const json_t *d, request *q, http_error *e)
{
    int hide = 1, status = read_most(r, d, q, e);
    if (!status) status = read_least(d, q, e);
    if (!status) status = read_stream(d, q, e);
    if (!status) status = request_flag(d, "skip_special_tokens", &hide, e);
    q->show_special = !hide;
    return status ? status : read_stop(d, q, e);
}

/* ---- the model ---------------------------------------------------------------------------------------- */

const char *own_name(const request_rules *r, const char *name, size_t n)
{
    for (int i = -1; i < r->n_names; i++) {
        const char *own = i < 0 ? r->name : r->names[i];
        if (strlen(own) == n && memcmp(own, name, n) == 0) return own;
    }
    return r->any_name ? r->name : NULL;
}

int refuse_model(const request_rules *r, const char *name, size_t n, http_error *e)
{
    char own[320];
    size_t used = (size_t)snprintf(own, sizeof own, "'%.200s'", r->name);
    for (int i = 0; i < r->n_names && used < sizeof own; i++)
        used += (size_t)snprintf(own + used, sizeof own - used, ", '%s'", r->names[i]);
    return http_refuse(e, 404, "model_not_found", "model",
                       "there is no model '%s'; this server has %s (GET /v1/models lists it)", quoted(name, n), own);
}

int check_model(const request_rules *r, const json_t *d, http_error *e)
{
    const json_t *name = field(d, "model");
    if (name && !json_is_string(name)) return refuse_value(e, "model", "a text");
    if (!name || own_name(r, json_string_value(name), json_string_length(name))) return 0;
    return refuse_model(r, json_string_value(name), json_string_length(name), e);
}

/* ---- all of it ---------------------------------------------------------------------------------------- */

static int read_all(const request_rules *r, const json_t *d, request *q, http_error *e)
{
    int status = check_model(r, d, e);
    if (!status) status = check_supported(d, q, e);
    if (!status) status = read_limits(r, d, q, e);
    if (!status) status = read_sampling(r, d, q, e);
    if (!status) status = q->chat ? chat_ids(r, d, q, e) : plain_ids(r, d, q, e);
    const char *param = q->chat ? "messages" : "prompt";
    if (!status && q->n_ids == 0) status = http_refuse(e, 400, "invalid_value", param, "the prompt is empty");
    if (!status && q->n_ids > (size_t)r->ctx)
        status = http_refuse(
            e, 400, "context_length_exceeded", param,
            "the prompt is too long: it has %zu tokens, and this model's maximum context length is %d tokens "
            "(--ctx); nothing was cut or computed",
            q->n_ids, r->ctx);
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
