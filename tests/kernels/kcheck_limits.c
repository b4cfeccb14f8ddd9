/* What one thread of this machine can do at best, by the library's own loops. */
#include "kcheck.h"

#include "base/mem.h"
#include "kernels/limits.h"

#include <string.h>

enum { STEPS = 4096 };
static const size_t read_bytes = (size_t)96 << 20;

typedef struct loops {
    limit_kernels t;
    const void *memory;
} loops;

static void run_dot(void *p)
{
    const loops *l = p;
    (void)l->t.int8_dot(STEPS);
}

static void run_fma(void *p)
{
    const loops *l = p;
    (void)l->t.f32_fma(STEPS);
}

static void run_read(void *p)
{
    const loops *l = p;
    (void)l->t.read(l->memory, read_bytes);
}

kcheck_limits kcheck_measure_limits(cpu_level level)
{
    kcheck_limits limits = {0};
    void *memory = region_reserve(read_bytes, true);
    loops l = {.memory = memory};
    limit_kernels_init(&l.t, level);
    if (memory) {
        memset(memory, 1, read_bytes);
        limits.read_gbs = (double)read_bytes / kcheck_seconds(run_read, &l) * 1e-9;
        region_free(memory, read_bytes);
    }
    limits.int8_gops = (double)l.t.int8_ops * STEPS / kcheck_seconds(run_dot, &l) * 1e-9;
    limits.f32_gflops = (double)l.t.f32_ops * STEPS / kcheck_seconds(run_fma, &l) * 1e-9;
    return limits;
}
