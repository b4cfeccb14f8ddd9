/* Decode beside the memory's floor: milliseconds per token behind each of --depths tokens for each KV type, over the time in
   which the bytes of the step (kvasir_seq_step_bytes) can be read at all (kvasir_read_bandwidth). A ratio of 1 cannot be
   beaten, except by models that stay in a cache. One JSON object per type, depth and line.

     decode_floor MODEL.gguf TEXT [--threads N] [--decode 64] [--depths 0,4096] [--repeat 3] [--kv f16,q8,q4] */
#include "measure.h"

#include <stdio.h>

/* The bandwidth is measured in turn with the types: it is another one a minute later. */
static double best_of(bench *b, int depth, double best[MAX_TYPES])
{
    const kvasir_engine_options all = {.n_threads = b->o->threads, .cpu = b->o->cpu};
    double bandwidth = 0, now;
    for (int i = 0; i < b->n_types; i++) best[i] = 0;
    for (int turn = 0; turn < b->o->repeat; turn++) {
        must(kvasir_read_bandwidth(&all, 0.5, &now));
        if (now > bandwidth) bandwidth = now;
        for (int i = 0; i < b->n_types; i++) {
            measure_use(b, i);
            double rate = measure_rate(b, depth, b->o->decode, 1);
            if (rate > best[i]) best[i] = rate;
        }
    }
    return bandwidth;
}

static void at_depth(bench *b, int depth)
{
    double best[MAX_TYPES], bandwidth = best_of(b, depth, best); /* bytes per second */
    for (int i = 0; i < b->n_types; i++) {
        measure_use(b, i);
        must(kvasir_seq_truncate(b->seq, depth));
        uint64_t bytes = kvasir_seq_step_bytes(b->seq);
        double ms = 1000 / best[i], floor_ms = 1000 * (double)bytes / bandwidth;
        (void)printf("{\"test\":\"decode floor\",\"n\":%d,\"depth\":%d,\"kv\":\"%s\",\"threads\":%d,"
                     "\"level\":\"%s\",\"ms\":%.4f,\"step_bytes\":%llu,\"gb_per_s\":%.3f,\"floor_ms\":%.4f,"
                     "\"ratio\":%.4f}\n",
                     b->o->decode, depth, b->kv, b->info.n_threads, b->info.cpu_level, ms, (unsigned long long)bytes,
                     bandwidth * 1e-9, floor_ms, ms / floor_ms);
    }
}

int main(int argc, char **argv)
{
    options o = {.depths = "0", .kv = "f16", .decode = 64, .repeat = 3};
    bench b;
    parse(argc, argv, &o);
    if (o.decode == 0) give_up("--decode 0: nothing to measure");
    measure_open(&o, &b);
    measure_depths(&b, o.kv, at_depth);
    measure_close(&b);
    return 0;
}
