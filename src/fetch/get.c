/* One file, from the first question to its place in the cache. */
#include "base/checked.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/format.h"
#include "base/mem.h"
#include "fetch/http.h"
#include "fetch/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 8 << 20, MAX_PIECES = 1 << 20, HEADER_FIRST = 1 << 20, HEADER_LIMIT = 128 << 20, WAIT_MS = 200 };

/* The fetch that is under way. */
typedef struct job {
    const fetch_options *o;
    fetch_file *f;
    http_reply server;
    http_pieces pieces;
    char part[FETCH_PATH_BYTES + 16], state[FETCH_PATH_BYTES + 32], lock[FETCH_PATH_BYTES + 32];
    int fd, lock_fd;
    bool is_gguf; /* the first piece has been looked at */
} job;

static kvasir_status io_error(const char *path, const char *doing)
{
    return fail(KVASIR_E_IO, "%s: %s: %s", quoted(path, strlen(path)), doing, strerror(errno));
}

static void say(const fetch_options *o, const char *format, const char *what)
{
    char text[FETCH_PATH_BYTES];
    (void)snprintf(text, sizeof text, format, what);
    if (o->note) o->note(o->user, text);
}

static void begin(const fetch_options *o, const char *what, uint64_t done)
{
    if (o->begin) o->begin(o->user, what, done);
}

/* ---- only one fetch of a file at a time ---- */

static void drop_lock(job *j)
{
    if (j->lock_fd >= 0) (void)close(j->lock_fd);
    j->lock_fd = -1;
}

static kvasir_status wait_for_lock(job *j)
{
    j->lock_fd = open(j->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (j->lock_fd < 0) return io_error(j->lock, "cannot be made");
    for (bool said = false; flock(j->lock_fd, LOCK_EX | LOCK_NB) != 0; said = true) {
        const struct timespec step = {.tv_nsec = WAIT_MS * 1000000L};
        if (errno != EWOULDBLOCK && errno != EINTR) return io_error(j->lock, "cannot be locked");
        if (!said) say(j->o, "another kvasir is fetching %s: waiting for it", j->f->path);
        if (j->o->progress && j->o->progress(j->o->user, 0, 0))
            return fail(KVASIR_E_CANCELLED, "stopped while waiting");
        (void)nanosleep(&step, NULL);
    }
    return KVASIR_OK;
}

/* Takes the lock. The lock file must still have its name: whoever had the lock before removes the file when done, and a
   third command would then lock another file of that name. */
static kvasir_status take_lock(job *j)
{
    for (;;) {
        struct stat ours, named;
        TRY(wait_for_lock(j));
        if (fstat(j->lock_fd, &ours) == 0 && stat(j->lock, &named) == 0 && ours.st_ino == named.st_ino &&
            ours.st_dev == named.st_dev)
            return KVASIR_OK;
        drop_lock(j);
    }
}

/* ---- what has already been fetched ---- */

kvasir_status fetch_save_json(json_t *document, const char *path)
{
    char next[FETCH_PATH_BYTES + 64];
    (void)snprintf(next, sizeof next, "%s.%ld", path, (long)getpid()); /* two commands may write at once */
    kvasir_status status = file_make_folders(next);
    if (status == KVASIR_OK && (json_dump_file(document, next, JSON_INDENT(1)) != 0 || rename(next, path) != 0)) {
        status = io_error(path, "cannot be written");
        (void)unlink(next);
    }
    json_decref(document);
    return status;
}

/* Saves which pieces are there, as a text of 0 and 1. */
static kvasir_status save_state(void *user)
{
    job *j = user;
    char *map = mem_alloc((size_t)j->pieces.n + 1, 1);
    if (!map) return fail_memory((size_t)j->pieces.n + 1);
    for (int i = 0; i < j->pieces.n; i++) map[i] = j->pieces.there[i] ? '1' : '0';
    json_t *document =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "schema", "kvasir.part/1", "url", j->f->url, "etag", j->server.etag,
                  "bytes", (json_int_t)j->pieces.total, "piece_bytes", (json_int_t)j->pieces.bytes, "pieces", map);
    mem_free(map);
    if (!document)
        return fail(KVASIR_E_IO, "%s: the state cannot be written as JSON", quoted(j->f->url, strlen(j->f->url)));
    return fetch_save_json(document, j->state);
}

/* Takes over the pieces of an earlier fetch, if by the server's ETag it is still the same file. */
static void load_state(job *j)
{
    json_t *d = json_load_file(j->state, 0, NULL);
    const char *etag = json_string_value(json_object_get(d, "etag")),
               *map = json_string_value(json_object_get(d, "pieces"));
    struct stat s;
    bool same = etag && map && strcmp(etag, j->server.etag) == 0 && strlen(map) == (size_t)j->pieces.n &&
                (uint64_t)json_integer_value(json_object_get(d, "bytes")) == j->pieces.total &&
                (uint64_t)json_integer_value(json_object_get(d, "piece_bytes")) == j->pieces.bytes;
    same = same && stat(j->part, &s) == 0 && (uint64_t)s.st_size == j->pieces.total;
    int n = 0;
    for (int i = 0; same && i < j->pieces.n; i++) n += j->pieces.there[i] = map[i] == '1';
    if (n > 0) say(j->o, "going on with %s", j->f->path);
    json_decref(d);
}

