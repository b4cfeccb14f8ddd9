#include "fetch/http.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { MAX_REDIRECTS = 8, POLL_MS = 100, FIRST_WAIT_MS = 200, LONGEST_WAIT_MS = 8000 };

/* One request, which is tried again until it succeeds or there is no hope. */
typedef struct transfer {
    const fetch_options *o;
    const char *url;
    CURL *easy;
    http_reply reply;
    const http_reply *file; /* the answer must have its ETag; NULL: any */
    bool ranged;
    uint64_t from, to, got; /* to: inclusive; without a range as much as `limit` */
    int fd;                 /* -1: to text */
    char *text;
    size_t limit;
    kvasir_status status; /* of the body: it is not what was asked for, or cannot be written */
    char why[300];        /* the message of that status, which arises in a callback */
    int piece, tries;
    double not_before; /* when to try again */
    bool busy;
    uint64_t *done; /* bytes of all transfers so far, for the progress; may be NULL */
    uint64_t total;
} transfer;

/* ---- whose server ---- */

/* Is one part of two URLs the same, as libcurl itself understands it? Comparing texts would take host.example.org for
   host.example, and what stands before an @ for a host. */
static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
    char *x = NULL, *y = NULL;
    bool same = curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK && strcasecmp(x, y) == 0;
    curl_free(x);
    curl_free(y);
    return same;
}

bool fetch_same_host(const char *a, const char *b)
{
    CURLU *x = curl_url(), *y = curl_url();
    bool same = x && y && curl_url_set(x, CURLUPART_URL, a, 0) == CURLUE_OK &&
                curl_url_set(y, CURLUPART_URL, b, 0) == CURLUE_OK && same_part(x, y, CURLUPART_SCHEME) &&
                same_part(x, y, CURLUPART_HOST) && same_part(x, y, CURLUPART_PORT);
    curl_url_cleanup(x);
    curl_url_cleanup(y);
    return same;
}

/* ---- the answer ---- */

static kvasir_status refuse(transfer *t, kvasir_status status, const char *why)
{
    t->status = status;
    (void)snprintf(t->why, sizeof t->why, "%s", why);
    return status;
}

/* Copies a header's value without quotes, the mark of a weak ETag, and the line end. */
static void header_text(const char *from, char *to, size_t room)
{
    from += strspn(from, " \t");
    if (strncmp(from, "W/", 2) == 0) from += 2;
    if (*from == '"') from++;
    size_t n = strcspn(from, "\"\r\n");
    if (n >= room) n = room - 1;
    memcpy(to, from, n);
    to[n] = '\0';
}

static bool is_sha256(const char *s)
{
    return strlen(s) == FETCH_SHA256_BYTES - 1 && strspn(s, "0123456789abcdefABCDEF") == FETCH_SHA256_BYTES - 1;
}

static void read_header(http_reply *r, const char *line)
{
    char value[160];
    if (strncasecmp(line, "Content-Range:", 14) == 0)
        r->ranged = fetch_content_range(line + 14, &r->from, &r->to, &r->total);
    else if (strncasecmp(line, "Content-Length:", 15) == 0 && !r->ranged)
        r->total = strtoull(line + 15, NULL, 10);
    else if (strncasecmp(line, "ETag:", 5) == 0)
        header_text(line + 5, r->etag, sizeof r->etag);
    else if (strncasecmp(line, "Link:", 5) == 0)
        (void)fetch_link_next(line + 5, r->next, sizeof r->next);
    else if (strncasecmp(line, "X-Linked-Size:", 14) == 0)
        r->linked_bytes = strtoull(line + 14, NULL, 10);
    else if (strncasecmp(line, "X-Linked-ETag:", 14) == 0) {
        header_text(line + 14, value, sizeof value);
        if (is_sha256(value)) (void)snprintf(r->linked_sha256, sizeof r->linked_sha256, "%.64s", value);
    }
}

static size_t on_header(char *data, size_t size, size_t n, void *user)
{
    transfer *t = user;
    char line[FETCH_URL_BYTES];
    (void)size;                     /* always 1 */
    if (n >= sizeof line) return n; /* no header that we look at is that long */
    memcpy(line, data, n);
    line[n] = '\0';
    if (strncmp(line, "HTTP/", 5) == 0) { /* the next answer begins, after a redirect */
        t->reply.ranged = false;
        t->reply.total = 0;
        t->reply.etag[0] = t->reply.next[0] = '\0';
    }
    read_header(&t->reply, line);
    return n;
}

static kvasir_status check_range(transfer *t)
{
    if (!t->ranged) return KVASIR_OK;
    if (!t->reply.ranged) return refuse(t, KVASIR_E_UNSUPPORTED, "the server has no ranges");
    if (t->reply.from != t->from || (t->file && t->reply.total != t->file->total))
        return refuse(t, KVASIR_E_FORMAT, "the server sent other bytes than those that were asked for");
    if (t->file && t->file->etag[0] && t->reply.etag[0] && strcmp(t->file->etag, t->reply.etag) != 0)
        return refuse(t, KVASIR_E_FORMAT, "the file on the server has changed meanwhile");
    return KVASIR_OK;
}

