#include "base/mem.h"
#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static _Thread_local int forbid_depth;
static _Thread_local unsigned forbid_count;

void mem_forbid(bool on)
{
    forbid_depth += on ? 1 : -1;
}

unsigned mem_forbidden(void)
{
    return forbid_count;
}

void *mem_alloc(size_t count, size_t size)
{
    if (forbid_depth > 0) {
        forbid_count++;
        return NULL;
    }
    return calloc(count ? count : 1, size ? size : 1);
}

void *mem_grow(void *p, size_t old_count, size_t new_count, size_t size)
{
    uint64_t bytes;
    if (forbid_depth > 0) {
        forbid_count++;
        return NULL;
    }
    if (!ck_mul(new_count, size, &bytes) || bytes > SIZE_MAX / 2) return NULL;
    char *q = realloc(p, bytes ? (size_t)bytes : 1);
    if (q && new_count > old_count) memset(q + old_count * size, 0, (new_count - old_count) * size);
    return q;
}

void mem_free(void *p)
{
    free(p);
}

char *mem_text(const char *s, size_t n)
{
    char *t = mem_alloc(n + 1, 1);
    if (t && n) memcpy(t, s, n);
    return t;
}

struct arena_chunk {
    arena_chunk *next;
    size_t used, room;
};

enum { CHUNK_HEADER = 32, CHUNK_BYTES = 64 << 10, ARENA_ALIGN = 16 };
_Static_assert(sizeof(arena_chunk) <= CHUNK_HEADER, "the header has room");

static void *arena_take(arena *a, size_t bytes, size_t align)
{
    arena_chunk *c = a->head;
    size_t at = c ? align_up(c->used, align) : 0;
    if (!c || at > c->room || bytes > c->room - at) {
        size_t room = max_size(bytes, CHUNK_BYTES);
        c = mem_alloc(1, CHUNK_HEADER + room);
        if (!c) return NULL;
        c->room = room;
        if (a->head && bytes > CHUNK_BYTES / 4) { /* a large piece does not end the chunk in use */
            c->next = a->head->next;
            a->head->next = c;
        } else {
            c->next = a->head;
            a->head = c;
        }
        at = 0;
    }
    c->used = at + bytes;
    a->used += bytes;
    return (char *)c + CHUNK_HEADER + at;
}

void *arena_alloc(arena *a, size_t count, size_t size)
{
    uint64_t bytes;
    if (!ck_mul(count, size, &bytes) || bytes > SIZE_MAX / 2) return NULL;
    return arena_take(a, (size_t)bytes, ARENA_ALIGN);
}

char *arena_text(arena *a, const char *s, size_t n)
{
    char *t = arena_take(a, n + 1, 1);
    if (!t) return NULL;
    if (n) memcpy(t, s, n);
    t[n] = 0;
    return t;
}

void arena_free(arena *a)
{
    for (arena_chunk *c = a->head, *next; c; c = next) {
        next = c->next;
        mem_free(c);
    }
    *a = (arena){0};
}

void *region_reserve(size_t bytes, bool huge)
{
    void *p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    (void)madvise(p, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return p;
}

void region_release(void *p, size_t bytes)
{
    (void)madvise(p, bytes, MADV_DONTNEED);
}

void region_free(void *p, size_t bytes)
{
    if (p) (void)munmap(p, bytes ? bytes : 1);
}

size_t mem_resident(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f) return 0;
    if (fscanf(f, "%lu %lu", &pages, &resident) != 2) resident = 0;
    (void)fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

size_t mem_peak_resident(void)
{
    struct rusage r;
    char line[128];
    unsigned long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && kib == 0 && fgets(line, sizeof line, f)) (void)sscanf(line, "VmHWM: %lu", &kib);
    if (f) (void)fclose(f);
    if (kib > 0) return (size_t)kib << 10;
    /* This may be too high: a process starts with the peak of the one that started it. */
    return getrusage(RUSAGE_SELF, &r) == 0 ? (size_t)r.ru_maxrss << 10 : 0;
}
