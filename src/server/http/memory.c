#include "server/http/memory.h"

#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <stdlib.h>

/* libevent has one allocator for the process, so this is one too. The server is one thread. */
static struct {
    size_t used, most, peak; /* peak: since memory was last given back */
} memory;

enum { SMALL = 512, WORTH_TRIMMING = 8 << 20 };

/* What is small is always allowed: an answer's headers, an event, a connection that is about to be refused. */
static int is_refused(size_t n)
{
    if (n <= SMALL || memory.used + n <= memory.most) return 0;
    errno = ENOMEM; /* else libevent would look at an old error and may try again at once */
    return 1;
}

static void count(const void *p)
{
    memory.used += malloc_usable_size((void *)p);
    if (memory.used > memory.peak) memory.peak = memory.used;
}

static void *allocate(size_t n)
{
    void *p = is_refused(n) ? NULL : malloc(n);
    if (p) count(p);
    return p;
}

static void *grow(void *old, size_t n)
{
    size_t before = old ? malloc_usable_size(old) : 0;
    if (n > before && is_refused(n - before)) return NULL;
    void *p = realloc(old, n ? n : 1);
    if (!p) return NULL;
    memory.used -= before;
    if (p) count(p);
    return p;
}

static void release(void *p)
{
    if (p) memory.used -= malloc_usable_size(p);
    free(p);
}

void http_memory_limit(size_t most)
{
    memory.most = most;
    event_set_mem_functions(allocate, grow, release);
}

size_t http_memory_used(void)
{
    return memory.used;
}

void http_memory_trim(void)
{
    if (memory.peak - memory.used < WORTH_TRIMMING) return;
    memory.peak = memory.used;
    (void)malloc_trim(0);
}