static kvasir_status put(transfer *t, const char *data, size_t n)
{
    if (t->fd < 0) {
        memcpy(t->text + t->got, data, n);
        return KVASIR_OK;
    }
    for (size_t at = 0; at < n;) {
        ssize_t done = pwrite(t->fd, data + at, n - at, (off_t)(t->from + t->got + at));
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return refuse(t, KVASIR_E_IO, errno == ENOSPC ? "the disk is full" : strerror(errno));
        at += (size_t)done;
    }
    return KVASIR_OK;
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    transfer *t = user;
    long code = 0;
    (void)size;
    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &code);
    if (code / 100 != 2) return n; /* a page that describes an error */
    if (t->got == 0 && check_range(t) != KVASIR_OK) return 0;
    uint64_t room = (t->ranged ? t->to - t->from + 1 : t->limit) - t->got;
    if (n > room) {
        (void)refuse(t, KVASIR_E_FORMAT,
                     t->ranged ? "the server sent more bytes than it had promised"
                               : "the answer is longer than expected");
        return 0;
    }
    if (put(t, data, n) != KVASIR_OK) return 0;
    t->got += n;
    if (t->done) *t->done += n;
    return n;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const transfer *t = user;
    (void)a, (void)b, (void)c, (void)d;
    return t->o->progress && t->o->progress(t->o->user, t->done ? *t->done : 0, t->total) != 0;
}

/* ---- one request ---- */

/* Sends the token to the address that it is meant for. libcurl drops it when that address redirects to another host. */
static void set_token(transfer *t)
{
    if (!t->o->token) return;
    (void)curl_easy_setopt(t->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
    (void)curl_easy_setopt(t->easy, CURLOPT_XOAUTH2_BEARER, t->o->token);
}

static kvasir_status prepare(transfer *t, bool with_token)
{
    char range[64];
    if (!t->easy) t->easy = curl_easy_init();
    if (!t->easy) return fail_memory(1);
    curl_easy_reset(t->easy);
    t->reply = (http_reply){0};
    t->got = 0;
    t->status = KVASIR_OK;
    CURLcode bad = curl_easy_setopt(t->easy, CURLOPT_URL, t->url);
    bad |= curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(t->easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 1L);
    bad |= curl_easy_setopt(t->easy, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
    bad |= curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "kvasir/" KVASIR_VERSION);
    bad |= curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    bad |= curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT, (long)t->o->stall_seconds);
    bad |= curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    bad |= curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, (long)t->o->stall_seconds);
    bad |= curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    bad |= curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
    bad |= curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
    bad |= curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    bad |= curl_easy_setopt(t->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    bad |= curl_easy_setopt(t->easy, CURLOPT_XFERINFODATA, t);
    bad |= curl_easy_setopt(t->easy, CURLOPT_NOPROGRESS, 0L);
    bad |= curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    if (t->ranged) {
        (void)snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)t->from, (unsigned long long)t->to);
        bad |= curl_easy_setopt(t->easy, CURLOPT_RANGE, range);
    }
    if (bad != CURLE_OK)
        return fail(KVASIR_E_IO, "%s: libcurl does not take this request", quoted(t->url, strlen(t->url)));
    if (with_token) set_token(t);
    return KVASIR_OK;
}

kvasir_status http_refusal(const fetch_options *o, const char *url, long status)
{
    const char *about = quoted(url, strlen(url));
    switch (status) {
    case 401:
    case 403:
        return fail(KVASIR_E_IO, "%s: the server says %ld, %s; %s", about, status,
                    status == 401 ? "not known, or no such repository" : "not allowed",
                    o->token ? "the token does not open it (a gated model has to be asked for on its page)"
                             : "a token may open it: KVASIR_HF_TOKEN or --token-file FILE");
    case 404:
        return fail(KVASIR_E_IO, "%s: the server says 404, there is no such file or repository", about);
    case 429:
        return fail(KVASIR_E_IO, "%s: the server says 429, too many requests; try again later", about);
    default:
        return fail(KVASIR_E_IO, "%s: the server says %ld", about, status);
    }
}

