#include "server/http/exchange.h"
#include "base/clock.h"
#include "base/mem.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { WAITING_BYTES = 8 << 20 }; /* that a client may leave unread */

/* ---- headers ------------------------------------------------------------------------------------------ */

const char *exchange_header(const struct evhttp_request *req, const char *name, int *n)
{
    const struct evkeyvalq *all = evhttp_request_get_input_headers((struct evhttp_request *)req);
    const char *value = NULL;
    *n = 0;
    for (const struct evkeyval *h = all->tqh_first; h; h = h->next.tqe_next) {
        if (strcasecmp(h->key, name) != 0) continue;
        if (++*n == 1) value = h->value;
    }
    return value;
}

void exchange_add_header(exchange *x, const char *name, const char *value)
{
    if (x->req) (void)evhttp_add_header(evhttp_request_get_output_headers(x->req), name, value);
}

void exchange_ignored(exchange *x, const char *fields)
{
    (void)snprintf(x->ignored, sizeof x->ignored, "%s", fields);
    if (*fields) exchange_add_header(x, "X-Kvasir-Ignored", fields);
}

/* ---- the client goes away ----------------------------------------------------------------------------- */

static void stop_watching(exchange *x)
{
    if (x->closed) event_free(x->closed);
    x->closed = NULL;
}

static void tell_gone(exchange *x)
{
    stop_watching(x);
    if (x->gone) return;
    x->gone = 1;
    x->owner->on_gone(x->owner->user, x);
}

/* The client has closed the connection while evhttp itself is not reading. */
static void on_closed(evutil_socket_t fd, short what, void *user)
{
    (void)fd;
    (void)what;
    tell_gone(user);
}

/* libevent frees the connection, and with it the request, unless a failed write has separated the two before. */
static void on_connection_freed(struct evhttp_connection *connection, void *user)
{
    exchange *x = user;
    (void)connection;
    if (x->req && evhttp_request_get_connection(x->req)) x->req = NULL;
    tell_gone(x);
}

static const char *method_name(enum evhttp_cmd_type method)
{
    switch (method) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    case EVHTTP_REQ_OPTIONS:
        return "OPTIONS";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    default:
        return "?";
    }
}

exchange *exchange_open(struct evhttp_request *req, const exchange_owner *owner)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(req);
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    exchange *x = mem_alloc(1, sizeof *x);
    char *address = NULL;
    ev_uint16_t port = 0;
    if (!x) return NULL;
    *x = (exchange){.owner = owner, .req = req, .tenant = -1, .arrived = clock_now()};
    (void)snprintf(x->method, sizeof x->method, "%s", method_name(evhttp_request_get_command(req)));
    (void)snprintf(x->path, sizeof x->path, "%s", path ? path : "");
    evhttp_connection_get_peer(connection, &address, &port);
    (void)snprintf(x->peer, sizeof x->peer, "%s", address ? address : "?");
    evutil_socket_t fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
    x->closed = event_new(owner->base, fd, EV_CLOSED, on_closed, x);
    if (!x->closed || event_add(x->closed, NULL) != 0) {
        stop_watching(x);
        mem_free(x);
        return NULL;
    }
    evhttp_connection_set_closecb(connection, on_connection_freed, x);
    return x;
}

/* Called once: all of an answer has gone out, or its connection is lost. */
static void on_sent(struct evhttp_request *req, void *user)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(req);
    if (connection) evhttp_connection_set_closecb(connection, NULL, NULL);
    --*((const exchange_owner *)user)->unsent;
}

static void on_lost(struct evhttp_connection *connection, void *user)
{
    (void)connection;
    --*((const exchange_owner *)user)->unsent;
}

/* From here on only libevent knows of the request; its answer is about to be sent. */
static void hand_over(exchange *x)
{
    stop_watching(x);
    evhttp_connection_set_closecb(evhttp_request_get_connection(x->req), on_lost, (void *)x->owner);
    evhttp_request_set_on_complete_cb(x->req, on_sent, (void *)x->owner);
    ++*x->owner->unsent;
}

static void end(exchange *x)
{
    x->owner->on_end(x->owner->user, x);
    mem_free(x);
}

