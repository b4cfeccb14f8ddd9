#include "system/system.h"
#include "base/checked.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PATH_BYTES = 1024,
    TEXT_BYTES = 16 << 10, /* of a file that is read whole */
    MAX_NODES = 1024,
    MAX_CACHES = 16
};
/* Version 1 says "no limit" with a number near 2^63; nobody has an exbibyte of memory. */
static const uint64_t no_limit = (uint64_t)1 << 60;

/* ---- files ---- */

bool system_text(const char *root, const char *path, char *to, size_t n)
{
    char whole[PATH_BYTES];
    int length = snprintf(whole, sizeof whole, "%s%s", root, path);
    if (length < 0 || (size_t)length >= sizeof whole) return false;
    int fd = open(whole, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    size_t used = 0;
    ssize_t got = 0;
    while (used + 1 < n && (got = read(fd, to + used, n - 1 - used)) > 0) used += (size_t)got;
    (void)close(fd);
    to[used] = 0;
    return got >= 0;
}

/* Decimal digits at *s, which moves behind them. False when there are none or too many. */
static bool take_number(const char **s, uint64_t *out)
{
    const char *at = *s;
    uint64_t value = 0;
    if (*at < '0' || *at > '9') return false;
    for (; *at >= '0' && *at <= '9'; at++)
        if (!ck_mul(value, 10, &value) || !ck_add(value, (uint64_t)(*at - '0'), &value)) return false;
    *s = at;
    *out = value;
    return true;
}

bool system_number(const char *root, const char *path, uint64_t *out)
{
    char text[64];
    const char *s = text;
    return system_text(root, path, text, sizeof text) && take_number(&s, out);
}

/* The number behind `name` in the line that begins with it; spaces may stand between. */
static bool line_number(const char *text, const char *name, uint64_t *out)
{
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, name, length) != 0) continue;
        const char *s = line + length + strspn(line + length, " \t");
        return take_number(&s, out);
    }
    return false;
}

/* ---- memory ---- */

static uint64_t kib_line(const char *text, const char *name)
{
    uint64_t kib = 0, bytes = 0;
    return line_number(text, name, &kib) && ck_mul(kib, 1024, &bytes) ? bytes : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void system_meminfo_parse(const char *text, system_memory *out)
{
    uint64_t ignored;
    *out = (system_memory){.total = kib_line(text, "MemTotal:"),
                           .swap = kib_line(text, "SwapTotal:"),
                           .swap_free = kib_line(text, "SwapFree:")};
    out->available = kib_line(text, "MemAvailable:");
    if (!line_number(text, "MemAvailable:", &ignored) && /* before Linux 3.14 */
        !ck_add(kib_line(text, "MemFree:"), kib_line(text, "Cached:"), &out->available))
        out->available = 0;
    if (out->total) out->available = least(out->available, out->total);
    out->swap_free = least(out->swap_free, out->swap);
}

/* The file names of one version of control groups. */
typedef struct group_files {
    const char *mount, *limit, *usage, *cache; /* cache: memory that memory.stat says can be given back */
} group_files;
static const group_files version2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "};
static const group_files version2_beside_1 = {"/sys/fs/cgroup/unified", "memory.max", "memory.current",
                                              "inactive_file "};
static const group_files version1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                     "total_inactive_file "};

static bool group_number(const char *root, const char *folder, const char *name, uint64_t *out)
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length > 0 && (size_t)length < sizeof path && system_number(root, path, out);
}

/* Lowers `m` to the limit of one group, and to the room that is left in it. */
static void apply_group(const char *root, const char *folder, const group_files *f, system_memory *m)
{
    char path[PATH_BYTES], stat[TEXT_BYTES];
    uint64_t limit, used = 0, cache = 0;
    if (!group_number(root, folder, f->limit, &limit) || limit >= no_limit) return;
    m->limit = m->limit ? least(m->limit, limit) : limit;
    (void)group_number(root, folder, f->usage, &used);
    int length = snprintf(path, sizeof path, "%s/memory.stat", folder);
    if (length > 0 && (size_t)length < sizeof path && system_text(root, path, stat, sizeof stat) &&
        line_number(stat, f->cache, &cache))
        used -= least(used, cache);
    m->available = least(m->available, limit - least(limit, used));
}

