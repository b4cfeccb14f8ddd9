#include "server/http/guards.h"

#include <event2/http.h>
#include <event2/http_struct.h>
#include <string.h>
#include <strings.h>

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

/* Load balancers ask for the health in HTTP/1.0, which needs no Host. Browsers always send one, so no page gets there. */
static int is_old_check(const struct evhttp_request *req)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    return req->major == 1 && req->minor == 0 && path && strcmp(path, "/health") == 0;
}

/* libevent reads a body only with these methods. */
static int has_body(const struct evhttp_request *req)
{
    enum evhttp_cmd_type method = evhttp_request_get_command(req);
    return method == EVHTTP_REQ_POST || method == EVHTTP_REQ_PUT || method == EVHTTP_REQ_PATCH;
}

int check_framing(const struct evhttp_request *req, http_error *e)
{
    int n_lengths, n_encodings, n_hosts;
    const char *length = exchange_header(req, "Content-Length", &n_lengths),
               *encoding = exchange_header(req, "Transfer-Encoding", &n_encodings);
    (void)exchange_header(req, "Host", &n_hosts);
    if (n_lengths + n_encodings > 1)
        return http_refuse(e, 400, "invalid_request", NULL, "the length of the body is said more than once");
    if (encoding && strcasecmp(encoding, "chunked") != 0)
        return http_refuse(e, 400, "invalid_request", NULL, "Transfer-Encoding may only be chunked, not '%s'",
                           quoted(encoding, strlen(encoding)));
    if (length && length[strspn(length, "0123456789")])
        return http_refuse(e, 400, "invalid_request", NULL, "Content-Length must be a number, not '%s'",
                           quoted(length, strlen(length)));
    if (!has_body(req) && (encoding || (length && length[strspn(length, "0")])))
        return http_refuse(e, 400, "invalid_request", NULL, "a request of this method has no body");
    if (n_hosts == 0 && is_old_check(req)) return 0;
    if (n_hosts != 1) return http_refuse(e, 400, "invalid_request", NULL, "there must be one Host header");
    return 0;
}

int check_origin(const server *s, exchange *x, http_error *e)
{
    int n;
    const char *host = exchange_header(x->req, "Host", &n);
    if (s->keys.n == 0 && host && !is_own_host(host)) /* without one: see check_framing */
        return http_refuse(e, 403, "host_not_allowed", NULL, "this server answers to localhost, not to '%s'",
                           quoted(host, strlen(host)));
    const char *origin = exchange_header(x->req, "Origin", &n);
    if (!origin) return 0;
    if (n > 1 || !is_allowed_origin(s, origin))
        return http_refuse(e, 403, "origin_not_allowed", NULL,
                           "pages of '%s' may not call this server (--allow-origin)", quoted(origin, strlen(origin)));
    exchange_add_header(x, "Access-Control-Allow-Origin", origin);
    exchange_add_header(x, "Access-Control-Expose-Headers", "X-Kvasir-Ignored, Retry-After");
    exchange_add_header(x, "Vary", "Origin");
    return 0;
}

int check_key(const server *s, exchange *x, http_error *e)
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
