/* The server's one thread: what clients send, a step of the engine, what clients get, and again. */
#include "server/server.h"
#include "server/http/memory.h"
#include "server/http/pages.h"
#include "server/http/routes.h"
#include "server/schedule/schedule.h"
#include "base/clock.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
    HEADER_BYTES = 32 << 10,
    BODY_BYTES = 64 << 20,
    IDLE_S = 120,           /* for a connection without a request, or whose client does not take its answer */
    CONNECTIONS_MOST = 512, /* a few more are possible: they are counted only now and then */
    COUNT_AFTER = 16,
    FILES_SPARED = 2 * COUNT_AFTER,
    FLUSH_MS = 5000 /* when the server stops, buffers are still written for this long */
};

int server_is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, host, &four) == 1) return ntohl(four.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &six) == 1 ? IN6_IS_ADDR_LOOPBACK(&six) : -1;
}

static void say(const server *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const server *s, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    s->o->on_note(s->o->user, text);
}

/* ---- exchanges ---------------------------------------------------------------------------------------- */

static void on_gone(void *user, exchange *x)
{
    server *s = user;
    (void)x;
    s->metrics.disconnects++;
}

static void log_access(const server *s, const exchange *x, int status)
{
    char date[32];
    time_t now = time(NULL);
    struct tm tm;
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:f, s:i, s:i, s:i, s:s}", "time", date, "peer", x->peer, "method",
                  x->method, "path", quoted(x->path, strlen(x->path)), "status", status, "key", x->tenant, "ms",
                  1000 * (clock_now() - x->arrived), "prompt_tokens", x->prompt_tokens, "cached_tokens",
                  x->cached_tokens, "generated_tokens", x->generated_tokens, "ignored", x->ignored);
    char *text = line ? json_dumps(line, JSON_NUMBERS) : NULL;
    if (text) s->o->on_access(s->o->user, text);
    free(text);
    json_decref(line);
}

static void on_end(void *user, const exchange *x)
{
    enum { CLIENT_GONE = 499 }; /* nginx's number for it */
    server *s = user;
    int status = x->gone || !x->status ? CLIENT_GONE : x->status;
    metrics_request(&s->metrics, status);
    if (s->o->on_access) log_access(s, x, status);
}

/* ---- connections -------------------------------------------------------------------------------------- */

/* The open files of the process: all but a few of its own are connections. evhttp only tells of new connections. */
static int open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    if (!d) return 0;
    while (readdir(d)) n++;
    (void)closedir(d);
    return n;
}

/* Some files are left for the key file and the model. */
static int most_files(void)
{
    struct rlimit limit;
    int most = CONNECTIONS_MOST;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < (rlim_t)(most + FILES_SPARED))
        most = limit.rlim_cur > 2 * FILES_SPARED ? (int)limit.rlim_cur - FILES_SPARED : (int)limit.rlim_cur / 2;
    return most;
}

/* Connections beyond what can be had wait in the system's queue. The listener pauses, since one that goes on would find
   them again and again. */
static void on_accept_failed(struct evconnlistener *listener, void *user)
{
    (void)user;
    (void)evconnlistener_disable(listener); /* until the next second */
}

static void limit_connections(server *s)
{
    struct evconnlistener *listener = evhttp_bound_socket_get_listener(s->socket);
    s->n_seen = 0;
    if (open_files() >= most_files())
        (void)evconnlistener_disable(listener);
    else
        (void)evconnlistener_enable(listener);
}

static struct bufferevent *on_connection(struct event_base *base, void *user)
{
    server *s = user;
    if (++s->n_seen >= COUNT_AFTER) limit_connections(s);
    return pages_bufferevent(base); /* NULL: evhttp makes one itself */
}

/* ---- signals and time --------------------------------------------------------------------------------- */

static void on_signal(evutil_socket_t number, short what, void *user)
{
    server *s = user;
    (void)what;
    if (number == SIGHUP) {
        kvasir_status status = s->o->key_file ? keys_read(&s->keys, s->o->key_file) : KVASIR_OK;
        if (status != KVASIR_OK)
            say(s, "%s; the keys stay as they were", kvasir_message());
        else if (s->o->key_file)
            say(s, "the keys of %s were read anew", s->o->key_file);
        return;
    }
    if (++s->signals > 1) return;
    say(s, "stopping: what has been begun is finished; a second signal ends at once");
    schedule_refuse_queue(s); /* also those that still come (openai/endpoints.c) */
}

static void on_second(evutil_socket_t fd, short what, void *user)
{
    server *s = user;
    (void)fd;
    (void)what;
    schedule_comment(s);
    limit_connections(s);
    http_memory_trim();
}

/* ---- beginning ---------------------------------------------------------------------------------------- */

/* Sets the context of every sequence: what was asked for or the model has, if it fits the budget at the KV type. */
static kvasir_status find_context(server *s)
{
    kvasir_seq *seq = NULL;
    kvasir_engine_info info;
    kvasir_engine_get_info(s->o->engine, &info);
    s->kv_budget = info.kv_budget;
    TRY(kvasir_seq_create(s->o->engine, s->o->model, &s->o->seq, &seq));
    int ctx = kvasir_seq_ctx(seq);
    kvasir_seq_free(seq);
    s->rules = (request_rules){.model = s->o->model,
                               .name = s->o->name,
                               .names = s->o->names,
                               .n_names = s->o->n_names,
                               .any_name = s->o->any_name,
                               .template_text = s->o->template_text,
                               .sampling = &s->o->sampling,
                               .has_seed = s->o->has_seed,
                               .max_tokens = s->o->max_tokens,
                               .ctx = ctx};
    return KVASIR_OK;
}

