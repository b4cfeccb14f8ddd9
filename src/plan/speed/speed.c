#include "plan/speed/speed.h"
#include "base/checked.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What is left of a limit where a kernel's own rate is not known: bench/results has such shares. */
#define GEMV_SHARE    0.92 /* of the bandwidth */
#define GEMM_SHARE    0.62 /* of the int8 peak */
#define FLOAT_SHARE   0.80 /* of the f32 peak */
#define RAW_SHARE     0.10 /* of the f32 peak: types that are decoded before they are multiplied */
#define PREFILL_Q8    0.50 /* of the int8 peak */
#define PREFILL_Q4    0.38
#define QUANTISE_RATE 5.6e-3 /* bytes per second and operation per second of one thread's int8 peak */
#define BARRIER       2e-6   /* seconds */

/* How the parts add up, fitted to measurements of three models (bench/plan_error.py). */
#define WEIGHTS_FACTOR 1.03 /* a step's matrices are smaller than the tiles of a benchmark */
#define GEMM_FACTOR    1.11
#define OVERLAP        0.35 /* of the shorter of reading pages and computing with them is not hidden */
#define BARRIERS       9    /* of a layer */
#define ANEW           3e-7 /* seconds behind each: rows are in another core's cache, one thread is late */
#define BENCH_GROUP    6    /* queries of the benchmark's decoding */
#define GROUP_FIXED    0.25 /* of their time does not depend on how many they are */
#define SPAN_PLAIN     1.05 /* spans are merged, pages lie apart: decoding at depth takes so much more than its pages */
#define SPAN_PACKED    1.15
#define OPEN_TOKENS    96   /* that a query sees in open pages: page 0 and half of its own */
#define QUERY_CHANNELS 40.0 /* a query's fixed cost in a page, as if its head had so many channels more */

enum { KEY = 64 };

/* ---- the model ---- */

static speed_weight *weight_of(speed_shape *m, quant_type type)
{
    for (int i = 0; i < m->n_weights; i++)
        if (m->weight[i].type == type) return &m->weight[i];
    m->weight[m->n_weights] = (speed_weight){.type = type};
    return &m->weight[m->n_weights++];
}

void speed_shape_of(const gguf *g, const hparams *h, speed_shape *out)
{
    const char *const head = gguf_find_tensor(g, "output.weight") ? "output.weight" : "token_embd.weight";
    const double used = h->n_expert > 0 ? (double)h->n_expert_used / h->n_expert : 1;
    *out = (speed_shape){.n_layer = h->n_layer,
                         .n_embd = h->n_embd,
                         .n_head = h->n_head,
                         .n_head_kv = h->n_head_kv,
                         .head_dim = h->head_dim,
                         .n_ff = h->n_ff * max_int(h->n_expert_used, 1),
                         .window = h->window};
    for (int i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (t->n_dims < 2 || t->n_rows < 2) continue;
        speed_weight *w = weight_of(out, t->type);
        if (strcmp(t->name.s, head) == 0) w->head_bytes += (double)t->bytes;
        if (strncmp(t->name.s, "blk.", 4) != 0) continue;
        double share = t->n_dims == 3 ? used : 1;
        w->bytes += share * (double)t->bytes;
        w->all_bytes += (double)t->bytes;
        w->macs += share * (double)t->shape[0] * (double)t->n_rows;
    }
    for (int il = 0; il < h->n_layer; il++) layer_slides(h, il) ? out->n_windowed++ : out->n_full++;
}

/* ---- the machine ---- */

static bool same_level(const char *a, const char *b)
{
    return a[0] == '\0' || b[0] == '\0' || strcmp(a, b) == 0;
}

/* The level that the setup names, or the machine's best: a profile has its teams first. */
static const char *level_of(const speed_setup *s)
{
    if (s->level) return s->level;
    return s->machine->n_teams > 0 ? s->machine->team[0].level : "";
}

static int threads_of(const speed_setup *s)
{
    return s->threads > 0 ? s->threads : max_int(s->machine->n_cores, 1);
}

typedef double limit_of(const kvasir_machine_team *t);

