#include "server/request.h"
#include "base/mem.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int http_refuse(http_error *e, int status, const char *code, const char *param, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    e->status = status;
    e->code = code;
    (void)snprintf(e->param, sizeof e->param, "%s", param ? param : "");
    (void)vsnprintf(e->message, sizeof e->message, format, args);
    va_end(args);
    return status;
}

static int refuse_value(http_error *e, const char *param, const char *wants)
{
    return http_refuse(e, 400, "invalid_value", param, "%s must be %s", param, wants);
}

int http_refuse_memory(http_error *e)
{
    return http_refuse(e, 503, "out_of_memory", NULL, "out of memory");
}

/* ---- fields ------------------------------------------------------------------------------------------- */

/* A field, or NULL where it is absent or null, which means the same. */
static const json_t *field(const json_t *d, const char *name)
{
    const json_t *value = json_object_get(d, name);
    return json_is_null(value) ? NULL : value;
}

static int take_number(const json_t *d, const char *name, double min, double max, double *to, http_error *e)
{
    const json_t *value = field(d, name);
    if (!value) return 0;
    double x = json_number_value(value);
    if (json_is_number(value) && x >= min && x <= max) {
        *to = x;
        return 0;
    }
    char wants[80];
    (void)snprintf(wants, sizeof wants, "a number from %g to %g", min, max);
    return refuse_value(e, name, wants);
}

static int take_float(const json_t *d, const char *name, double min, double max, float *to, http_error *e)
{
    double x = (double)*to;
    int status = take_number(d, name, min, max, &x, e);
    *to = (float)x;
    return status;
}

static int take_int(const json_t *d, const char *name, json_int_t min, json_int_t max, json_int_t *to, http_error *e)
{
    const json_t *value = field(d, name);
    if (!value) return 0;
    if (json_is_integer(value) && json_integer_value(value) >= min && json_integer_value(value) <= max) {
        *to = json_integer_value(value);
        return 0;
    }
    char wants[80];
    (void)snprintf(wants, sizeof wants, "a whole number from %lld to %lld", (long long)min, (long long)max);
    return refuse_value(e, name, wants);
}

int request_flag(const json_t *d, const char *name, int *to, http_error *e)
{
    const json_t *value = field(d, name);
    if (!value) return 0;
    if (!json_is_boolean(value)) return refuse_value(e, name, "true or false");
    *to = json_is_true(value);
    return 0;
}

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

/* ---- sampling ----------------------------------------------------------------------------------------- */

/* As on the command line: a share of 1 keeps everything, which the library calls 0; a share of 0 keeps only
   the best token. */
static int take_share(const json_t *d, const char *name, float *to, http_error *e)
{
    double p = -1;
    int status = take_number(d, name, 0, 1, &p, e);
    if (p >= 0) *to = p >= 1 ? 0 : p > 0 ? (float)p : FLT_MIN;
    return status;
}

static int read_bias(const json_t *d, int n_vocab, request *q, http_error *e)
{
    const json_t *map = field(d, "logit_bias");
    const char *key;
    json_t *value;
    int n = 0;
    if (!map) return 0;
    if (!json_is_object(map) || json_object_size(map) > REQUEST_MAX_BIAS)
        return refuse_value(e, "logit_bias", "an object of token ids and numbers");
    q->bias = mem_alloc(json_object_size(map) + 1, sizeof *q->bias);
    if (!q->bias) return http_refuse_memory(e);
    json_object_foreach((json_t *)map, key, value)
    {
        char *end = NULL;
        long id = strtol(key, &end, 10);
        double x = json_number_value(value);
        if (end == key || *end || id < 0 || id >= n_vocab || !json_is_number(value) || !(x >= -100 && x <= 100))
            return refuse_value(e, "logit_bias", "an object of token ids and numbers from -100 to 100");
        q->bias[n++] = (kvasir_logit_bias){(int32_t)id, (float)x};
    }
    if (n > 0) {
        q->sampling.bias = q->bias;
        q->sampling.n_bias = n;
    }
    return 0;
}

static int read_seed(const request_rules *r, const json_t *d, request *q, http_error *e)
{
    json_int_t seed = 0;
    if (field(d, "seed")) {
        int status = take_int(d, "seed", INT64_MIN, INT64_MAX, &seed, e);
        q->sampling.seed = (uint64_t)seed;
        return status;
    }
    if (!r->has_seed && getrandom(&q->sampling.seed, sizeof q->sampling.seed, 0) != (ssize_t)sizeof q->sampling.seed)
        return http_refuse(e, 500, "internal", NULL, "the system has no random numbers");
    return 0;
}

static int read_sampling(const request_rules *r, const json_t *d, request *q, http_error *e)
{
    kvasir_sampler_options *o = &q->sampling;
    json_int_t top_k = r->sampling->top_k;
    *o = *r->sampling;
    int status = take_float(d, "temperature", 0, 100, &o->temperature, e);
    if (!status) status = take_int(d, "top_k", -1, 1 << 30, &top_k, e);
    o->top_k = top_k > 0 ? (int)top_k : 0;
    if (!status) status = take_share(d, "top_p", &o->top_p, e);
    if (!status) status = take_float(d, "min_p", 0, 1, &o->min_p, e);
    if (!status) status = take_float(d, "repeat_penalty", 0, 100, &o->repeat_penalty, e);
    if (!status) status = take_float(d, "frequency_penalty", -2, 2, &o->frequency_penalty, e);
    if (!status) status = take_float(d, "presence_penalty", -2, 2, &o->presence_penalty, e);
    if (!status) status = read_bias(d, kvasir_model_get_info(r->model)->n_vocab, q, e);
    return status ? status : read_seed(r, d, q, e);
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

/* ---- prompts ------------------------------------------------------------------------------------------ */

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

static int chat_ids(const request_rules *r, const json_t *d, request *q, http_error *e)
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

static int plain_ids(const request_rules *r, const json_t *d, request *q, http_error *e)
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

int request_json(const char *body, size_t n, json_t **out, http_error *e)
{
    json_error_t error;
    *out = json_loadb(body, n, JSON_REJECT_DUPLICATES, &error);
    if (!*out)
        return http_refuse(e, 400, "invalid_json", NULL, "the body is no JSON: %s, line %d, column %d",
                           quoted(error.text, strlen(error.text)), error.line, error.column);
    if (json_is_object(*out)) return 0;
    json_decref(*out);
    *out = NULL;
    return http_refuse(e, 400, "invalid_json", NULL, "the body must be a JSON object");
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

void request_free(request *q)
{
    kvasir_free(q->ids);
    for (int i = 0; i < q->n_stop; i++) mem_free(q->stop[i]);
    mem_free(q->bias);
    *q = (request){0};
}
