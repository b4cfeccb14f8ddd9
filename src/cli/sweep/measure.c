/* Measuring: one sequence for each KV type is filled step by step, and what is measured at a depth runs in forks of it.
   The sequence itself never goes back, so nothing is computed twice and a sweep costs one prefill. */
#include "cli/sweep/sweep.h"
#include "cli/eval/eval.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/mem.h"
#include "base/quantile.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* ---- estimating ---- */

/* A least-squares line through samples that come one by one. */
typedef struct line {
    double n, x, y, xx, xy;
} line;

static void line_add(line *l, double x, double y)
{
    l->n++;
    l->x += x;
    l->y += y;
    l->xx += x * x;
    l->xy += x * y;
}

static double line_at(const line *l, double x)
{
    double spread = l->n * l->xx - l->x * l->x;
    double slope = spread > 0 ? fmax(0, (l->n * l->xy - l->x * l->y) / spread) : 0; /* deeper is not faster */
    return fmax(0, (l->y - slope * l->x) / l->n + slope * x);
}

#define SHORT_RUN     0.03 /* seconds of decoding, beside which memory is not measured */
#define RUN_BANDWIDTH 0.1  /* seconds of the best of several passes */

typedef struct meter {
    sweep *w;
    kvasir_seq *seq;      /* filled so far; holds depth - 1 tokens while a depth is measured */
    int type, at;         /* the row: index of the type, of the depth */
    int has_runs;         /* a step has been run, so that weights and threads are awake */
    double *seconds;      /* of decode steps, plan.tg * plan.repeat; of prefills, plan.repeat */
    line prefill, decode; /* seconds per token by depth, of all types together */
} meter;

/* Seconds of the row's measurements. */
static double row_cost(const meter *m, int depth)
{
    const sweep_plan *p = &m->w->plan;
    return p->repeat * (p->pp * line_at(&m->prefill, depth + p->pp / 2.0) + p->tg * line_at(&m->decode, depth));
}

/* Seconds of the whole sweep from here, `share` being what the present row still has to do; NAN while nothing is
   known. */
static double seconds_left(const meter *m, double share)
{
    const sweep_plan *p = &m->w->plan;
    if (m->prefill.n == 0 || m->decode.n == 0) return NAN;
    double sum = 0;
    for (int t = m->type; t < p->n_types; t++) {
        int now = t == m->type, from = now ? kvasir_seq_length(m->seq) : 0;
        for (int d = now ? m->at : 0; d < p->n_depths; d++) {
            if (sweep_row_at(m->w, t, d)->state != SWEEP_MISSING) continue;
            int to = max_int(p->depth[d], from);
            sum += (to - from) * line_at(&m->prefill, (from + to) / 2.0);
            sum += row_cost(m, to) * (now && d == m->at ? share : 1);
            from = to;
        }
    }
    return sum;
}

static void show(const meter *m, progress *bar, int done, int total, double share)
{
    char left[FORMAT_BYTES], text[FORMAT_BYTES + 32];
    double seconds = seconds_left(m, share);
    if (isfinite(seconds)) (void)snprintf(text, sizeof text, "whole sweep: %s left", format_time(ceil(seconds), left));
    progress_update(bar, (uint64_t)done, (uint64_t)total, isfinite(seconds) ? text : NULL);
}

/* ---- steps ---- */

/* Appends the text's next n tokens; *seconds is what it took. */
static kvasir_status feed(const meter *m, kvasir_seq *seq, int n, kvasir_want want, double *seconds,
                          const float **logits)
{
    kvasir_work work = {.seq = seq, .ids = m->w->plan.ids + kvasir_seq_length(seq), .n = n, .want = want};
    if (interrupted()) return fail(KVASIR_E_CANCELLED, "stopped");
    double start = clock_now();
    kvasir_status status = kvasir_step(m->w->s.engine, &work, 1);
    *seconds = clock_now() - start;
    if (logits) *logits = work.logits;
    return status;
}

static kvasir_status fill(meter *m, int to, progress *bar)
{
    int start = kvasir_seq_length(m->seq);
    for (int from = start; from < to; from = kvasir_seq_length(m->seq)) {
        int n = min_int(m->w->info.max_batch, to - from);
        double seconds = 0;
        TRY(feed(m, m->seq, n, KVASIR_WANT_NONE, &seconds, NULL));
        line_add(&m->prefill, from + n / 2.0, seconds / n);
        show(m, bar, from + n - start, to - start, 1);
    }
    return KVASIR_OK;
}