/* Applies all groups from `group` up to the mount. In a container the path may be the host's, and not be visible here:
   missing folders are skipped, and then the mount itself is the container's own group. */
static void apply_groups(const char *root, const char *group, const group_files *f, system_memory *m)
{
    char folder[PATH_BYTES];
    const size_t mount = strlen(f->mount);
    if (strstr(group, "..")) group = ""; /* not visible in this namespace */
    int length = snprintf(folder, sizeof folder, "%s%s", f->mount, group);
    if (length < 0 || (size_t)length >= sizeof folder) return;
    for (;;) {
        size_t n = strlen(folder);
        while (n > mount && folder[n - 1] == '/') folder[--n] = 0;
        apply_group(root, folder, f, m);
        char *slash = strrchr(folder, '/');
        if (n <= mount || !slash) return;
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

void system_memory_read(const char *root, system_memory *out)
{
    char text[TEXT_BYTES];
    system_meminfo_parse(system_text(root, "/proc/meminfo", text, sizeof text) ? text : "", out);
    if (!system_text(root, "/proc/self/cgroup", text, sizeof text)) text[0] = 0;
    /* Lines are "number:controllers:path"; version 2 has the number 0 and no controllers. */
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = 0;
        const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path) continue;
        if (path == names + 1 && strncmp(line, "0:", 2) == 0) {
            apply_groups(root, path + 1, &version2, out);
            apply_groups(root, path + 1, &version2_beside_1, out);
        } else if (has_word(names + 1, path, "memory")) {
            apply_groups(root, path + 1, &version1, out);
        }
    }
}

uint64_t system_available(void)
{
    system_memory m;
    system_memory_read("", &m);
    return m.available;
}

/* ---- the processor ---- */

/* How many numbers a list such as "0-3,7" has; 0 when it is not such a list. */
static int count_list(const char *s)
{
    int count = 0;
    for (;;) {
        uint64_t first, last;
        if (!take_number(&s, &first)) return 0;
        last = first;
        if (*s == '-') {
            s++;
            if (!take_number(&s, &last)) return 0;
        }
        if (last < first || last - first >= MAX_NODES) return 0;
        count += (int)(last - first) + 1;
        if (count > MAX_NODES) return 0;
        if (*s != ',') return *s == 0 || *s == '\n' ? count : 0;
        s++;
    }
}

int system_numa_nodes(const char *root)
{
    char text[1024];
    int n = system_text(root, "/sys/devices/system/node/online", text, sizeof text) ? count_list(text) : 0;
    return n > 0 ? n : 1;
}

uint64_t system_last_cache(const char *root)
{
    uint64_t largest = 0;
    for (int i = 0; i < MAX_CACHES; i++) {
        char path[96], text[64];
        uint64_t size, unit;
        (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        const char *s = text;
        if (!system_text(root, path, text, sizeof text) || !take_number(&s, &size)) continue;
        unit = *s == 'K' ? (uint64_t)1 << 10 : *s == 'M' ? (uint64_t)1 << 20 : *s == 'G' ? (uint64_t)1 << 30 : 1;
        if (ck_mul(size, unit, &size) && size > largest && size < no_limit) largest = size;
    }
    return largest;
}

void cpu_model_name(char *to, size_t n)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    (void)snprintf(to, n, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon || !colon[1]) continue;
        line[strcspn(line, "\n")] = 0;
        (void)snprintf(to, n, "%s", colon + 2);
        break;
    }
    if (f) (void)fclose(f);
}
