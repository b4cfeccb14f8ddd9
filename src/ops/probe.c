/* A machine's profile: the limits of several teams and levels, and the kernels of one level, from bench*.c. Everything
   is measured in two rounds, some time apart, and the better one counts. On a computer that others use, too, a
   disturbance often lasts longer than the measuring of one row. */
#include "ops/probe.h"
#include "ops/bench_internal.h"
#include "base/clock.h"
#include "base/quantile.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 2, LIMITS_OF_TEAM = 4, LIMITS_OF_LEVEL = 2 };

typedef struct probe {
    bench b;
    cpu_level level;
    kvasir_machine *out;
    kvasir_probe_fn on_step;
    void *user;
    int done, round_end, all; /* steps */
    bool cancelled;
    double end; /* when the second round stops, complete or not */
    int round;
    double ratio[KVASIR_MACHINE_KERNELS]; /* of a kernel's two measurements, the better over the other */
    int n_ratios;
} probe;

/* Sizes of teams: 1, 2, 4, ... and n itself. Returns how many; `to` holds 16. */
static int team_sizes(int n, int *to)
{
    int count = 0;
    for (int size = 1; size < n; size *= 2) to[count++] = size;
    to[count++] = n;
    return count;
}

static int other_levels(cpu_level level, cpu_level *to)
{
    int count = 0;
    for (int i = 0; i < CPU_LEVELS; i++)
        if (i != (int)level && cpu_has((cpu_level)i)) to[count++] = (cpu_level)i;
    return count;
}

static int rows_of_round(int n_threads, cpu_level level)
{
    int sizes[16];
    cpu_level levels[CPU_LEVELS];
    return team_sizes(n_threads, sizes) * LIMITS_OF_TEAM + 1 + BENCH_KERNEL_ROWS +
           other_levels(level, levels) * LIMITS_OF_LEVEL * (n_threads > 1 ? 2 : 1);
}

int probe_steps(int n_threads, cpu_level level)
{
    return ROUNDS * rows_of_round(n_threads, level);
}

/* Reports what is measured next, and notes when the caller wants no more. */
static void begin_row(probe *p, const char *what)
{
    if (p->on_step && !p->cancelled && p->on_step(p->user, what, p->done, p->all)) p->cancelled = true;
    p->done++;
    if (p->cancelled || (p->round > 0 && clock_now() > p->end)) p->b.stop = true;
}

static void keep_best(const probe *p, double *best, double value)
{
    if (!p->b.stop && isfinite(value) && value > *best) *best = value;
}

/* ---- teams ---- */

static kvasir_machine_team *team_row(probe *p, cpu_level level, int threads)
{
    kvasir_machine *m = p->out;
    for (int i = 0; i < m->n_teams; i++)
        if (m->team[i].threads == threads && strcmp(m->team[i].level, cpu_level_name(level)) == 0) return &m->team[i];
    if (m->n_teams == KVASIR_MACHINE_TEAMS) return NULL;
    kvasir_machine_team *row = &m->team[m->n_teams++];
    *row = (kvasir_machine_team){.threads = threads};
    (void)snprintf(row->level, sizeof row->level, "%s", cpu_level_name(level));
    return row;
}

static void peaks(probe *p, team *who, kvasir_machine_team *row)
{
    char what[64];
    (void)snprintf(what, sizeof what, "int8 peak, %s, %d threads", row->level, row->threads);
    begin_row(p, what);
    keep_best(p, &row->int8_ops_per_s, bench_int8_rate(&p->b, who));
    (void)snprintf(what, sizeof what, "f32 peak, %s, %d threads", row->level, row->threads);
    begin_row(p, what);
    keep_best(p, &row->f32_ops_per_s, bench_f32_rate(&p->b, who));
}

static void measure_team(probe *p, team *who)
{
    char what[64];
    kvasir_machine_team *row = team_row(p, p->level, team_size(who));
    if (!row) return;
    (void)snprintf(what, sizeof what, "read bandwidth, %d threads", row->threads);
    begin_row(p, what);
    keep_best(p, &row->read_bytes_per_s, bench_read_rate(&p->b, who));
    peaks(p, who, row);
    (void)snprintf(what, sizeof what, "barrier, %d threads", row->threads);
    begin_row(p, what);
    if (row->threads == 1) return; /* nobody waits */
    double seconds = bench_barrier_seconds(&p->b, who);
    if (!p->b.stop && isfinite(seconds) && (row->barrier_s == 0 || seconds < row->barrier_s)) row->barrier_s = seconds;
}