static void throw_away(const job *j)
{
    (void)unlink(j->part);
    (void)unlink(j->state);
}

/* ---- the fetch ---- */

/* What comes has to be GGUF; a page of HTML or another kind of file is thrown away before all of it has come. */
static kvasir_status check_kind(const job *j)
{
    char head[FILE_KIND_BYTES];
    const ssize_t n = pread(j->fd, head, sizeof head, 0);
    if (n < 0) return io_error(j->part, "cannot be read");
    if (file_kind_is_gguf(head, (size_t)n)) return KVASIR_OK;
    const char *kind = file_kind_of(head, (size_t)n);
    return fail(KVASIR_E_FORMAT, "%s: what came is no GGUF file%s%s; it was thrown away",
                quoted(j->f->url, strlen(j->f->url)), kind ? ": " : "", kind ? kind : "");
}

static kvasir_status check_room(const job *j)
{
    struct statvfs v;
    struct stat s;
    uint64_t there = stat(j->part, &s) == 0 ? (uint64_t)s.st_blocks * 512 : 0, need = j->server.total;
    need = need > there ? need - there : 0;
    if (statvfs(j->lock, &v) != 0) return KVASIR_OK;
    uint64_t room = (uint64_t)v.f_bavail * v.f_frsize;
    if (need <= room) return KVASIR_OK;
    char left[FORMAT_BYTES], missing[FORMAT_BYTES];
    return fail(KVASIR_E_IO, "%s: the disk has %s left and %s are still needed", quoted(j->part, strlen(j->part)),
                format_size(room, left), format_size(need, missing));
}

/* Asks the server about the file. What the hub lists, what the server says and what the user wants have to agree. */
static kvasir_status look(job *j)
{
    fetch_file *f = j->f;
    const char *about = quoted(f->url, strlen(f->url));
    TRY(http_look(j->o, f->url, &j->server));
    const http_reply *r = &j->server;
    uint64_t promised = r->linked_bytes ? r->linked_bytes : f->bytes;
    if (promised && r->total && promised != r->total) {
        return fail(KVASIR_E_FORMAT, "%s: the server has %" PRIu64 " bytes, the hub's record says %" PRIu64, about,
                    r->total, promised);
    }
    if (!r->total) return fail(KVASIR_E_IO, "%s: the server does not say how long the file is", about);
    if (r->linked_sha256[0] && f->sha256[0] && strcasecmp(r->linked_sha256, f->sha256) != 0)
        return fail(KVASIR_E_FORMAT, "%s: the hub's SHA-256 is %s, wanted is %s", about, r->linked_sha256, f->sha256);
    if (!f->sha256[0] && r->linked_sha256[0]) (void)snprintf(f->sha256, sizeof f->sha256, "%s", r->linked_sha256);
    f->bytes = r->total;
    return KVASIR_OK;
}

static kvasir_status piece_came(void *user)
{
    job *j = user;
    if (j->pieces.there[0] && !j->is_gguf) {
        TRY(check_kind(j));
        j->is_gguf = true;
    }
    return save_state(user);
}

static kvasir_status fetch_pieces(job *j)
{
    http_pieces *p = &j->pieces;
    *p = (http_pieces){.total = j->server.total, .bytes = PIECE, .on_piece = piece_came, .user = j};
    while ((p->total + p->bytes - 1) / p->bytes > MAX_PIECES) p->bytes *= 2;
    p->n = (int)((p->total + p->bytes - 1) / p->bytes);
    p->there = mem_alloc((size_t)p->n, 1);
    if (!p->there) return fail_memory((size_t)p->n);
    load_state(j);
    begin(j->o, "fetching", http_pieces_done(p));
    kvasir_status status =
        ftruncate(j->fd, (off_t)p->total) == 0 ? KVASIR_OK : io_error(j->part, "cannot be made so large");
    if (status == KVASIR_OK) status = http_fetch(j->o, j->f->url, &j->server, j->fd, p);
    if (status != KVASIR_OK && http_pieces_done(p) == 0) throw_away(j); /* nothing to go on with */
    mem_free(p->there);
    p->there = NULL;
    return status;
}

static kvasir_status check(const job *j, char sha256[FETCH_SHA256_BYTES])
{
    begin(j->o, "checking", 0);
    TRY(sha256_file(j->part, j->o->progress, j->o->user, sha256));
    if (!j->f->sha256[0] || strcasecmp(sha256, j->f->sha256) == 0) return KVASIR_OK;
    throw_away(j);
    return fail(KVASIR_E_FORMAT, "%s: what came has the SHA-256 %s, promised was %s; it was thrown away",
                quoted(j->f->url, strlen(j->f->url)), sha256, j->f->sha256);
}

