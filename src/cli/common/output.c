#include "cli/common/output.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum way {
    WAY_BESIDE,  /* into a file of its own, which then takes the place of the target */
    WAY_THROUGH, /* into what is there: a device, a pipe, a file whose folder cannot be written */
    WAY_STREAM   /* into a stream of this process, which is that file */
} way;

struct output_file {
    way way;
    bool exists;
    mode_t mode;                           /* of what exists */
    char target[PATH_MAX], part[PATH_MAX]; /* target: with links followed */
    int fd;
    FILE *stream;
    char *name; /* as it was given */
};

static kvasir_status refuse(const char *path, int error)
{
    const char *slash = strrchr(path, '/');
    if (error == ENOENT && slash && slash > path && slash[1])
        return fail(KVASIR_E_IO, "%s cannot be written: its folder does not exist: %.*s", path, (int)(slash - path),
                    path);
    return fail(KVASIR_E_IO, "%s cannot be written: %s", path,
                error == EISDIR    ? "it is a folder"
                : error == ENOENT  ? "its folder does not exist"
                : error == ENOTDIR ? "a part of its path is no folder"
                                   : strerror(error));
}

/* The path behind all links, also where nothing is there yet. 0, or -1 with errno. */
static int follow(const char *path, char to[PATH_MAX])
{
    enum { MOST_LINKS = 40 };
    char link[PATH_MAX];
    if (strlen(path) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    (void)snprintf(to, PATH_MAX, "%s", path);
    for (int i = 0; i < MOST_LINKS; i++) {
        ssize_t n = readlink(to, link, sizeof link - 1);
        if (n < 0) return errno == EINVAL || errno == ENOENT ? 0 : -1;
        link[n] = '\0';
        char *slash = strrchr(to, '/');
        size_t head = link[0] == '/' || !slash ? 0 : (size_t)(slash - to) + 1;
        if (head + (size_t)n >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(to + head, link, (size_t)n + 1);
    }
    errno = ELOOP;
    return -1;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether this process has the file open as stdout or stderr, as with /dev/stdout: a second descriptor would write over what
   the first one writes. */
static bool is_own_stream(const struct stat *st, int *fd)
{
    struct stat own;
    for (*fd = STDOUT_FILENO; *fd <= STDERR_FILENO; ++*fd)
        if (fstat(*fd, &own) == 0 && same_file(st, &own)) return true;
    return false;
}

/* How `path` is to be written. */
static kvasir_status find_way(const char *path, output_file *o)
{
    struct stat st, there;
    *o = (output_file){.way = WAY_BESIDE, .fd = -1};
    if (*path == '\0') return fail(KVASIR_E_IO, "'' cannot be written: the name of the file is empty");
    if (strcmp(path, "-") == 0)
        return fail(KVASIR_E_IO,
                    "- cannot be written: it means no file here; /dev/stdout is stdout, ./- a file of that name");
    if (stat(path, &st) != 0) {
        if (errno != ENOENT || follow(path, o->target) != 0) return refuse(path, errno);
        return KVASIR_OK;
    }
    o->exists = true;
    o->mode = st.st_mode & 07777;
    if (S_ISDIR(st.st_mode)) return refuse(path, EISDIR);
    if (S_ISSOCK(st.st_mode)) return refuse(path, ENXIO);
    if (access(path, W_OK) != 0) return refuse(path, errno);
    if (follow(path, o->target) != 0) return refuse(path, errno);
    if (S_ISREG(st.st_mode) && is_own_stream(&st, &o->fd))
        o->way = WAY_STREAM;
    else if (!S_ISREG(st.st_mode) || stat(o->target, &there) != 0 || !same_file(&st, &there))
        o->way = WAY_THROUGH; /* also what only /proc leads to */
    return KVASIR_OK;
}

/* Opens the file beside the target. Where its folder cannot be written, but the file can, that is written into. */
static kvasir_status open_part(const char *path, output_file *o)
{
    enum { TRIES = 100 };
    const char *slash = strrchr(o->target, '/');
    int folder = slash ? (int)(slash - o->target) + 1 : 0;
    for (int i = 0; i < TRIES; i++) {
        int n = snprintf(o->part, sizeof o->part, "%.*s.kvasir-%d-%d.part", folder, o->target, (int)getpid(), i);
        if (n < 0 || (size_t)n >= sizeof o->part) return refuse(path, ENAMETOOLONG);
        o->fd = open(o->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (o->fd >= 0) return KVASIR_OK;
        if (errno != EEXIST) break;
    }
    if (!o->exists || (errno != EACCES && errno != EPERM && errno != EROFS)) return refuse(path, errno);
    o->way = WAY_THROUGH;
    return KVASIR_OK;
}

/* A name that is too long is only noticed when the file gets it. */
static kvasir_status check_name(const char *path, const output_file *o)
{
    struct stat st;
    return o->exists || lstat(o->target, &st) == 0 || errno == ENOENT ? KVASIR_OK : refuse(path, errno);
}

kvasir_status output_check(const char *path)
{
    output_file o;
    if (!path) return KVASIR_OK;
    TRY(find_way(path, &o));
    if (o.way != WAY_BESIDE) return KVASIR_OK;
    TRY(check_name(path, &o));
    TRY(open_part(path, &o));
    if (o.way != WAY_BESIDE) return KVASIR_OK;
    (void)close(o.fd);
    return unlink(o.part) == 0 ? KVASIR_OK : refuse(path, errno);
}

static kvasir_status open_stream(const char *path, output_file *o)
{
    if (o->way == WAY_BESIDE) TRY(open_part(path, o));
    if (o->way == WAY_BESIDE && o->exists) (void)fchmod(o->fd, o->mode); /* as it was, where that may be */
    if (o->way == WAY_THROUGH) o->fd = open(path, O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC);
    if (o->way == WAY_STREAM) {
        (void)fflush(stdout);
        o->fd = fcntl(o->fd, F_DUPFD_CLOEXEC, 0);
    }
    if (o->fd < 0) return refuse(path, errno);
    o->stream = fdopen(o->fd, "wb");
    if (o->stream) return KVASIR_OK;
    (void)close(o->fd);
    if (o->way == WAY_BESIDE) (void)unlink(o->part);
    return fail_memory(sizeof *o->stream);
}

static void release(output_file *o)
{
    mem_free(o->name);
    mem_free(o);
}

kvasir_status output_open(const char *path, output_file **out)
{
    output_file *o = mem_alloc(1, sizeof *o);
    char *name = mem_text(path, strlen(path));
    kvasir_status status = o && name ? find_way(path, o) : fail_memory(sizeof *o);
    if (status == KVASIR_OK) status = open_stream(path, o);
    if (status == KVASIR_OK) {
        o->name = name;
        *out = o;
        return KVASIR_OK;
    }
    mem_free(name);
    mem_free(o);
    return status;
}

FILE *output_stream(const output_file *o)
{
    return o->stream;
}

kvasir_status output_close(output_file *o, int keep)
{
    if (!o) return KVASIR_OK;
    errno = 0;
    bool bad = ferror(o->stream) != 0;
    if (fclose(o->stream) != 0) bad = true;
    int error = errno ? errno : EIO;
    if (o->way == WAY_BESIDE && keep && !bad && rename(o->part, o->target) != 0) {
        bad = true;
        error = errno;
    }
    if (o->way == WAY_BESIDE && (bad || !keep)) (void)unlink(o->part);
    kvasir_status status = bad && keep ? refuse(o->name, error) : KVASIR_OK;
    release(o);
    return status;
}

kvasir_status write_file(const char *path, const void *data, size_t n)
{
    output_file *o = NULL;
    TRY(output_open(path, &o));
    (void)fwrite(data, 1, n, o->stream); /* what is lost shows when it is closed */
    return output_close(o, 1);
}

kvasir_status write_document(const char *path, document_writer write, const void *what)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return fail_memory(n);
    kvasir_status status = write(what, f);
    if (fclose(f) != 0 && status == KVASIR_OK) status = fail_memory(n);
    if (status == KVASIR_OK) status = write_file(path, text, n);
    free(text);
    return status;
}

/* Folder and name of a file that may not be there, behind all links, as one text; the caller's (free). NULL: there is no such
   folder. */
static char *place_of(const char *path)
{
    char target[PATH_MAX], *out = NULL;
    if (follow(path, target) != 0) return NULL;
    char *slash = strrchr(target, '/');
    const char *name = slash ? slash + 1 : target;
    if (slash) *slash = '\0';
    char *folder = realpath(!slash ? "." : slash == target ? "/" : target, NULL);
    if (folder && asprintf(&out, "%s/%s", folder, name) < 0) out = NULL;
    free(folder);
    return out;
}

int output_same(const char *a, const char *b)
{
    struct stat s;
    if (!a || !b || (stat(a, &s) == 0 && !S_ISREG(s.st_mode))) return 0;
    char *x = place_of(a), *y = place_of(b);
    int same = x && y && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}
