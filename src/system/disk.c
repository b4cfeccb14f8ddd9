#include "system/disk.h"
#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    PIECE = 8 << 20,     /* bytes of one read: large enough that the system keeps several requests in flight */
    FREE_SHARE = 8,      /* at most one part in FREE_SHARE of the free space is written */
    CACHED_SAMPLES = 64, /* pages that are looked up in the page cache */
    PAGE = 4096
};
/* Shares of the time: for writing the file, and for reading it from the page cache. The rest is for reading
   from the disk. */
static const double write_share = 0.5, cache_share = 0.15;

typedef struct disk {
    const char *folder;
    int fd;
    unsigned char *piece; /* PIECE bytes, page aligned */
    uint64_t bytes;       /* of the file, whole pieces */
    int (*stop)(void *user);
    void *user;
} disk;

static kvasir_status io_error(const disk *d, const char *doing)
{
    return fail(KVASIR_E_IO, "%s: %s a file of measurements: %s", d->folder, doing, strerror(errno));
}

static kvasir_status check_stop(const disk *d)
{
    return d->stop && d->stop(d->user) ? fail(KVASIR_E_CANCELLED, "stopped") : KVASIR_OK;
}

/* Opens a file without a name. Where the file system cannot do that, it opens one with a name and removes
   that at once. */
static kvasir_status open_unnamed(disk *d)
{
    char name[1024];
    d->fd = open(d->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (d->fd >= 0) return KVASIR_OK;
    int length = snprintf(name, sizeof name, "%s/kvasir-probe-XXXXXX", d->folder);
    if (length < 0 || (size_t)length >= sizeof name)
        return fail(KVASIR_E_ARGUMENT, "%s: the folder's path is too long", d->folder);
    d->fd = mkostemp(name, O_CLOEXEC);
    if (d->fd < 0) return io_error(d, "creating");
    (void)unlink(name);
    return KVASIR_OK;
}

/* Fills the piece with random numbers (xorshift64), which no file system can compress or find to be duplicates. */
static void fill_piece(disk *d, uint64_t *state)
{
    for (size_t i = 0; i < PIECE; i += sizeof *state) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        memcpy(d->piece + i, state, sizeof *state);
    }
}

static kvasir_status write_piece(disk *d)
{
    for (size_t done = 0; done < PIECE;) {
        ssize_t n = pwrite(d->fd, d->piece + done, PIECE - done, (off_t)(d->bytes + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return io_error(d, "writing");
        done += (size_t)n;
    }
    d->bytes += PIECE;
    return KVASIR_OK;
}

/* Each piece is brought to the disk before the next one is written. So a slow disk ends the writing in time, instead of
   leaving all of its work to the end. */
static kvasir_status write_all(disk *d, uint64_t most, double seconds)
{
    struct statvfs s;
    uint64_t state = 0x9e3779b97f4a7c15u;
    double start = clock_now();
    if (fstatvfs(d->fd, &s) == 0 && most > (uint64_t)s.f_bavail * s.f_frsize / FREE_SHARE)
        most = (uint64_t)s.f_bavail * s.f_frsize / FREE_SHARE;
    if (most < PIECE)
        return fail(KVASIR_E_IO, "%s: too little is free on the disk to measure it (%d MiB are needed)", d->folder,
                    (PIECE >> 20) * FREE_SHARE);
    while (d->bytes + PIECE <= most && (d->bytes == 0 || clock_now() - start < seconds)) {
        TRY(check_stop(d));
        fill_piece(d, &state);
        TRY(write_piece(d));
        if (fdatasync(d->fd) != 0) return io_error(d, "writing");
    }
    return KVASIR_OK;
}

static kvasir_status read_piece(disk *d, uint64_t at)
{
    for (size_t done = 0; done < PIECE;) {
        ssize_t n = pread(d->fd, d->piece + done, PIECE - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return io_error(d, "reading");
        done += (size_t)n;
    }
    return KVASIR_OK;
}

/* Mean bytes per second of reading pieces from the start of the file for about `seconds`, but at least one. Each is
   read at most once, or with `again` round and round. */
static kvasir_status read_rate(disk *d, double seconds, bool again, double *out)
{
    double start = clock_now(), now;
    uint64_t bytes = 0;
    do {
        TRY(check_stop(d));
        TRY(read_piece(d, bytes % d->bytes));
        now = clock_now();
        bytes += PIECE;
    } while (now - start < seconds && (again || bytes < d->bytes));
    *out = now > start ? (double)bytes / (now - start) : 0;
    return KVASIR_OK;
}

/* Whether one of some sampled pages is in the page cache; true also where the file system cannot say. */
static bool is_cached(const disk *d)
{
    for (int i = 0; i < CACHED_SAMPLES; i++) {
        struct iovec to = {d->piece, PAGE};
        off_t at = (off_t)(d->bytes / CACHED_SAMPLES * (uint64_t)i & ~(uint64_t)(PAGE - 1));
        if (preadv2(d->fd, &to, 1, at, RWF_NOWAIT) >= 0 || errno != EAGAIN) return true;
    }
    return false;
}

/* From here on reads bypass the page cache. Where the file system does not allow that, the file is dropped from the
   cache instead. Returns NULL, or why neither works. */
static const char *leave_cache(disk *d)
{
    struct statfs s;
    if (fstatfs(d->fd, &s) == 0 && (s.f_type == TMPFS_MAGIC || s.f_type == RAMFS_MAGIC))
        return "the folder is in memory, not on a disk";
    int flags = fcntl(d->fd, F_GETFL);
    if (flags >= 0 && fcntl(d->fd, F_SETFL, flags | O_DIRECT) == 0) {
        if (read_piece(d, 0) == KVASIR_OK) return NULL;
        if (fcntl(d->fd, F_SETFL, flags) != 0) return "the file system does not read past the page cache";
    }
    if (posix_fadvise(d->fd, 0, 0, POSIX_FADV_DONTNEED) == 0 && !is_cached(d)) return NULL;
    return "the file system does not read past the page cache";
}

static kvasir_status measure(disk *d, uint64_t most, double seconds, disk_speed *out)
{
    const double end = clock_now() + seconds;
    TRY(open_unnamed(d));
    TRY(write_all(d, most, seconds * write_share));
    TRY(read_rate(d, seconds * cache_share, true, &out->page_cache));
    out->why = leave_cache(d);
    /* At least one piece is read, however long the rest took. */
    return out->why ? KVASIR_OK : read_rate(d, end - clock_now(), false, &out->disk);
}

kvasir_status disk_measure(const char *folder, uint64_t most, double seconds, int (*stop)(void *user), void *user,
                           disk_speed *out)
{
    disk d = {.folder = folder, .fd = -1, .stop = stop, .user = user};
    *out = (disk_speed){0};
    d.piece = region_reserve(PIECE, false);
    if (!d.piece) return fail_memory(PIECE);
    kvasir_status status = measure(&d, most, seconds, out);
    if (d.fd >= 0) (void)close(d.fd);
    region_free(d.piece, PIECE);
    return status;
}