static double read_of(const kvasir_machine_team *t)
{
    return t->read_bytes_per_s;
}
static double int8_of(const kvasir_machine_team *t)
{
    return t->int8_ops_per_s;
}
static double f32_of(const kvasir_machine_team *t)
{
    return t->f32_ops_per_s;
}
static double barrier_of(const kvasir_machine_team *t)
{
    return t->barrier_s;
}

/* A limit of so many threads: measured, or on the line between the teams on either side. Fewer threads than any team get
   their part of it; more do not get more than the largest. 0: not known. */
static double limit(const speed_setup *s, int threads, limit_of *of)
{
    const kvasir_machine_team *below = NULL, *above = NULL;
    const char *level = level_of(s);
    const bool any_level = of == read_of || of == barrier_of; /* measured once, since it is the same at all */
    for (int i = 0; i < s->machine->n_teams; i++) {
        const kvasir_machine_team *t = &s->machine->team[i];
        if (of(t) <= 0 || !(any_level || same_level(t->level, level))) continue;
        if (t->threads <= threads && (!below || t->threads > below->threads)) below = t;
        if (t->threads >= threads && (!above || t->threads < above->threads)) above = t;
    }
    if (!below && !above) return 0;
    if (!above) return of(below);
    if (!below) return of(above) * threads / above->threads;
    if (below->threads == above->threads) return of(below);
    double part = (double)(threads - below->threads) / (above->threads - below->threads);
    return of(below) + part * (of(above) - of(below));
}

/* A kernel's rate with the setup's threads: as measured, times what they have of the limit that bounds it. 0: unknown. */
static double kernel_rate(const speed_setup *s, const char *name, limit_of *of)
{
    const kvasir_machine_kernel *best = NULL;
    const char *level = level_of(s);
    for (int i = 0; i < s->machine->n_kernels; i++) {
        const kvasir_machine_kernel *k = &s->machine->kernel[i];
        if (strcmp(k->name, name) != 0 || !same_level(k->level, level)) continue;
        if (!best || k->threads > best->threads) best = k;
    }
    if (!best) return 0;
    int threads = threads_of(s);
    double measured = limit(s, best->threads, of), now = limit(s, threads, of);
    if (best->threads == threads) return best->rate;
    return measured > 0 && now > 0 ? best->rate * now / measured : best->rate * threads / best->threads;
}

static double known_or(double rate, double fallback)
{
    return rate > 0 ? rate : fallback;
}

double speed_read_rate(const speed_setup *s)
{
    return s->read_bytes_per_s > 0 ? s->read_bytes_per_s : limit(s, threads_of(s), read_of);
}

/* What memory gives now over what it gave when the kernels were measured. */
static double memory_factor(const speed_setup *s)
{
    double then = limit(s, threads_of(s), read_of);
    return then > 0 ? speed_read_rate(s) / then : 1;
}

/* Bytes of weights per second when one row meets them. */
static double gemv_rate(const speed_setup *s, quant_type type)
{
    char name[KEY];
    (void)snprintf(name, sizeof name, "gemv %s", quant_traits_of((uint32_t)type)->name);
    return known_or(kernel_rate(s, name, read_of) * memory_factor(s), GEMV_SHARE * speed_read_rate(s));
}

/* Multiply-adds per second when many rows meet them. */
static double gemm_rate(const speed_setup *s, quant_type type)
{
    char name[KEY];
    int kind = panel_kind_of(type), threads = threads_of(s);
    double f32 = limit(s, threads, f32_of), share = GEMM_SHARE * limit(s, threads, int8_of);
    if (kind < 0) return RAW_SHARE * f32 / 2;
    if (panel_kind_is_float((panel_kind)kind) || share <= 0) share = FLOAT_SHARE * f32;
    (void)snprintf(name, sizeof name, "gemm %s", quant_traits_of((uint32_t)type)->name);
    return known_or(kernel_rate(s, name, panel_kind_is_float((panel_kind)kind) ? f32_of : int8_of), share) / 2;
}