/* The status with which a request ended. *again: another try may go better. */
static kvasir_status ended(transfer *t, CURLcode code, bool *again)
{
    const char *final = NULL;
    const char *about = quoted(t->url, strlen(t->url));
    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->reply.status);
    if (curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &final) == CURLE_OK && final)
        (void)snprintf(t->reply.final_url, sizeof t->reply.final_url, "%s", final);
    *again = false;
    if (code == CURLE_ABORTED_BY_CALLBACK) return fail(KVASIR_E_CANCELLED, "%s: stopped", about);
    if (t->status != KVASIR_OK) return fail(t->status, "%s: %s", about, t->why);
    long status = t->reply.status;
    /* The first byte of an empty file was asked for: RFC 9110 has status 416 for that, but some servers send
       an empty body. */
    if (code == CURLE_OK && t->ranged && !t->file && (status == 416 || (status / 100 == 2 && t->got == 0)))
        return fail(KVASIR_E_IO, "%s: the server has no first byte of this file: it is empty", about);
    if (code == CURLE_OK && status / 100 != 2) {
        *again = status == 408 || status == 429 || status / 100 == 5;
        return http_refusal(t->o, t->url, status);
    }
    if (code == CURLE_OK && t->ranged && t->got < t->to - t->from + 1) code = CURLE_PARTIAL_FILE;
    if (code == CURLE_OK) return KVASIR_OK;
    *again = code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_URL_MALFORMAT &&
             code != CURLE_PEER_FAILED_VERIFICATION && code != CURLE_TOO_MANY_REDIRECTS;
    if (code == CURLE_OPERATION_TIMEDOUT)
        return fail(KVASIR_E_IO, "%s: nothing came for %d s", about, t->o->stall_seconds);
    return fail(KVASIR_E_IO, "%s: %s", about, curl_easy_strerror(code));
}

static int wait_ms(int tries)
{
    int ms = FIRST_WAIT_MS;
    for (int i = 1; i < tries && ms < LONGEST_WAIT_MS; i++) ms *= 2;
    return min_int(ms, LONGEST_WAIT_MS);
}

/* Waits before the next try, unless the user wants to stop. */
static kvasir_status pause_before(const transfer *t)
{
    for (int left = wait_ms(t->tries); left > 0; left -= POLL_MS) {
        struct timespec step = {.tv_nsec = (long)min_int(left, POLL_MS) * 1000000};
        (void)nanosleep(&step, NULL);
        if (on_progress((void *)t, 0, 0, 0, 0)) return fail(KVASIR_E_CANCELLED, "stopped");
    }
    return KVASIR_OK;
}

/* One request with its retries, alone. */
static kvasir_status perform(transfer *t)
{
    kvasir_status status;
    uint64_t before = t->done ? *t->done : 0;
    for (bool again = true;;) {
        TRY(prepare(t, true));
        status = ended(t, curl_easy_perform(t->easy), &again);
        if (status == KVASIR_OK || !again || ++t->tries > t->o->retries) return status;
        if (t->done) *t->done = before;
        kvasir_status waited = pause_before(t);
        if (waited != KVASIR_OK) return waited;
    }
}

static void clean(transfer *t)
{
    if (t->easy) curl_easy_cleanup(t->easy);
    t->easy = NULL;
}

kvasir_status http_text(const fetch_options *o, const char *url, size_t limit, char **text, size_t *n,
                        http_reply *reply)
{
    transfer t = {.o = o, .url = url, .fd = -1, .limit = limit, .text = mem_alloc(limit + 1, 1)};
    if (!t.text) return fail_memory(limit + 1);
    kvasir_status status = perform(&t);
    *reply = t.reply;
    *n = (size_t)t.got;
    *text = t.text;
    if (status != KVASIR_OK) {
        mem_free(t.text);
        *text = NULL;
    } else {
        t.text[t.got] = '\0';
    }
    clean(&t);
    return status;
}

kvasir_status http_look(const fetch_options *o, const char *url, http_reply *reply)
{
    char byte[2];
    transfer t = {.o = o, .url = url, .fd = -1, .ranged = true, .text = byte};
    kvasir_status status = perform(&t);
    if (t.status == KVASIR_E_UNSUPPORTED)
        status = KVASIR_OK; /* the answer is the whole file: the server has no ranges */
    *reply = t.reply;
    clean(&t);
    return status;
}

kvasir_status http_range(const fetch_options *o, const char *url, const http_reply *file, uint64_t from, uint64_t to,
                         int fd)
{
    transfer t = {.o = o, .url = url, .file = file, .ranged = true, .from = from, .to = to, .fd = fd};
    kvasir_status status = perform(&t);
    clean(&t);
    return status;
}

kvasir_status http_stream(const fetch_options *o, const char *url, const http_reply *file, int fd)
{
    uint64_t done = 0;
    size_t limit = file->total ? (size_t)file->total : SIZE_MAX;
    transfer t = {.o = o, .url = url, .fd = fd, .limit = limit, .done = &done, .total = file->total};
    kvasir_status status = perform(&t);
    if (status == KVASIR_OK && file->total && t.got != file->total)
        status = fail(KVASIR_E_FORMAT, "%s: %llu of %llu bytes came", quoted(url, strlen(url)),
                      (unsigned long long)t.got, (unsigned long long)file->total);
    clean(&t);
    return status;
}

