/* What a request asks for, and whether it may. */
#include "server/job.h"
#include "base/clock.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Each handler answers the exchange, at once or through a job. */
typedef struct route {
    const char *path, *method;
    int is_open; /* needs no key */
    void (*answer)(server *s, exchange *x, const char *body, size_t n);
} route;

/* ---- handlers ----------------------------------------------------------------------------------------- */

static void answer_completion(server *s, exchange *x, int chat, const char *body, size_t n)
{
    http_error e = {0};
    request q = {0};
    int status = s->signals ? http_refuse(&e, 503, "shutting_down", NULL, "the server is stopping")
                            : request_read(&s->rules, chat, body, n, &q, &e);
    if (!status) status = schedule_add(s, x, &q, &e);
    if (status) exchange_refuse(x, &e);
    request_free(&q);
}

static void answer_chat(server *s, exchange *x, const char *body, size_t n)
{
    answer_completion(s, x, 1, body, n);
}

static void answer_plain(server *s, exchange *x, const char *body, size_t n)
{
    answer_completion(s, x, 0, body, n);
}

static void answer_model_list(server *s, exchange *x, const char *body, size_t n)
{
    (void)body;
    (void)n;
    exchange_json(x, 200, answer_models(s));
}

static void answer_health(server *s, exchange *x, const char *body, size_t n)
{
    (void)body;
    (void)n;
    exchange_json(x, s->signals ? 503 : 200, json_pack("{s:s}", "status", s->signals ? "stopping" : "ok"));
}

static void answer_metrics(server *s, exchange *x, const char *body, size_t n)
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

static void answer_tokenize(server *s, exchange *x, const char *body, size_t n)
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

static void answer_detokenize(server *s, exchange *x, const char *body, size_t n)
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

static void answer_template(server *s, exchange *x, const char *body, size_t n)
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

static const route routes[] = {
    {"/v1/chat/completions", "POST", 0, answer_chat}, {"/v1/completions", "POST", 0, answer_plain},
    {"/v1/models", "GET", 0, answer_model_list},      {"/health", "GET", 1, answer_health},
    {"/metrics", "GET", 0, answer_metrics},           {"/tokenize", "POST", 0, answer_tokenize},
    {"/detokenize", "POST", 0, answer_detokenize},    {"/apply-template", "POST", 0, answer_template},
};

/* ---- guards ------------------------------------------------------------------------------------------- */

/* A host name or address with an optional port: is it this computer's own? */
static int is_own_host(const char *host)
{
    static const char *const own[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        size_t n = strlen(own[i]);
        if (strncasecmp(host, own[i], n) == 0 && (host[n] == 0 || host[n] == ':')) return 1;
    }
    return 0;
}

static int is_allowed_origin(const server *s, const char *origin)
{
    const char *host = strncmp(origin, "http://", 7) == 0    ? origin + 7
                       : strncmp(origin, "https://", 8) == 0 ? origin + 8
                                                             : NULL;
    for (int i = 0; i < s->o->n_origins; i++)
        if (strcmp(origin, s->o->origins[i]) == 0) return 1;
    return host && is_own_host(host);
}

/* Refuses a request whose length or host two readers could understand differently. */
static int check_framing(const struct evhttp_request *req, http_error *e)
{
    int n_lengths, n_encodings, n_hosts;
    (void)exchange_header(req, "Content-Length", &n_lengths);
    (void)exchange_header(req, "Transfer-Encoding", &n_encodings);
    (void)exchange_header(req, "Host", &n_hosts);
    if (n_lengths + n_encodings > 1)
        return http_refuse(e, 400, "invalid_request", NULL, "the length of the body is said more than once");
    if (n_hosts != 1) return http_refuse(e, 400, "invalid_request", NULL, "there must be one Host header");
    return 0;
}

/* A web page that a user of this computer has open must not reach the server through a host name of its own (DNS
   rebinding). In no other way may it do so without the user's permission. */
