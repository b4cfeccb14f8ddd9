#include "server/http/pages.h"
#include "server/http/exchange.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libevent 2.1 has no call for its own pages. They are short, all end in the same way, and nothing else that the server
   sends does. */
static const char page_end[] = "</BODY></HTML>\n";
enum { PAGE_END = sizeof page_end - 1, PAGE_MOST = 512 };

static void explain(int status, http_error *e)
{
    switch (status) {
    case 413:
        (void)http_refuse(e, status, "body_too_large", NULL, "the body has more bytes than this server takes");
        break;
    case 417:
        (void)http_refuse(e, status, "invalid_request", NULL, "Expect may only be 100-continue");
        break;
    case 501:
        (void)http_refuse(e, status, "method_not_implemented", NULL, "this server does not know the method");
        break;
    case 503:
        (void)http_refuse_memory(e);
        break;
    default:
        if (status >= 500)
            (void)http_refuse(e, status, "internal", NULL, "the request could not be answered");
        else
            (void)http_refuse(
                e, status, "invalid_request", NULL,
                "this is no request of HTTP/1.1: its first line, a header or the length of its body is wrong");
    }
}

/* The last bytes of the buffer; returns how many there are. */
static size_t copy_tail(struct evbuffer *buffer, char to[PAGE_MOST + 1])
{
    size_t all = evbuffer_get_length(buffer), n = all < PAGE_MOST ? all : PAGE_MOST;
    struct evbuffer_ptr at;
    if (evbuffer_ptr_set(buffer, &at, all - n, EVBUFFER_PTR_SET) != 0) return 0;
    ev_ssize_t got = evbuffer_copyout_from(buffer, &at, to, n);
    to[got > 0 ? got : 0] = 0;
    return got > 0 ? (size_t)got : 0;
}

static const char *last_status_line(const char *text)
{
    const char *found = NULL;
    for (const char *at = text; (at = strstr(at, "HTTP/1.")) != NULL; at++) found = at;
    return found;
}

static void write_json(struct evbuffer *to, int status, const char *reason, const char *json)
{
    (void)evbuffer_add_printf(to,
                              "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
                              "Content-Length: %zu\r\n\r\n%s\n",
                              status, reason, strlen(json) + 1, json);
}

/* Puts JSON in the place of the page at the end of the buffer. */
static void replace_page(struct evbuffer *buffer)
{
    char tail[PAGE_MOST + 1], reason[64];
    int status = 0;
    size_t n = copy_tail(buffer, tail);
    if (n < PAGE_END || memcmp(tail + n - PAGE_END, page_end, PAGE_END) != 0) return;
    const char *line = last_status_line(tail);
    if (!line || sscanf(line, "HTTP/1.%*d %d %63[^\r\n]", &status, reason) != 2) return;
    http_error e = {0};
    explain(status, &e);
    json_t *d = exchange_error_json(&e);
    char *json = d ? json_dumps(d, JSON_NUMBERS) : NULL;
    struct evbuffer *before = json ? evbuffer_new() : NULL;
    if (before) {
        size_t page = n - (size_t)(line - tail);
        (void)evbuffer_remove_buffer(buffer, before, evbuffer_get_length(buffer) - page);
        (void)evbuffer_drain(buffer, page);
        (void)evbuffer_add_buffer(buffer, before);
        write_json(buffer, status, reason, json);
        evbuffer_free(before);
    }
    free(json);
    json_decref(d);
}

/* Called for all that is put into the output buffer, which only sends it later. */
static void on_output(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *user)
{
    (void)user;
    if (info->n_added < PAGE_END) return;
    (void)evbuffer_unfreeze(buffer, 1); /* a bufferevent lets nobody else read or take from its front */
    replace_page(buffer);
    (void)evbuffer_freeze(buffer, 1);
}

struct bufferevent *pages_bufferevent(struct event_base *base)
{
    struct bufferevent *b = bufferevent_socket_new(base, -1, 0);
    if (b && !evbuffer_add_cb(bufferevent_get_output(b), on_output, NULL)) {
        bufferevent_free(b);
        return NULL;
    }
    return b;
}