/* Operations per second of attention over pages of one type with many queries, from the limits alone. */
static double attention_share(const speed_setup *s, kv_type type)
{
    int threads = threads_of(s);
    double int8 = limit(s, threads, int8_of);
    if (type == KV_Q8 && int8 > 0) return PREFILL_Q8 * int8;
    if (type == KV_Q4 && int8 > 0) return PREFILL_Q4 * int8;
    return FLOAT_SHARE * limit(s, threads, f32_of);
}

/* A measured rate of attention; heads of 128 have no mark in the name. */
static double attention_rate(const speed_setup *s, const char *verb, kv_type type, bool small, const char *tail)
{
    char name[KEY];
    if (type == KV_F32) type = KV_F16;
    (void)snprintf(name, sizeof name, "attention %s %s%s%s", verb, kv_type_name(type), small ? " d64" : "", tail);
    return kernel_rate(s, name, type == KV_F16 ? f32_of : int8_of);
}

/* A time that is a line in the head's size, through those of 64 and of 128. */
static double by_dim(double small, double large, int dim)
{
    double slope = fmax(large - small, 0.3 * small) / 64;
    return fmax(large + slope * (dim - 128), small * dim / 256);
}

/* Bytes per second in which one thread works through rows of floats. */
static double row_rate(const speed_setup *s, const char *name)
{
    for (int i = 0; i < s->machine->n_kernels; i++)
        if (strcmp(s->machine->kernel[i].name, name) == 0) return s->machine->kernel[i].rate;
    return QUANTISE_RATE * known_or(limit(s, 1, int8_of), 4 * limit(s, 1, f32_of));
}

bool speed_known(const speed_setup *s, const char **missing)
{
    *missing = NULL;
    if (limit(s, threads_of(s), f32_of) <= 0) *missing = "f32_ops_per_s";
    if (speed_read_rate(s) <= 0) *missing = "read_bytes_per_s";
    return *missing == NULL;
}

bool speed_from_kernels(const speed_setup *s)
{
    return kernel_rate(s, "gemv Q8_0", read_of) > 0 && kernel_rate(s, "attention prefill q8 q64", int8_of) > 0;
}

/* ---- both ---- */

/* All matrices once for n rows: bound by reading them or by multiplying. */
static double weights_time(const speed_shape *m, const speed_setup *s, int n)
{
    double sum = 0;
    for (int i = 0; i < m->n_weights; i++) {
        const speed_weight *w = &m->weight[i];
        double bytes = n == 1 ? w->bytes : fmin(w->all_bytes, w->bytes * n), gemv = gemv_rate(s, w->type);
        double read = bytes / gemv * WEIGHTS_FACTOR, work = n * w->macs / gemm_rate(s, w->type) * GEMM_FACTOR;
        sum += fmax(read, n > 1 ? work : 0) + w->head_bytes / gemv * WEIGHTS_FACTOR;
    }
    return sum;
}

/* What is done to a token's rows between the matrices. */
static double rows_time(const speed_shape *m, const speed_setup *s, int n)
{
    double heads = 2.0 * m->n_head * m->head_dim, f = sizeof(float) * (double)n * m->n_layer;
    double one = f * (2.0 * m->n_embd + heads + m->n_ff) / row_rate(s, "quantise") +
                 f * 2 * m->n_embd / row_rate(s, "rmsnorm") + f * 2 * m->n_ff / row_rate(s, "silu_mul");
    double barrier = known_or(limit(s, threads_of(s), barrier_of), BARRIER);
    int steps = (n + s->chunk - 1) / max_int(s->chunk, 1);
    return one / threads_of(s) + (threads_of(s) > 1 ? BARRIERS * (barrier + ANEW) * m->n_layer * max_int(steps, 1) : 0);
}

/* Operations of one query in one page of a kv-head. */
static double query_ops(double dim)
{
    return 4.0 * KV_PAGE_TOKENS * dim;
}

/* Seconds of one query and one page of 64 tokens of a kv-head among many queries. */
static double query_time(const speed_setup *s, kv_type type, int dim)
{
    double large = attention_rate(s, "prefill", type, false, " q64"),
           small = attention_rate(s, "prefill", type, true, " q64");
    if (large > 0 && small > 0) return by_dim(query_ops(64) / small, query_ops(128) / large, dim);
    double rate = known_or(attention_rate(s, "prefill", type, false, ""), attention_share(s, type));
    return query_ops(dim + QUERY_CHANNELS) * 128 / (128 + QUERY_CHANNELS) / rate;
}