static kvasir_status measure_teams(probe *p)
{
    int sizes[16], n = team_sizes(team_size(p->b.all), sizes);
    for (int i = 0; i < n; i++) {
        team *who = sizes[i] == 1 ? p->b.one : sizes[i] == team_size(p->b.all) ? p->b.all : NULL, *made = NULL;
        if (!who) {
            TRY(team_create(sizes[i], &made));
            who = made;
        }
        measure_team(p, who);
        team_free(made);
    }
    return KVASIR_OK;
}

static void measure_levels(probe *p)
{
    cpu_level levels[CPU_LEVELS];
    int n = other_levels(p->level, levels);
    for (int i = 0; i < n; i++) {
        limit_kernels_init(&p->b.loops, levels[i]);
        for (int all = 0; all < (p->b.all == p->b.one ? 1 : 2); all++) {
            team *who = all ? p->b.all : p->b.one;
            kvasir_machine_team *row = team_row(p, levels[i], team_size(who));
            if (row) peaks(p, who, row);
        }
    }
    limit_kernels_init(&p->b.loops, p->level);
}

/* ---- kernels ---- */

/* bench's rows are in 10^9 of these. */
static const char *unit_of(const char *unit)
{
    return strcmp(unit, "GB/s") == 0 ? "B/s" : strcmp(unit, "GFLOP/s") == 0 ? "FLOP/s" : "op/s";
}

static void keep_row(void *user, const kvasir_bench_row *r)
{
    probe *p = user;
    kvasir_machine *m = p->out;
    int at = 0;
    while (at < m->n_kernels && (m->kernel[at].threads != r->threads || strcmp(m->kernel[at].name, r->name) != 0)) at++;
    if (at == m->n_kernels && !p->b.stop && at < KVASIR_MACHINE_KERNELS) {
        kvasir_machine_kernel *k = &m->kernel[m->n_kernels++];
        *k = (kvasir_machine_kernel){.threads = r->threads};
        (void)snprintf(k->name, sizeof k->name, "%s", r->name);
        (void)snprintf(k->unit, sizeof k->unit, "%s", unit_of(r->unit));
        (void)snprintf(k->level, sizeof k->level, "%s", cpu_level_name(p->level));
    }
    if (at < m->n_kernels) {
        const double before = m->kernel[at].rate, now = r->value * 1e9;
        if (p->round > 0 && !p->b.stop && before > 0 && now > 0 && p->n_ratios < KVASIR_MACHINE_KERNELS)
            p->ratio[p->n_ratios++] = fmax(now / before, before / now);
        keep_best(p, &m->kernel[at].rate, now);
    }
    if (p->done < p->round_end) begin_row(p, r->name); /* the next row, which is like this one */
}

static kvasir_status measure_round(probe *p)
{
    p->round_end = p->done + rows_of_round(team_size(p->b.all), p->level);
    TRY(measure_teams(p));
    measure_levels(p);
    begin_row(p, "cached reads");
    p->b.cached = bench_cached_rate(&p->b, p->b.one);
    bench_row(&p->b, p->b.one, "read cached", "GB/s", p->b.cached * 1e-9, 0);
    bench_kernels(&p->b);
    return p->cancelled ? fail(KVASIR_E_CANCELLED, "stopped") : KVASIR_OK;
}

kvasir_status probe_measure(int n_threads, cpu_level level, double seconds, kvasir_probe_fn on_step, void *user,
                            int first_step, int all_steps, kvasir_machine *out)
{
    probe p = {.level = level, .out = out, .on_step = on_step, .user = user, .done = first_step, .all = all_steps};
    p.b = (bench){.row_seconds = seconds / ROUNDS / rows_of_round(n_threads, level), .on_row = keep_row, .user = &p};
    p.end = clock_now() + seconds;
    TRY(team_create(n_threads, &p.b.all));
    kvasir_status status = bench_prepare(&p.b, level);
    for (; status == KVASIR_OK && p.round < ROUNDS && !p.b.stop; p.round++) status = measure_round(&p);
    bench_release(&p.b);
    team_free(p.b.all);
    sort_ascending(p.ratio, p.n_ratios);
    if (p.n_ratios) out->spread = quantile(p.ratio, p.n_ratios, 0.5) - 1;
    return status;
}
