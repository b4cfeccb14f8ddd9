/* One request on its connection: who asks, what is answered. The client may be gone at any time. */
#ifndef KVASIR_SERVER_HTTP_EXCHANGE_H
#define KVASIR_SERVER_HTTP_EXCHANGE_H

#include "server/http/error.h"
#include "server/request/fields.h"
#include <jansson.h>

struct evhttp_request;
struct evhttp_connection;
struct event;
struct event_base;
struct evbuffer;

enum { JSON_NUMBERS = JSON_COMPACT | JSON_REAL_PRECISION(9) }; /* how JSON is written: no meaningless digits */

typedef struct exchange exchange;

/* What the exchange tells its owner, each at most once: that the client is gone (on_gone), and that everything has been
   said and the exchange is about to be freed (on_end). */
typedef struct exchange_owner {
    void (*on_gone)(void *user, exchange *x);
    void (*on_end)(void *user, const exchange *x);
    void *user;
    struct event_base *base;
    int *unsent; /* answers that are not completely sent yet */
} exchange_owner;

struct exchange {
    const exchange_owner *owner;
    struct evhttp_request *req; /* NULL: freed with its connection */
    struct event *closed;
    int streaming, status, gone;
    int tenant; /* the place of the client's key, -1: no key is needed */
    double arrived;
    char method[16], path[512], peer[64];
    int prompt_tokens, cached_tokens, generated_tokens;
    char ignored[REQUEST_IGNORED_BYTES]; /* fields without effect, for the log */
};

/* Watches from now on whether the client goes away. NULL when out of memory. */
exchange *exchange_open(struct evhttp_request *req, const exchange_owner *owner);

/* Each of these ends the exchange and frees x. A body of NULL stands for out of memory. */
void exchange_json(exchange *x, int status, json_t *body);
void exchange_text(exchange *x, int status, const char *type, struct evbuffer *text); /* frees the text */
void exchange_refuse(exchange *x, const http_error *e);
void exchange_drop(exchange *x); /* without an answer: the connection is closed */

/* A stream of events that the client reads as they come: begin, any number of events and comments, end. The bytes that
   a client leaves unread are limited; beyond the limit it counts as gone. */
void exchange_stream_begin(exchange *x);
void exchange_stream_event(exchange *x, json_t *data); /* takes the reference; NULL: "[DONE]" */
void exchange_stream_comment(exchange *x, const char *text);
void exchange_stream_end(exchange *x); /* ends and frees x */

/* {"error": {...}} */
json_t *exchange_error_json(const http_error *e);

/* The value of a request's header, NULL: it has none. *n: how often the header is there. */
const char *exchange_header(const struct evhttp_request *req, const char *name, int *n);
void exchange_add_header(exchange *x, const char *name, const char *value); /* to the answer, before it begins */
/* Names the fields of the request that had no effect, in the answer's headers and for the log. "": there are none. */
void exchange_ignored(exchange *x, const char *fields);

#endif
