/* Which handler answers what: the table of paths, and what comes before a handler. */
#include "server/http/routes.h"
#include "server/endpoints.h"
#include "server/http/guards.h"
#include "server/openai/endpoints.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdio.h>
#include <string.h>

/* Each handler answers the exchange, at once or through a job. */
typedef struct route {
    const char *path, *method;
    int is_open; /* needs no key */
    void (*answer)(server *s, exchange *x, const char *body, size_t n);
} route;

static const route routes[] = {
    {"/v1/chat/completions", "POST", 0, answer_chat},
    {"/v1/completions", "POST", 0, answer_plain},
    {"/v1/models", "GET", 0, answer_model_list},
    {MODELS_PATH, "GET", 0, answer_one_model},
    {"/health", "GET", 1, answer_health},
    {"/metrics", "GET", 0, answer_metrics},
    {"/tokenize", "POST", 0, answer_tokenize},
    {"/detokenize", "POST", 0, answer_detokenize},
    {"/apply-template", "POST", 0, answer_template},
};

/* A path that ends with a slash stands for all that go on behind it. */
static int is_at(const route *r, const char *path)
{
    size_t n = strlen(r->path);
    return r->path[n - 1] == '/' ? strncmp(path, r->path, n) == 0 && path[n] : strcmp(path, r->path) == 0;
}

/* Says what there is instead of a path. */
static void refuse_path(const char *path, http_error *e)
{
    char all[400] = "";
    size_t used = 0;
    for (size_t i = 0; i < sizeof routes / sizeof *routes && used < sizeof all; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s %s%s", i ? ", " : "", routes[i].method,
                                 routes[i].path, is_at(&routes[i], MODELS_PATH "x") ? "NAME" : "");
    (void)http_refuse(e, 404, "not_found", NULL, "there is nothing at '%s'; there is %s", quoted(path, strlen(path)),
                      all);
}

/* The route of a path and a method. NULL: *e says why, and *allowed which methods the path has. */
static const route *find_route(const exchange *x, char *allowed, size_t n_allowed, http_error *e)
{
    *allowed = 0;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        int is_get = strcmp(routes[i].method, "GET") == 0;
        if (!is_at(&routes[i], x->path)) continue;
        if (strcmp(routes[i].method, x->method) == 0 || (is_get && strcmp(x->method, "HEAD") == 0)) return &routes[i];
        (void)snprintf(allowed, n_allowed, is_get ? "%s, HEAD, OPTIONS" : "%s, OPTIONS", routes[i].method);
    }
    if (*allowed)
        (void)http_refuse(e, 405, "method_not_allowed", NULL, "%s takes %s, not %s", quoted(x->path, strlen(x->path)),
                          allowed, x->method);
    else
        refuse_path(x->path, e);
    return NULL;
}

/* Names of headers and what stands between them. */
static int is_header_list(const char *s)
{
    size_t n = strlen(s);
    return n > 0 && n < 2048 &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~, \t") == n;
}

/* Clients add headers of their own (OpenAI's: x-stainless-...), none of which means anything here. A page that may ask
   may send them. */
static void answer_preflight(exchange *x)
{
    int n;
    const char *asked = exchange_header(x->req, "Access-Control-Request-Headers", &n);
    exchange_add_header(x, "Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS");
    exchange_add_header(x, "Access-Control-Allow-Headers",
                        n == 1 && is_header_list(asked) ? asked : "Authorization, Content-Type, x-api-key");
    exchange_add_header(x, "Access-Control-Max-Age", "600");
    exchange_text(x, 204, "text/plain", evbuffer_new());
}

/* About how many values a text of JSON has: each follows one of these. */
static size_t count_values(const char *text, size_t n)
{
    size_t values = 0;
    int in_text = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"')
            in_text = !in_text;
        else if (in_text)
            i += text[i] == '\\';
        else
            values += text[i] == ',' || text[i] == '[' || text[i] == '{';
    }
    return values;
}

/* A value takes 50 times the memory of its two bytes. A prompt of ids needs one for each token. */
static size_t most_values(const server *s)
{
    return (1 << 16) + 4 * (size_t)s->rules.ctx;
}

static void answer(server *s, exchange *x, struct evhttp_request *req)
{
    http_error e = {0};
    char allowed[32];
    int status = check_framing(req, &e);
    if (status) exchange_add_header(x, "Connection", "close"); /* where the next request begins is not certain */
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
    if (text && count_values(text, n) <= most_values(s)) {
        r->answer(s, x, text, n);
        return;
    }
    if (text)
        (void)http_refuse(&e, 413, "body_too_large", NULL,
                          "the body has more than %zu JSON values, which no request for a context of %d tokens needs",
                          most_values(s), s->rules.ctx);
    else
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