/* ---- many ranges ---- */

typedef struct crowd {
    CURLM *multi;
    transfer *t;
    int n, next; /* pieces below `next` are there or under way */
    http_pieces *p;
    const char *first_url, *url; /* url: the address to which the first one led, as long as it works */
    uint64_t done;
} crowd;

static uint64_t piece_end(const http_pieces *p, int i)
{
    uint64_t end = (uint64_t)(i + 1) * p->bytes;
    return end < p->total ? end : p->total;
}

static kvasir_status start(crowd *c, transfer *t, int piece)
{
    t->url = c->url;
    t->piece = piece;
    t->from = (uint64_t)piece * c->p->bytes;
    t->to = piece_end(c->p, piece) - 1;
    TRY(prepare(t, c->url == c->first_url || fetch_same_host(c->url, c->first_url)));
    if (curl_multi_add_handle(c->multi, t->easy) != CURLM_OK)
        return fail(KVASIR_E_IO, "libcurl takes no more requests");
    t->busy = true;
    return KVASIR_OK;
}

uint64_t http_pieces_done(const http_pieces *p)
{
    uint64_t done = 0;
    for (int i = 0; i < p->n; i++)
        if (p->there[i]) done += piece_end(p, i) - (uint64_t)i * p->bytes;
    return done;
}

/* Gives idle transfers something to do. *busy: how many are at work. */
static kvasir_status hand_out(crowd *c, int *busy)
{
    *busy = 0;
    for (int i = 0; i < c->n; i++) {
        transfer *t = &c->t[i];
        if (!t->busy && t->tries > 0) { /* another try of the same */
            if (clock_now() >= t->not_before) TRY(start(c, t, t->piece));
            *busy += 1;
            continue;
        }
        while (!t->busy && c->next < c->p->n) {
            int piece = c->next++;
            if (!c->p->there[piece]) TRY(start(c, t, piece));
        }
        *busy += t->busy;
    }
    return KVASIR_OK;
}

static kvasir_status finish(crowd *c, transfer *t, CURLcode code)
{
    bool again;
    kvasir_status status = ended(t, code, &again);
    (void)curl_multi_remove_handle(c->multi, t->easy);
    t->busy = false;
    if (status == KVASIR_OK) {
        t->tries = 0;
        c->p->there[t->piece] = 1;
        return c->p->on_piece(c->p->user);
    }
    c->done -= t->got;
    /* The address to which the first one led may be valid for only a few minutes. */
    if (status == KVASIR_E_IO && t->reply.status / 100 == 4 && t->url != c->first_url) {
        c->url = c->first_url;
        again = true;
    }
    if (!again || ++t->tries > t->o->retries) return status;
    t->not_before = clock_now() + 1e-3 * wait_ms(t->tries);
    return KVASIR_OK;
}

static kvasir_status turn(crowd *c, const fetch_options *o, int *busy)
{
    int running, left;
    TRY(hand_out(c, busy));
    if (*busy == 0) return KVASIR_OK;
    if (curl_multi_perform(c->multi, &running) != CURLM_OK ||
        curl_multi_poll(c->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
        return fail(KVASIR_E_IO, "libcurl failed");
    for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left)) != NULL;) {
        transfer *t = NULL;
        if (m->msg != CURLMSG_DONE) continue;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        TRY(finish(c, t, m->data.result));
    }
    if (o->progress && o->progress(o->user, c->done, c->p->total)) return fail(KVASIR_E_CANCELLED, "stopped");
    return KVASIR_OK;
}

kvasir_status http_fetch(const fetch_options *o, const char *url, const http_reply *file, int fd, http_pieces *p)
{
    crowd c = {.multi = curl_multi_init(),
               .n = max_int(min_int(o->connections, FETCH_MAX_CONNECTIONS), 1),
               .p = p,
               .first_url = url,
               .url = file->final_url[0] ? file->final_url : url,
               .done = http_pieces_done(p)};
    transfer room[FETCH_MAX_CONNECTIONS] = {0};
    kvasir_status status = c.multi ? KVASIR_OK : fail_memory(1);
    c.t = room;
    if (strcmp(c.url, url) == 0) c.url = url;
    for (int i = 0; i < c.n; i++)
        c.t[i] = (transfer){.o = o, .file = file, .ranged = true, .fd = fd, .done = &c.done, .total = p->total};
    for (int busy = 1; status == KVASIR_OK && busy > 0;) status = turn(&c, o, &busy);
    for (int i = 0; i < c.n; i++) {
        if (c.t[i].busy) (void)curl_multi_remove_handle(c.multi, c.t[i].easy);
        clean(&c.t[i]);
    }
    if (c.multi) (void)curl_multi_cleanup(c.multi);
    return status;
}
