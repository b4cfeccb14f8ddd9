/* Files of the cache go away again, with all that fetching has put beside them. */
#include "base/mem.h"
#include "fetch/http.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static kvasir_status put_path(char to[FETCH_PATH_BYTES], const char *path, const char *tail)
{
    int n = snprintf(to, FETCH_PATH_BYTES, "%s%s", path, tail);
    return n < FETCH_PATH_BYTES ? KVASIR_OK : fail(KVASIR_E_ARGUMENT, "the path of the cache folder is too long");
}

/* headers/NAME beside the file */
static kvasir_status header_of(char to[FETCH_PATH_BYTES], const char *path)
{
    const char *last = strrchr(path, '/');
    int n = snprintf(to, FETCH_PATH_BYTES, "%.*s/headers%s", (int)(last - path), path, last);
    return n < FETCH_PATH_BYTES ? KVASIR_OK : fail(KVASIR_E_ARGUMENT, "the path of the cache folder is too long");
}

/* The lock that a fetch of the file takes; on the file that has its name still, as there. */
static kvasir_status lock(const char *path, int *fd)
{
    char name[FETCH_PATH_BYTES];
    struct stat ours, named;
    TRY(put_path(name, path, ".lock"));
    for (;;) {
        *fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (*fd < 0) return fail(KVASIR_E_IO, "%s: %s", quoted(name, strlen(name)), strerror(errno));
        if (flock(*fd, LOCK_EX | LOCK_NB) != 0)
            return fail(KVASIR_E_IO, "%s is being fetched by another kvasir; nothing was removed",
                        quoted(path, strlen(path)));
        if (fstat(*fd, &ours) == 0 && lstat(name, &named) == 0 && ours.st_ino == named.st_ino &&
            ours.st_dev == named.st_dev)
            return KVASIR_OK;
        (void)close(*fd);
    }
}

/* *freed grows by what was on the disk for this name alone. */
static kvasir_status drop(const char *path, uint64_t *freed)
{
    struct stat s;
    if (lstat(path, &s) != 0) return KVASIR_OK;
    if (unlink(path) != 0) return fail(KVASIR_E_IO, "%s: %s", quoted(path, strlen(path)), strerror(errno));
    if (S_ISREG(s.st_mode) && s.st_nlink == 1) *freed += (uint64_t)s.st_blocks * 512;
    return KVASIR_OK;
}

void fetch_drop_folders(const char *cache, const char *path)
{
    char folder[FETCH_PATH_BYTES];
    const size_t n = strlen(cache);
    if (strncmp(path, cache, n) != 0 || path[n] != '/') return;
    (void)snprintf(folder, sizeof folder, "%s", path);
    for (char *slash = strrchr(folder, '/'); slash; slash = strrchr(folder, '/')) {
        *slash = '\0';
        if (strlen(folder) <= strlen(cache) || rmdir(folder) != 0) return;
    }
}

/* A link in place of the folder leads out of the cache. */
static bool in_linked_folder(const char *path)
{
    char folder[FETCH_PATH_BYTES];
    struct stat s;
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    return lstat(folder, &s) == 0 && S_ISLNK(s.st_mode);
}

static kvasir_status remove_one(const char *cache, const char *path, uint64_t *freed)
{
    /* The model last: what fails before it leaves it as it is. */
    static const char *const beside[] = {".part", ".part.json", ".json", "", ".lock"};
    char name[FETCH_PATH_BYTES];
    TRY(header_of(name, path));
    if (!in_linked_folder(name)) TRY(drop(name, freed));
    fetch_drop_folders(cache, name);
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        TRY(put_path(name, path, beside[i]));
        TRY(drop(name, freed));
    }
    fetch_forget_choices(cache, path);
    fetch_drop_folders(cache, path);
    return KVASIR_OK;
}

kvasir_status fetch_remove(const char *cache, const char *const *path, int n, uint64_t *freed)
{
    kvasir_status status = KVASIR_OK;
    int locked = 0, *fd = mem_alloc((size_t)n, sizeof *fd);
    if (!fd) return fail_memory((size_t)n * sizeof *fd);
    *freed = 0;
    for (int i = 0; i < n; i++) fd[i] = -1;
    for (; status == KVASIR_OK && locked < n; locked++) status = lock(path[locked], &fd[locked]);
    bool refused = status != KVASIR_OK;
    for (int i = 0; status == KVASIR_OK && i < n; i++) status = remove_one(cache, path[i], freed);
    for (int i = 0; i < locked; i++) {
        char name[FETCH_PATH_BYTES];
        bool is_ours = !refused || i + 1 < locked; /* the last one is not, or was not to be had */
        if (is_ours && put_path(name, path[i], ".lock") == KVASIR_OK) (void)unlink(name);
        if (fd[i] >= 0) (void)close(fd[i]);
    }
    mem_free(fd);
    return status;
}