/* Writes the record beside the file, which says where it is from. */
static kvasir_status write_record(const job *j, const char *sha256)
{
    char path[FETCH_PATH_BYTES + 16], date[32];
    time_t now = time(NULL);
    struct tm utc;
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    (void)snprintf(path, sizeof path, "%s.json", j->f->local);
    json_t *document =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:s}", "schema", "kvasir.file/1", "url", j->f->url, "sha256", sha256,
                  "etag", j->server.etag, "bytes", (json_int_t)j->f->bytes, "date", date);
    return document ? fetch_save_json(document, path) : fail_memory(1);
}

static kvasir_status install(const job *j, const char *sha256)
{
    (void)snprintf(j->f->sha256, sizeof j->f->sha256, "%s", sha256);
    if (fsync(j->fd) != 0) return io_error(j->part, "cannot be written");
    TRY(write_record(j, sha256));
    if (rename(j->part, j->f->local) != 0) return io_error(j->f->local, "cannot be put in place");
    (void)unlink(j->state);
    return KVASIR_OK;
}

static kvasir_status fetch_locked(job *j)
{
    char sha256[FETCH_SHA256_BYTES];
    if (!j->o->force && fetch_is_there(j->f)) { /* another command has fetched it in the meantime */
        (void)fetch_take_record(j->f);
        return KVASIR_OK;
    }
    TRY(look(j));
    TRY(check_room(j));
    j->fd = open(j->part, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (j->fd < 0) return io_error(j->part, "cannot be made");
    kvasir_status status;
    if (j->server.ranged) {
        status = fetch_pieces(j);
    } else {
        begin(j->o, "fetching", 0);
        status = ftruncate(j->fd, 0) == 0 ? http_stream(j->o, j->f->url, &j->server, j->fd)
                                          : io_error(j->part, "cannot be cut");
        if (status != KVASIR_OK) throw_away(j); /* it begins anew next time */
    }
    if (status == KVASIR_OK) status = check_kind(j);
    if (status == KVASIR_E_FORMAT) throw_away(j);
    if (status == KVASIR_OK) status = check(j, sha256);
    if (status == KVASIR_OK) status = install(j, sha256);
    (void)close(j->fd);
    return status;
}

kvasir_status fetch_get(const fetch_options *o, fetch_file *f)
{
    job j = {.o = o, .f = f, .fd = -1, .lock_fd = -1};
    if (!o->force && fetch_is_there(f)) {
        (void)fetch_take_record(f);
        return KVASIR_OK;
    }
    (void)snprintf(j.part, sizeof j.part, "%s.part", f->local);
    (void)snprintf(j.state, sizeof j.state, "%s.part.json", f->local);
    (void)snprintf(j.lock, sizeof j.lock, "%s.lock", f->local);
    TRY(file_make_folders(f->local));
    kvasir_status status = take_lock(&j);
    if (status == KVASIR_OK) {
        status = fetch_locked(&j);
        (void)unlink(j.lock);
    }
    drop_lock(&j);
    if (status != KVASIR_OK) fetch_drop_folders(o->cache, f->local);
    return status;
}

/* ---- the beginning of a file ---- */

kvasir_status fetch_header(const fetch_options *o, const fetch_file *f, const char *path,
                           kvasir_status (*enough)(void *user, const char *path, bool *whole), void *user)
{
    http_reply server;
    TRY(http_look(o, f->url, &server));
    if (!server.ranged || !server.total)
        return fail(KVASIR_E_UNSUPPORTED, "%s: the server has no ranges; kvasir pull fetches the whole file",
                    quoted(f->url, strlen(f->url)));
    TRY(file_make_folders(path));
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return io_error(path, "cannot be made");
    kvasir_status status = KVASIR_OK;
    bool whole = false;
    begin(o, "fetching", 0);
    for (uint64_t from = 0, to = HEADER_FIRST; status == KVASIR_OK && !whole; from = to, to *= 2) {
        if (to > server.total) to = server.total;
        status = http_range(o, f->url, &server, from, to - 1, fd);
        if (status != KVASIR_OK) break;
        status = enough(user, path, &whole);
        whole = whole || to == server.total;
        if (status == KVASIR_OK && !whole && to >= HEADER_LIMIT)
            status = fail(KVASIR_E_FORMAT, "%s: no whole GGUF header in its first %d MiB",
                          quoted(f->url, strlen(f->url)), HEADER_LIMIT >> 20);
    }
    if (status == KVASIR_OK && ftruncate(fd, (off_t)server.total) != 0)
        status = io_error(path, "cannot be made so large");
    (void)close(fd);
    if (status != KVASIR_OK) (void)unlink(path);
    return status;
}
