/* Speed at depth through the public API alone: prefill of --prefill tokens and decode of --decode tokens behind each of
   --depths tokens of real text. Several KV types take turns. Reported are the best (tps) and the middle one of --repeat
   turns, and between types the median of the pairs of each turn. One JSON object for each measurement, each on a line;
   compare.py and plan_error.py read them.

     depth MODEL.gguf TEXT [--threads N] [--prefill 512] [--decode 64] [--depths 0,2048] [--repeat 3] [--kv f16,q8] */
#include "measure.h"

#include <stdio.h>

static void report(bench *b, const char *test, int depth, int n, int piece)
{
    measured got[MAX_TYPES];
    if (n == 0) return;
    measure_types(b, depth, n, piece, got);
    for (int i = 0; i < b->n_types; i++) {
        (void)printf("{\"test\":\"%s\",\"n\":%d,\"depth\":%d,\"kv\":\"%s\",\"threads\":%d,\"cpu\":\"%s\","
                     "\"level\":\"%s\",\"tps\":%.3f,\"tps_median\":%.3f,\"over_previous\":%.4f}\n",
                     test, n, depth, b->types[i], b->info.n_threads, b->info.cpu_model, b->info.cpu_level, got[i].best,
                     got[i].median, got[i].over_previous);
    }
}

static void at_depth(bench *b, int depth)
{
    report(b, "prefill", depth, b->o->prefill, b->o->prefill);
    report(b, "decode", depth, b->o->decode, 1);
}

int main(int argc, char **argv)
{
    options o = {.depths = "0", .kv = "f16", .prefill = 512, .decode = 64, .repeat = 3};
    bench b;
    parse(argc, argv, &o);
    measure_open(&o, &b);
    measure_depths(&b, o.kv, at_depth);
    measure_close(&b);
    return 0;
}