/* For answers that must not end yet. */
static kvasir_status find_ends(server *s)
{
    int n_vocab = kvasir_model_get_info(s->o->model)->n_vocab;
    s->masked = mem_alloc((size_t)n_vocab, sizeof *s->masked);
    s->ends = mem_alloc((size_t)n_vocab, sizeof *s->ends);
    if (!s->masked || !s->ends) return fail_memory((size_t)n_vocab * (sizeof *s->masked + sizeof *s->ends));
    for (int32_t id = 0; id < n_vocab; id++)
        if (kvasir_token_ends(s->o->model, id)) s->ends[s->n_ends++] = id;
    return KVASIR_OK;
}

static void url_of(const server *s, char *to, size_t n)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    char port[NI_MAXSERV];
    (void)snprintf(port, sizeof port, "%d", s->o->port);
    if (getsockname(evhttp_bound_socket_get_fd(s->socket), (struct sockaddr *)&address, &length) == 0)
        (void)getnameinfo((struct sockaddr *)&address, length, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    (void)snprintf(to, n, strchr(s->o->host, ':') ? "http://[%s]:%s" : "http://%s:%s", s->o->host, port);
}

static kvasir_status listen_on(server *s)
{
    http_memory_limit(HTTP_MEMORY_MOST);
    s->base = event_base_new();
    s->http = s->base ? evhttp_new(s->base) : NULL;
    if (!s->http) return fail_memory(0);
    s->owner = (exchange_owner){.on_gone = on_gone, .on_end = on_end, .user = s, .base = s->base, .unsent = &s->unsent};
    evhttp_set_max_headers_size(s->http, HEADER_BYTES);
    evhttp_set_max_body_size(s->http, BODY_BYTES);
    evhttp_set_timeout(s->http, IDLE_S);
    evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
                                            EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
    evhttp_set_gencb(s->http, routes_request, s);
    evhttp_set_bevcb(s->http, on_connection, s);
    s->socket = evhttp_bind_socket_with_handle(s->http, s->o->host, (ev_uint16_t)s->o->port);
    if (!s->socket)
        return fail(KVASIR_E_IO, "%s, port %d: %s; --port N takes another, 0 any that is free", s->o->host, s->o->port,
                    strerror(errno));
    evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(s->socket), on_accept_failed);
    return KVASIR_OK;
}

enum { N_EVENTS = 4 };

static kvasir_status watch_events(server *s, struct event *to[N_EVENTS])
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    const struct timeval second = {.tv_sec = 1};
    for (int i = 0; i < 3; i++) to[i] = evsignal_new(s->base, signals[i], on_signal, s);
    to[3] = event_new(s->base, -1, EV_PERSIST, on_second, s);
    for (int i = 0; i < N_EVENTS; i++)
        if (!to[i] || event_add(to[i], i == 3 ? &second : NULL) != 0) return fail_memory(0);
    return KVASIR_OK;
}

/* ---- the loop ----------------------------------------------------------------------------------------- */

/* What was said last is still in buffers, which only the loop writes out. Runs it until no connection has any left, or
   for a while. */
static void flush(server *s)
{
    double until = clock_now() + FLUSH_MS / 1000.0;
    const struct timespec pause = {.tv_nsec = 5000000};
    while (s->unsent > 0 && clock_now() < until && s->signals < 2) {
        (void)event_base_loop(s->base, EVLOOP_NONBLOCK);
        (void)nanosleep(&pause, NULL);
    }
}

static kvasir_status loop(server *s)
{
    while (!s->signals || schedule_busy(s)) {
        int busy = schedule_busy(s);
        if (event_base_loop(s->base, busy ? EVLOOP_NONBLOCK : EVLOOP_ONCE) < 0)
            return fail(KVASIR_E_IO, "waiting for clients failed: %s", strerror(errno));
        if (s->signals > 1) return fail(KVASIR_E_CANCELLED, "stopped before all was answered");
        if (schedule_busy(s)) schedule_turn(s);
    }
    flush(s);
    return KVASIR_OK;
}

kvasir_status server_run(const server_options *o)
{
    struct event *events[N_EVENTS] = {NULL};
    char url[128];
    server *s = mem_alloc(1, sizeof *s);
    if (!s) return fail_memory(sizeof *s);
    *s = (server){.o = o, .began = (int64_t)time(NULL), .metrics = {.started = clock_now()}};
    s->queue_end = &s->queue;
    kvasir_status status = o->key_file ? keys_read(&s->keys, o->key_file) : KVASIR_OK;
    if (status == KVASIR_OK) status = find_context(s);
    if (status == KVASIR_OK) status = find_ends(s);
    if (status == KVASIR_OK) status = listen_on(s);
    if (status == KVASIR_OK) status = watch_events(s, events);
    if (status == KVASIR_OK) {
        url_of(s, url, sizeof url);
        o->on_ready(o->user, url);
        status = loop(s);
    }
    schedule_free(s);
    for (int i = 0; i < N_EVENTS; i++)
        if (events[i]) event_free(events[i]);
    if (s->http) evhttp_free(s->http);
    if (s->base) event_base_free(s->base);
    keys_free(&s->keys);
    mem_free(s->ends);
    mem_free(s->masked);
    mem_free(s);
    return status;
}
