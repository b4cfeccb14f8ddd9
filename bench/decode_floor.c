/* Decode beside the memory's floor: milliseconds per token behind each of --depths tokens for each KV type, over the time in
   which the bytes of the step (kvasir_seq_step_bytes) can be read at all (kvasir_read_bandwidth). A ratio of 1 cannot be
   beaten, except by models that stay in a cache. One JSON object per type, depth and line.

     decode_floor MODEL.gguf TEXT [--threads N] [--decode 64] [--depths 0,4096] [--repeat 3] [--kv f16,q8,q4] */
#include "measure.h"

#include <stdio.h>

static void at_depth(bench *b, int depth)
{
    double bandwidth = *(const double *)b->user; /* bytes per second */
    uint64_t bytes = kvasir_seq_step_bytes(b->seq);
    double ms = 1000 / measure_best(b, depth, b->o->decode, 1), floor_ms = 1000 * (double)bytes / bandwidth;
    (void)printf(
        "{\"test\":\"decode floor\",\"n\":%d,\"depth\":%d,\"kv\":\"%s\",\"threads\":%d,\"level\":\"%s\",\"ms\":%.4f,"
        "\"step_bytes\":%llu,\"gb_per_s\":%.3f,\"floor_ms\":%.4f,\"ratio\":%.4f}\n",
        b->o->decode, depth, b->kv, b->info.n_threads, b->info.cpu_level, ms, (unsigned long long)bytes,
        bandwidth * 1e-9, floor_ms, ms / floor_ms);
}

static void of_type(void *user, const char *kv)
{
    measure_depths(user, kv, at_depth);
}

int main(int argc, char **argv)
{
    enum { SECONDS = 2 };
    options o = {.depths = "0", .kv = "f16", .decode = 64, .repeat = 3};
    double bandwidth;
    bench b;
    parse(argc, argv, &o);
    if (o.decode == 0) give_up("--decode 0: nothing to measure");
    must(kvasir_read_bandwidth(&(kvasir_engine_options){.n_threads = o.threads}, SECONDS, &bandwidth));
    measure_open(&o, &b);
    b.user = &bandwidth;
    each_word(o.kv, of_type, &b);
    measure_close(&b);
    return 0;
}
