/* Private to kernels/: the shape of the arithmetic loops. */
#ifndef KVASIR_KERNELS_LANES_LIMITS_LOOP_H
#define KVASIR_KERNELS_LANES_LIMITS_LOOP_H

/* Independent chains: two units of latency five, or four of latency three, need no more than these. They
   fit the registers. */
enum { LIMIT_CHAINS = 12 };

/* Does `work` for each chain c (12 at most), `steps` times. With the chains unrolled, acc[c] is a register. */
#define LIMIT_LOOP(chains, steps, work)                                                                                \
    for (int step = 0; step < (steps); step++) {                                                                       \
        _Pragma("GCC unroll 12") for (int c = 0; c < (chains); c++)                                                    \
        {                                                                                                              \
            work;                                                                                                      \
        }                                                                                                              \
    }

#endif