void exchange_drop(exchange *x)
{
    struct evhttp_connection *connection = x->req ? evhttp_request_get_connection(x->req) : NULL;
    stop_watching(x);
    if (connection) {
        evhttp_connection_set_closecb(connection, NULL, NULL);
        evhttp_connection_free(connection); /* this frees the request, too */
    } else if (x->req) {
        evhttp_request_free(x->req);
    }
    end(x);
}

/* ---- whole answers ------------------------------------------------------------------------------------ */

/* The answer to HEAD says how long the body would be. */
static void leave_body_out(exchange *x, struct evbuffer *text)
{
    char length[24];
    size_t n = text ? evbuffer_get_length(text) : 0;
    (void)snprintf(length, sizeof length, "%zu", n);
    exchange_add_header(x, "Content-Length", length);
    if (text) (void)evbuffer_drain(text, n);
}

void exchange_text(exchange *x, int status, const char *type, struct evbuffer *text)
{
    x->status = text ? status : 500;
    if (!x->req || x->gone) {
        if (text) evbuffer_free(text);
        exchange_drop(x);
        return;
    }
    exchange_add_header(x, "Content-Type", type);
    if (strcmp(x->method, "HEAD") == 0) leave_body_out(x, text);
    hand_over(x);
    evhttp_send_reply(x->req, x->status, NULL, text);
    if (text) evbuffer_free(text);
    end(x);
}

void exchange_json(exchange *x, int status, json_t *body)
{
    char *json = body ? json_dumps(body, JSON_NUMBERS) : NULL;
    struct evbuffer *text = json ? evbuffer_new() : NULL;
    json_decref(body);
    if (text && evbuffer_add_printf(text, "%s\n", json) < 0) {
        evbuffer_free(text);
        text = NULL;
    }
    free(json);
    exchange_text(x, status, "application/json", text);
}

static const char *error_type(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 429:
        return "rate_limit_error";
    default:
        return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

json_t *exchange_error_json(const http_error *e)
{
    return json_pack("{s:{s:s, s:s, s:s?, s:s}}", "error", "message", e->message, "type", error_type(e->status),
                     "param", e->param[0] ? e->param : NULL, "code", e->code);
}

void exchange_refuse(exchange *x, const http_error *e)
{
    if (e->status == 429) exchange_add_header(x, "Retry-After", "1");
    if (e->status == 401) exchange_add_header(x, "WWW-Authenticate", "Bearer");
    exchange_json(x, e->status, exchange_error_json(e));
}

/* ---- streams ------------------------------------------------------------------------------------------ */

void exchange_stream_begin(exchange *x)
{
    x->streaming = 1;
    x->status = 200;
    if (!x->req || x->gone) return;
    exchange_add_header(x, "Content-Type", "text/event-stream");
    exchange_add_header(x, "Cache-Control", "no-cache");
    exchange_add_header(x, "X-Accel-Buffering", "no"); /* without it nginx would wait for more */
    evhttp_send_reply_start(x->req, 200, NULL);
}

static void send_piece(exchange *x, const char *before, const char *text, const char *after)
{
    struct evbuffer *piece = x->req && !x->gone ? evbuffer_new() : NULL;
    if (!piece) return;
    if (evbuffer_add_printf(piece, "%s%s%s", before, text, after) >= 0) evhttp_send_reply_chunk(x->req, piece);
    evbuffer_free(piece);
    struct evhttp_connection *connection = x->req ? evhttp_request_get_connection(x->req) : NULL;
    if (!connection) return;
    struct evbuffer *waiting = bufferevent_get_output(evhttp_connection_get_bufferevent(connection));
    if (evbuffer_get_length(waiting) > WAITING_BYTES) tell_gone(x);
}

void exchange_stream_event(exchange *x, json_t *data)
{
    char *json = data ? json_dumps(data, JSON_NUMBERS) : NULL;
    if (json || !data) send_piece(x, "data: ", json ? json : "[DONE]", "\n\n");
    free(json);
    json_decref(data);
}

void exchange_stream_comment(exchange *x, const char *text)
{
    send_piece(x, ": ", text, "\n\n");
}

void exchange_stream_end(exchange *x)
{
    if (!x->req || x->gone) {
        exchange_drop(x);
        return;
    }
    hand_over(x);
    evhttp_send_reply_end(x->req);
    end(x);
}
