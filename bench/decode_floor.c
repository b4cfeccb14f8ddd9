/* Compares decoding with the memory's floor: milliseconds per token behind each of --depths tokens for each KV type,
   over the time in which the bytes of the step (kvasir_seq_step_bytes) can be read at all (kvasir_read_bandwidth). A
   ratio of 1 cannot be beaten, except by models that stay in a cache. One JSON object for each type and depth, each
   on a line.
   Memory is shared with other machines, and may be half as fast a minute later. So each sample has a floor of its own:
   the better one of the bandwidths right before and right after it. "ratio" is the median over --repeat samples, "best"
   the least; ms, gb_per_s and floor_ms belong to the sample in the median's place. "over_previous" is the speed over
   that of the type before, as the median of pairs.

     decode_floor MODEL.gguf TEXT [--threads N] [--decode 64] [--depths 0,4096] [--repeat 5] [--kv f16,q8,q4] */
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct sample {
    double ms, bytes, bandwidth, floor_ms, ratio;
} sample;

static double bandwidth(const bench *b)
{
    const kvasir_engine_options all = {.n_threads = b->o->threads, .cpu = b->o->cpu};
    double now;
    must(kvasir_read_bandwidth(&all, 0.3, &now));
    return now;
}

/* Takes samples of all types in turn, forwards and backwards. */
static void take_samples(bench *b, int depth, sample out[MAX_TYPES][MAX_TURNS])
{
    double before = bandwidth(b);
    for (int turn = 0; turn < b->o->repeat; turn++) {
        for (int i = 0; i < b->n_types; i++) {
            int type = turn % 2 == 0 ? i : b->n_types - 1 - i;
            sample *s = &out[type][turn];
            measure_use(b, type);
            s->ms = 1000 / measure_rate(b, depth, b->o->decode, 1);
            must(kvasir_seq_truncate(b->seq, depth));
            s->bytes = (double)kvasir_seq_step_bytes(b->seq);
            double after = bandwidth(b);
            s->bandwidth = after > before ? after : before;
            s->floor_ms = 1000 * s->bytes / s->bandwidth;
            s->ratio = s->ms / s->floor_ms;
            before = after;
        }
    }
}

static int by_ratio(const void *a, const void *b)
{
    double x = ((const sample *)a)->ratio, y = ((const sample *)b)->ratio;
    return (x > y) - (x < y);
}

static void at_depth(bench *b, int depth)
{
    static sample all[MAX_TYPES][MAX_TURNS];
    double rate[MAX_TYPES][MAX_TURNS];
    take_samples(b, depth, all);
    for (int i = 0; i < b->n_types; i++)
        for (int turn = 0; turn < b->o->repeat; turn++) rate[i][turn] = 1 / all[i][turn].ms;
    for (int i = 0; i < b->n_types; i++) {
        qsort(all[i], (size_t)b->o->repeat, sizeof **all, by_ratio);
        const sample *s = &all[i][b->o->repeat / 2];
        (void)printf("{\"test\":\"decode floor\",\"n\":%d,\"depth\":%d,\"kv\":\"%s\",\"threads\":%d,"
                     "\"level\":\"%s\",\"ms\":%.4f,\"step_bytes\":%.0f,\"gb_per_s\":%.3f,\"floor_ms\":%.4f,\"ratio\":%."
                     "4f,\"best\":%.4f,\"over_previous\":%.4f}\n",
                     b->o->decode, depth, b->types[i], b->info.n_threads, b->info.cpu_level, s->ms, s->bytes,
                     s->bandwidth * 1e-9, s->floor_ms, s->ratio, all[i][0].ratio,
                     i > 0 ? measure_paired(rate[i], rate[i - 1], b->o->repeat) : 1);
    }
}

int main(int argc, char **argv)
{
    options o = {.depths = "0", .kv = "f16", .decode = 64, .repeat = 5};
    bench b;
    parse(argc, argv, &o);
    if (o.decode == 0) give_up("--decode 0: nothing to measure");
    measure_open(&o, &b);
    measure_depths(&b, o.kv, at_depth);
    measure_close(&b);
    return 0;
}