/* A sequence of `depth` tokens to measure with. The last of them is computed here and not timed: this step copies the
   shared block that is being filled, and the timed ones find the weights and the threads as a step leaves them. */
static kvasir_status open_fork(const meter *m, int depth, kvasir_seq **out)
{
    double seconds = 0;
    TRY(kvasir_seq_fork(m->seq, -1, out));
    return depth > 0 ? feed(m, *out, 1, KVASIR_WANT_LAST, &seconds, NULL) : KVASIR_OK;
}

/* Before the first row: the weights are touched and the threads are awake. */
static kvasir_status warm_up(meter *m)
{
    double seconds = 0;
    kvasir_seq *f = NULL;
    if (m->has_runs) return KVASIR_OK;
    m->has_runs = 1;
    kvasir_status status = open_fork(m, 0, &f);
    if (status == KVASIR_OK) status = feed(m, f, m->w->plan.behind, KVASIR_WANT_LAST, &seconds, NULL);
    kvasir_seq_free(f);
    return status;
}

/* ---- a row ---- */

/* Sorts them. */
static double median(double *values, int n)
{
    sort_ascending(values, n);
    return quantile(values, n, 0.5);
}

static void note_memory(const meter *m, const kvasir_seq *f, sweep_row *r)
{
    kvasir_engine_info info;
    kvasir_engine_get_info(m->w->s.engine, &info);
    r->rss_bytes = (int64_t)info.resident_bytes;
    r->kv_bytes = (int64_t)kvasir_seq_kv_bytes(f);
    r->step_bytes = (int64_t)kvasir_seq_step_bytes(f);
}

/* How fast memory is beside a run of so many seconds, since that may change from one to the next: but beside those of a small
   model, which are over sooner, as it was at the start. */
static kvasir_status read_memory(const meter *m, double run_seconds, double *bytes_per_s)
{
    const engine_args *e = &m->w->engine;
    const kvasir_engine_options o = {.n_threads = e->threads, .cpu = cpu_choice(e->cpu)};
    *bytes_per_s = m->w->read_bytes_per_s;
    return run_seconds < SHORT_RUN ? KVASIR_OK : kvasir_read_bandwidth(&o, RUN_BANDWIDTH, bytes_per_s);
}

/* Prefills of plan.pp tokens behind the depth: the middle one counts. */
static kvasir_status measure_prefill(meter *m, sweep_row *r, progress *bar)
{
    const sweep_plan *p = &m->w->plan;
    double *prefill = m->seconds, *first = m->seconds + p->repeat;
    for (int i = 0; i < p->repeat; i++) {
        kvasir_seq *f = NULL;
        const float *logits = NULL;
        kvasir_status status = open_fork(m, r->depth, &f);
        if (status == KVASIR_OK && i == 0) note_memory(m, f, r);
        double start = clock_now();
        if (status == KVASIR_OK) status = feed(m, f, p->pp, KVASIR_WANT_LAST, &prefill[i], &logits);
        if (status == KVASIR_OK) {
            (void)eval_argmax(logits, m->w->s.info->n_vocab);
            first[i] = clock_now() - start;
            line_add(&m->prefill, r->depth + p->pp / 2.0, prefill[i] / p->pp);
        }
        kvasir_seq_free(f);
        if (status != KVASIR_OK) return status;
        show(m, bar, (i + 1) * p->pp, p->repeat * p->pp, 1 - 0.5 * (i + 1) / p->repeat);
    }
    r->prefill_tps = p->pp / median(prefill, p->repeat);
    r->ttft_ms = 1e3 * median(first, p->repeat);
    return KVASIR_OK;
}

/* Runs of plan.tg tokens behind the depth, a step each: all of them count. */
static kvasir_status measure_decode(meter *m, sweep_row *r, progress *bar)
{
    const sweep_plan *p = &m->w->plan;
    int n = 0, all = p->tg * p->repeat;
    double sum = 0, memory[SWEEP_MAX_REPEAT];
    for (int i = 0; i < p->repeat; i++) {
        const double before = sum;
        kvasir_seq *f = NULL;
        kvasir_status status = open_fork(m, r->depth, &f);
        for (int j = 0; j < p->tg && status == KVASIR_OK; j++) {
            status = feed(m, f, 1, KVASIR_WANT_LAST, &m->seconds[n], NULL);
            if (status != KVASIR_OK) break;
            sum += m->seconds[n];
            line_add(&m->decode, r->depth + j, m->seconds[n++]);
            show(m, bar, n, all, 0.5 - 0.5 * n / all);
        }
        kvasir_seq_free(f);
        if (status == KVASIR_OK) status = read_memory(m, sum - before, &memory[i]);
        if (status != KVASIR_OK) return status;
    }
    r->decode_tps = n / sum;
    r->decode_ms_p50 = 1e3 * median(m->seconds, n);
    r->decode_ms_p95 = 1e3 * quantile(m->seconds, n, 0.95);
    r->read_bytes_per_s = median(memory, p->repeat);
    r->floor_ms = 1e3 * (double)r->step_bytes / r->read_bytes_per_s;
    r->floor_ratio = r->decode_ms_p50 / r->floor_ms;
    return KVASIR_OK;
}

