#include "cli/machine/machine.h"
#include "cli/machine/units.h"

#include <stdio.h>
#include <string.h>
#include <string.h>

/* A cell of `width`, right-aligned; a dash for what is not known. */
static void number(double value, double unit, int width, int digits)
{
    if (value > 0)
        (void)printf(" %*.*f", width, digits, value / unit);
    else
        (void)printf(" %*s", width, "-");
}

static const char *rate_text(double rate, char to[FORMAT_BYTES])
{
    return rate > 0 ? quantity_text(QUANTITY_RATE, rate, to) : "not known";
}

static void print_memory(const kvasir_machine *m)
{
    (void)printf("%-10s %s", "memory", bytes_text(m->memory_bytes));
    if (m->available_bytes) (void)printf(", %s available", bytes_text(m->available_bytes));
    if (m->limit_bytes) (void)printf(", limited to %s", bytes_text(m->limit_bytes));
    if (m->swap_bytes)
        (void)printf(", swap %s (%s free)\n", bytes_text(m->swap_bytes), bytes_text(m->swap_free_bytes));
    else
        (void)printf(", no swap\n");
}

static void print_gpu(const kvasir_machine_gpu *g)
{
    char text[FORMAT_BYTES];
    (void)printf("%-10s %s, %s", "gpu", g->name, bytes_text(g->memory_bytes));
    if (g->unified) (void)printf(" of the machine's memory");
    if (g->free_bytes) (void)printf(" (%s free)", bytes_text(g->free_bytes));
    if (g->read_bytes_per_s > 0) (void)printf(", %s", quantity_text(QUANTITY_RATE, g->read_bytes_per_s, text));
    if (g->link_bytes_per_s > 0) (void)printf(", link %s", quantity_text(QUANTITY_RATE, g->link_bytes_per_s, text));
    (void)printf("\n");
}

static void print_teams(const kvasir_machine *m)
{
    (void)printf("\n%-12s %4s %10s %12s %12s %10s\n", "level", "thr", "read GB/s", "int8 Gop/s", "f32 GFLOP/s",
                 "barrier us");
    for (int i = 0; i < m->n_teams; i++) {
        const kvasir_machine_team *t = &m->team[i];
        (void)printf("%-12s %4d", t->level, t->threads);
        number(t->read_bytes_per_s, 1e9, 10, 2);
        number(t->int8_ops_per_s, 1e9, 12, 2);
        number(t->f32_ops_per_s, 1e9, 12, 2);
        number(t->barrier_s, 1e-6, 10, 2);
        (void)printf("\n");
    }
}

static void print_kernels(const kvasir_machine *m)
{
    if (m->n_kernels) (void)printf("\n%-40s %4s %10s %-8s %s\n", "kernel", "thr", "value", "unit", "level");
    for (int i = 0; i < m->n_kernels; i++) {
        const kvasir_machine_kernel *k = &m->kernel[i];
        (void)printf("%-40s %4d %10.2f G%-7s %s\n", k->name, k->threads, k->rate * 1e-9, k->unit, k->level);
    }
}

/* The best level's team of that many threads. */
static const kvasir_machine_team *team_of(const kvasir_machine *m, int threads)
{
    for (int i = 0; i < m->n_teams; i++)
        if (m->team[i].threads == threads && strcmp(m->team[i].level, m->team[0].level) == 0) return &m->team[i];
    return NULL;
}

bool machine_was_busy(const kvasir_machine *m, char *to, size_t n)
{
    /* A machine that is left alone has less of each by far (docs/probe.md); two threads on one core reach what one does. */
    static const double MOST_OTHERS = 0.1, MOST_SPREAD = 0.25, LEAST_GAIN = 0.9;
    const kvasir_machine_team *one = team_of(m, 1), *two = team_of(m, 2);
    size_t used = 0;
    to[0] = '\0';
    if (m->busy_cores > MOST_OTHERS * m->n_cores)
        used += (size_t)snprintf(to, n, "other programs used %.1f of %d core%s", m->busy_cores, m->n_cores,
                                 m->n_cores == 1 ? "" : "s");
    if (m->spread > MOST_SPREAD && used < n)
        used += (size_t)snprintf(to + used, n - used, "%sthe same differed by %.0f%% between two measurements",
                                 used ? "; " : "", 100 * m->spread);
    if (one && two && two->int8_ops_per_s < LEAST_GAIN * one->int8_ops_per_s && used < n)
        used += (size_t)snprintf(to + used, n - used, "%stwo threads together computed %.1f times what one does",
                                 used ? "; " : "", two->int8_ops_per_s / one->int8_ops_per_s);
    return used > 0;
}

void machine_print(const kvasir_machine *m)
{
    char disk[FORMAT_BYTES], cache[FORMAT_BYTES];
    (void)printf("%-10s %s%s%s\n", "machine", m->name, m->date[0] ? ", measured " : "", m->date);
    (void)printf("%-10s %s, %d core%s", "cpu", m->cpu[0] ? m->cpu : "not known", m->n_cores,
                 m->n_cores == 1 ? "" : "s");
    if (m->n_numa_nodes) (void)printf(", %d NUMA node%s", m->n_numa_nodes, m->n_numa_nodes == 1 ? "" : "s");
    if (m->cache_bytes) (void)printf(", last cache %s", bytes_text(m->cache_bytes));
    (void)printf("\n");
    print_memory(m);
    (void)printf("%-10s %s; page cache %s\n", "disk", rate_text(m->disk_bytes_per_s, disk),
                 rate_text(m->page_cache_bytes_per_s, cache));
    for (int i = 0; i < m->n_gpus; i++) print_gpu(&m->gpu[i]);
    print_teams(m);
    print_kernels(m);
}