static int check_origin(const server *s, exchange *x, http_error *e)
{
    int n;
    const char *host = exchange_header(x->req, "Host", &n);
    if (s->keys.n == 0 && !is_own_host(host))
        return http_refuse(e, 403, "host_not_allowed", NULL, "this server answers to localhost, not to '%s'",
                           quoted(host, strlen(host)));
    const char *origin = exchange_header(x->req, "Origin", &n);
    if (!origin) return 0;
    if (n > 1 || !is_allowed_origin(s, origin))
        return http_refuse(e, 403, "origin_not_allowed", NULL,
                           "pages of '%s' may not call this server (--allow-origin)", quoted(origin, strlen(origin)));
    exchange_add_header(x, "Access-Control-Allow-Origin", origin);
    exchange_add_header(x, "Vary", "Origin");
    return 0;
}

static int check_key(const server *s, exchange *x, http_error *e)
{
    static const char scheme[] = "Bearer ";
    int n, m;
    if (s->keys.n == 0) return 0;
    const char *bearer = exchange_header(x->req, "Authorization", &n),
               *given = exchange_header(x->req, "x-api-key", &m);
    if (bearer && strncasecmp(bearer, scheme, sizeof scheme - 1) == 0) given = bearer + sizeof scheme - 1;
    x->tenant = given && n <= 1 && m <= 1 ? keys_find(&s->keys, given) : -1;
    if (x->tenant >= 0) return 0;
    return http_refuse(e, 401, "invalid_api_key", NULL, "a key of this server is needed: Authorization: Bearer KEY");
}

/* The route of a path and a method. NULL: *e says why, and *allowed which methods the path has. */
static const route *find_route(const exchange *x, char *allowed, size_t n_allowed, http_error *e)
{
    *allowed = 0;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(routes[i].path, x->path) != 0) continue;
        if (strcmp(routes[i].method, x->method) == 0) return &routes[i];
        (void)snprintf(allowed, n_allowed, "%s, OPTIONS", routes[i].method);
    }
    if (*allowed)
        (void)http_refuse(e, 405, "method_not_allowed", NULL, "%s takes %s, not %s", x->path, allowed, x->method);
    else
        (void)http_refuse(e, 404, "not_found", NULL, "there is nothing at '%s'", quoted(x->path, strlen(x->path)));
    return NULL;
}

static void answer_preflight(exchange *x)
{
    exchange_add_header(x, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
    exchange_add_header(x, "Access-Control-Allow-Headers", "Authorization, Content-Type, x-api-key");
    exchange_add_header(x, "Access-Control-Max-Age", "600");
    exchange_text(x, 204, "text/plain", evbuffer_new());
}

static void answer(server *s, exchange *x, struct evhttp_request *req)
{
    http_error e = {0};
    char allowed[32];
    int status = check_framing(req, &e);
    if (!status) status = check_origin(s, x, &e);
    if (!status && strcmp(x->method, "OPTIONS") == 0) {
        answer_preflight(x);
        return;
    }
    const route *r = status ? NULL : find_route(x, allowed, sizeof allowed, &e);
    if (r && !r->is_open) status = check_key(s, x, &e);
    if (!r && !status && *allowed) exchange_add_header(x, "Allow", allowed);
    if (!r || status) {
        exchange_refuse(x, &e);
        return;
    }
    struct evbuffer *body = evhttp_request_get_input_buffer(req);
    size_t n = evbuffer_get_length(body);
    const char *text = n ? (const char *)evbuffer_pullup(body, -1) : "";
    if (text) {
        r->answer(s, x, text, n);
        return;
    }
    (void)http_refuse_memory(&e);
    exchange_refuse(x, &e);
}

void routes_request(struct evhttp_request *req, void *user)
{
    server *s = user;
    exchange *x = exchange_open(req, &s->owner);
    if (!x) {
        evhttp_send_error(req, HTTP_SERVUNAVAIL, NULL);
        return;
    }
    answer(s, x, req);
}