/* The same for a group of a few queries and pages that are in a cache. */
static double group_time(const speed_setup *s, kv_type type, int dim, double group)
{
    double large = attention_rate(s, "decode", type, false, " cached"),
           small = attention_rate(s, "decode", type, true, " cached");
    if (large <= 0 || small <= 0) return group * query_time(s, type, dim);
    double bytes = 2.0 * (double)kv_page_bytes(type, KV_CLOSED, false, 128),
           half = 2.0 * (double)kv_page_bytes(type, KV_CLOSED, false, 64);
    return by_dim(half / small, bytes / large, dim) * (GROUP_FIXED + (1 - GROUP_FIXED) * group / BENCH_GROUP);
}

static double page_bytes(const speed_shape *m, const speed_setup *s)
{
    return (double)(kv_page_bytes(s->k, KV_CLOSED, false, m->head_dim) +
                    kv_page_bytes(s->v, KV_CLOSED, true, m->head_dim));
}

/* One query row behind `tokens` visible ones in one layer. */
static double layer_decode(const speed_shape *m, const speed_setup *s, double tokens)
{
    double pages = tokens / KV_PAGE_TOKENS * m->n_head_kv, group = (double)m->n_head / m->n_head_kv;
    double read = page_bytes(m, s) / speed_read_rate(s);
    double work = (group_time(s, s->k, m->head_dim, group) + group_time(s, s->v, m->head_dim, group)) / 2;
    double span = s->k == KV_Q8 || s->k == KV_Q4 ? SPAN_PACKED : SPAN_PLAIN;
    return span * pages * (fmax(read, work) + OVERLAP * fmin(read, work));
}

speed_parts speed_decode(const speed_shape *m, const speed_setup *s, int depth)
{
    double seen = m->n_windowed > 0 ? min_int(depth, m->window) : 0;
    return (speed_parts){.flat = weights_time(m, s, 1) + rows_time(m, s, 1),
                         .deep = m->n_full * layer_decode(m, s, depth) + m->n_windowed * layer_decode(m, s, seen)};
}

/* Pairs of n queries behind `depth` tokens and what they see. */
static double pairs(double depth, double n, double window)
{
    if (window <= 0 || depth + n <= window) return n * (depth + (n + 1) / 2);
    if (depth >= window) return n * window;
    double within = window - depth; /* queries that see everything */
    return within * (depth + (within + 1) / 2) + (n - within) * window;
}

/* Of them those in open pages, which are f16 whatever the type. */
static double open_pairs(double depth, double n)
{
    double seen = fmin(depth, OPEN_TOKENS), grows = fmin(n, OPEN_TOKENS - seen); /* until a query sees so many */
    return grows * (seen + grows / 2) + (n - grows) * OPEN_TOKENS;
}

speed_parts speed_prefill(const speed_shape *m, const speed_setup *s, int depth, int n)
{
    int chunk = max_int(min_int(s->chunk, n), 1);
    if (n <= 0) return (speed_parts){0, 0};
    double closed = (query_time(s, s->k, m->head_dim) + query_time(s, s->v, m->head_dim)) / 2;
    double open = query_time(s, KV_F16, m->head_dim);
    double seen = m->n_full * pairs(depth, n, 0) + m->n_windowed * pairs(depth, n, m->window);
    double seen_open = fmin((m->n_full + m->n_windowed) * open_pairs(depth, n), seen);
    return (speed_parts){.flat = (double)n / chunk * weights_time(m, s, chunk) + rows_time(m, s, n),
                         .deep = (seen_open * open + (seen - seen_open) * closed) * m->n_head / KV_PAGE_TOKENS};
}

double speed_floor(const speed_shape *m, const speed_setup *s, const kv_layout *l, int depth)
{
    double bytes = (double)kv_layout_read_bytes(l, depth);
    for (int i = 0; i < m->n_weights; i++) bytes += m->weight[i].bytes + m->weight[i].head_bytes;
    return bytes / speed_read_rate(s);
}
