/* Family "attn" for AVX2: 12 accumulators of the 16 registers, two registers to a v16. */
#include "kernels/x86/avx2_dots.h"

#define ATTN_QK_COLS(n)     ((n) == 1 ? 4 : (n) == 2 ? 2 : 1)
#define ATTN_PV_COLS(n)     ((n) == 1 ? 4 : (n) == 2 ? 2 : 1)
#define ATTN_K_COLS(n)      ((n) == 1 ? 4 : 2)
#define ATTN_V8_COLS(n)     ((n) == 1 ? 2 : 1)
#define ATTN_SCORES_STAY(n) false
#define ATTN_V4_COLS(n)     1
#define ATTN_BLOCK          6
#define ATTN_PACKED_BLOCK   3
#define ATTN_BESIDE         0
#define ATTN_MEAN_PAGES     1
#include "kernels/lanes/attn.h"

void attn_init_avx2(attn_kernels *t)
{
    lanes_attn_init(t);
}