static int64_t major_faults(void)
{
    struct rusage used = {0};
    (void)getrusage(RUSAGE_SELF, &used);
    return used.ru_majflt;
}

/* One part of a row with its progress line. */
static kvasir_status part(meter *m, sweep_row *r, const char *what,
                          kvasir_status (*measure)(meter *m, sweep_row *r, progress *bar))
{
    char label[96], type[SWEEP_TYPE_BYTES];
    sweep_type_text(r->kv_k, r->kv_v, type);
    (void)snprintf(label, sizeof label, "%s, depth %s, %s:", type, count_text((uint64_t)r->depth), what);
    progress bar = progress_start(label, "tokens");
    kvasir_status status = measure(m, r, &bar);
    progress_end(&bar);
    return status;
}

static kvasir_status reach(meter *m, sweep_row *r, progress *bar)
{
    return fill(m, max_int(r->depth - 1, 0), bar);
}

static kvasir_status measure_row(meter *m, sweep_row *r)
{
    sweep_row measured = *r;
    int64_t faults = major_faults();
    kvasir_status status = part(m, &measured, "filling", reach);
    if (status == KVASIR_OK) status = part(m, &measured, "prefill", measure_prefill);
    if (status == KVASIR_OK) status = part(m, &measured, "decode", measure_decode);
    if (status != KVASIR_OK) return status;
    measured.major_faults = major_faults() - faults;
    measured.state = SWEEP_DONE;
    *r = measured;
    return KVASIR_OK;
}

/* A row that memory is too short for says so; any other failure is passed on. */
static kvasir_status tolerate(sweep_row *r, kvasir_status status)
{
    if (status != KVASIR_E_MEMORY) return status;
    r->state = SWEEP_FAILED;
    (void)snprintf(r->error, sizeof r->error, "%s", kvasir_message());
    return KVASIR_OK;
}

/* ---- a KV type ---- */

/* A sequence for the deepest of the missing rows that the budget has room for; the rows beyond it fail. NULL when there
   is no room for any, or none is missing. */
static kvasir_status open_sequence(meter *m)
{
    const sweep_plan *p = &m->w->plan;
    for (int d = p->n_depths - 1; d >= 0 && !m->seq; d--) {
        sweep_row *r = sweep_row_at(m->w, m->type, d);
        kvasir_seq_options o = {.n_ctx = p->depth[d] + p->behind, .kv = p->kv[m->type]};
        if (r->state == SWEEP_MISSING) TRY(tolerate(r, kvasir_seq_create(m->w->s.engine, m->w->s.model, &o, &m->seq)));
    }
    return KVASIR_OK;
}

static kvasir_status measure_type(meter *m, kvasir_status (*on_row)(sweep *w, const sweep_row *r, int is_new))
{
    TRY(open_sequence(m));
    if (m->seq) TRY(warm_up(m));
    for (m->at = 0; m->at < m->w->plan.n_depths; m->at++) {
        sweep_row *r = sweep_row_at(m->w, m->type, m->at);
        int is_new = r->state != SWEEP_DONE;
        if (r->state == SWEEP_MISSING) TRY(tolerate(r, measure_row(m, r)));
        TRY(on_row(m->w, r, is_new));
    }
    return KVASIR_OK;
}

kvasir_status sweep_measure(sweep *w, kvasir_status (*on_row)(sweep *w, const sweep_row *r, int is_new))
{
    size_t n = (size_t)(w->plan.repeat * max_int(w->plan.tg, 2));
    meter m = {.w = w, .seconds = mem_alloc(n, sizeof *m.seconds)};
    kvasir_status status = m.seconds ? KVASIR_OK : fail_memory(n * sizeof *m.seconds);
    for (; m.type < w->plan.n_types && status == KVASIR_OK; m.type++) {
        status = measure_type(&m, on_row);
        kvasir_seq_free(m.seq);
        m.seq = NULL;
    }
    mem_free(m.seconds);
    return status;
}
