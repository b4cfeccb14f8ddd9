#include "system/system.h"
#include "base/cgroup.h"
#include "base/checked.h"
#include "base/small_file.h"

#include <stdio.h>
#include <string.h>

enum {
    PATH_BYTES = 1024,
    TEXT_BYTES = 16 << 10, /* of a file that is read whole */
    MAX_NODES = 1024,
    MAX_CACHES = 16
};
/* Version 1 says "no limit" with a number near 2^63; nobody has an exbibyte of memory. */
static const uint64_t no_limit = (uint64_t)1 << 60;

/* The number behind `name` in the line that begins with it; spaces may stand between. */
static bool line_number(const char *text, const char *name, uint64_t *out)
{
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, name, length) != 0) continue;
        const char *s = line + length + strspn(line + length, " \t");
        return small_take_number(&s, out);
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
    const char *limit, *usage, *cache; /* cache: memory that memory.stat says can be given back */
} group_files;

/* Lowers a system_memory to the limit of one group, and to the room that is left in it. */
static void apply_group(void *user, const cgroup *g)
{
    static const group_files versions[2] = {{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "},
                                            {"memory.max", "memory.current", "inactive_file "}};
    const group_files *f = &versions[g->version == 2];
    system_memory *m = user;
    char stat[TEXT_BYTES];
    uint64_t limit, used = 0, cache = 0;
    if (!cgroup_number(g, f->limit, &limit) || limit >= no_limit) return;
    m->limit = m->limit ? least(m->limit, limit) : limit;
    (void)cgroup_number(g, f->usage, &used);
    if (cgroup_text(g, "memory.stat", stat, sizeof stat) && line_number(stat, f->cache, &cache))
        used -= least(used, cache);
    m->available = least(m->available, limit - least(limit, used));
}

void system_memory_read(const char *root, system_memory *out)
{
    char text[TEXT_BYTES];
    system_meminfo_parse(small_text(root, "/proc/meminfo", text, sizeof text) ? text : "", out);
    cgroup_each(root, "memory", apply_group, out);
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
        if (!small_take_number(&s, &first)) return 0;
        last = first;
        if (*s == '-') {
            s++;
            if (!small_take_number(&s, &last)) return 0;
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
    int n = small_text(root, "/sys/devices/system/node/online", text, sizeof text) ? count_list(text) : 0;
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
        if (!small_text(root, path, text, sizeof text) || !small_take_number(&s, &size)) continue;
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
