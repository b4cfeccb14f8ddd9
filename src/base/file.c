#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    int fd; /* -1 when over memory */
    const unsigned char *data;
    uint64_t size;
    char *name;
    struct stat opened; /* as it was then */
};

kvasir_status file_from_memory(const void *data, size_t n, const char *name, file **out)
{
    file *f = mem_alloc(1, sizeof *f);
    if (!f) return fail_memory(sizeof *f);
    *f = (file){.fd = -1, .data = data, .size = n, .name = mem_text(name, strlen(name))};
    if (!f->name) {
        mem_free(f);
        return fail_memory(strlen(name) + 1);
    }
    *out = f;
    return KVASIR_OK;
}

kvasir_status file_open(const char *path, file **out)
{
    struct stat st;
    /* O_NONBLOCK: a named pipe must not hang the open. It is refused below, like everything that is not
       a regular file. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return fail(KVASIR_E_IO, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return fail(KVASIR_E_IO, "%s: not a regular file", path);
    }
    kvasir_status status = file_from_memory(NULL, (size_t)st.st_size, path, out);
    if (status != KVASIR_OK)
        (void)close(fd);
    else
        (*out)->fd = fd, (*out)->opened = st;
    return status;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

kvasir_status file_unchanged(const file *f)
{
    struct stat now;
    if (f->fd < 0) return KVASIR_OK;
    if (fstat(f->fd, &now) != 0) return fail(KVASIR_E_IO, "%s: %s", f->name, strerror(errno));
    /* The time of the last change of state moves with the content, even where that of the content was set back; but also when
       a name of the file goes or comes, which is no matter. */
    if (now.st_size == f->opened.st_size && same_time(now.st_mtim, f->opened.st_mtim) &&
        (same_time(now.st_ctim, f->opened.st_ctim) || now.st_nlink != f->opened.st_nlink))
        return KVASIR_OK;
    return fail(KVASIR_E_FORMAT, "%s: the file was changed while it was being read; load it again when it is whole",
                f->name);
}

void file_close(file *f)
{
    if (!f) return;
    if (f->fd >= 0) (void)close(f->fd);
    mem_free(f->name);
    mem_free(f);
}

uint64_t file_size(const file *f)
{
    return f->size;
}

const char *file_name(const file *f)
{
    return f->name;
}

kvasir_status file_read(const file *f, uint64_t offset, void *to, size_t n)
{
    if (offset > f->size || n > f->size - offset)
        return fail(KVASIR_E_FORMAT, "%s: ends at byte %llu, but bytes %llu to %llu are needed", f->name,
                    (unsigned long long)f->size, (unsigned long long)offset, (unsigned long long)(offset + n));
    if (f->fd < 0) {
        if (n) memcpy(to, f->data + offset, n);
        return KVASIR_OK;
    }
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(f->fd, (char *)to + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            return fail(KVASIR_E_IO, "%s: reading at byte %llu: %s", f->name, (unsigned long long)(offset + done),
                        strerror(errno));
        if (got == 0)
            return fail(KVASIR_E_FORMAT, "%s: shrank while it was being read: ends at byte %llu now", f->name,
                        (unsigned long long)(offset + done));
        done += (size_t)got;
    }
    return KVASIR_OK;
}

void file_want(const file *f, uint64_t offset, uint64_t n)
{
    if (f->fd >= 0) (void)posix_fadvise(f->fd, (off_t)offset, (off_t)n, POSIX_FADV_WILLNEED);
}

kvasir_status file_make_folders(const char *path)
{
    size_t n = strlen(path);
    char *part = mem_text(path, n);
    kvasir_status status = part ? KVASIR_OK : fail_memory(n + 1);
    for (char *s = part && n ? strchr(part + 1, '/') : NULL; status == KVASIR_OK && s; s = strchr(s + 1, '/')) {
        *s = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            status =
                fail(KVASIR_E_IO, "%s: the folder cannot be made: %s", quoted(part, strlen(part)), strerror(errno));
        *s = '/';
    }
    mem_free(part);
    return status;
}
