#include "base/cgroup.h"
#include "base/small_file.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 1024, TEXT_BYTES = 16 << 10 };

static bool path_of(const cgroup *g, const char *name, char path[PATH_BYTES])
{
    const int length = snprintf(path, PATH_BYTES, "%s/%s", g->folder, name);
    return length > 0 && length < PATH_BYTES;
}

bool cgroup_text(const cgroup *g, const char *name, char *to, size_t n)
{
    char path[PATH_BYTES];
    return path_of(g, name, path) && small_text(g->root, path, to, n);
}

bool cgroup_number(const cgroup *g, const char *name, uint64_t *out)
{
    char path[PATH_BYTES];
    return path_of(g, name, path) && small_number(g->root, path, out);
}

/* Calls fn for all groups from `group` up to the mount. */
static void each_below(const char *root, const char *mount, const char *group, int version, cgroup_fn fn, void *user)
{
    char folder[PATH_BYTES];
    const size_t n_mount = strlen(mount);
    if (strstr(group, "..")) group = ""; /* not visible in this namespace */
    const int length = snprintf(folder, sizeof folder, "%s%s", mount, group);
    if (length < 0 || length >= PATH_BYTES) return;
    for (;;) {
        size_t n = strlen(folder);
        while (n > n_mount && folder[n - 1] == '/') folder[--n] = 0;
        fn(user, &(cgroup){.version = version, .root = root, .folder = folder});
        char *slash = strrchr(folder, '/');
        if (n <= n_mount || !slash) return;
        *slash = 0;
    }
}

/* Is `name` one of the comma-separated words in [list, end)? */
static bool has_word(const char *list, const char *end, const char *name)
{
    const size_t length = strlen(name);
    for (const char *s = list; s < end;) {
        const char *comma = memchr(s, ',', (size_t)(end - s)), *stop = comma ? comma : end;
        if ((size_t)(stop - s) == length && memcmp(s, name, length) == 0) return true;
        s = stop + 1;
    }
    return false;
}

/* Version 1 has a mount for each controller, or for the list of those that share one; often both names lead to one. */
static void each_of_version_1(const char *root, const char *controller, const char *names, const char *end,
                              const char *group, cgroup_fn fn, void *user)
{
    char mount[PATH_BYTES];
    const int n = (int)(end - names);
    if (!has_word(names, end, controller)) return;
    (void)snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", controller);
    each_below(root, mount, group, 1, fn, user);
    if ((size_t)n == strlen(controller)) return;
    if (snprintf(mount, sizeof mount, "/sys/fs/cgroup/%.*s", n, names) < PATH_BYTES)
        each_below(root, mount, group, 1, fn, user);
}

void cgroup_each(const char *root, const char *controller, cgroup_fn fn, void *user)
{
    char text[TEXT_BYTES];
    if (!small_text(root, "/proc/self/cgroup", text, sizeof text)) return;
    /* Lines are "number:controllers:path"; version 2 has the number 0 and no controllers. */
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = 0;
        const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path) continue;
        if (path == names + 1 && strncmp(line, "0:", 2) == 0) {
            each_below(root, "/sys/fs/cgroup", path + 1, 2, fn, user);
            each_below(root, "/sys/fs/cgroup/unified", path + 1, 2, fn, user); /* beside version 1 */
        } else {
            each_of_version_1(root, controller, names + 1, path, path + 1, fn, user);
        }
    }
}
