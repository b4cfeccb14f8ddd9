/* Family "attn" for NEON: 24 accumulators of the 32 registers, four registers to a v16. */
#include "kernels/arm/neon_dots.h"

#define ATTN_QK_COLS(n)     ((n) == 1 ? 4 : (n) == 2 ? 2 : 1)
#define ATTN_PV_COLS(n)     ((n) == 1 ? 4 : (n) == 2 ? 2 : 1)
#define ATTN_K_COLS(n)      ((n) <= 3 ? 2 : 1)
#define ATTN_V8_COLS(n)     ((n) <= 3 ? 2 : 1)
#define ATTN_SCORES_STAY(n) false
#define ATTN_V4_COLS(n)     ((n) <= 3 ? 2 : 1)
#define ATTN_BLOCK          6
#define ATTN_PACKED_BLOCK   6
#define ATTN_BESIDE         0
#define ATTN_MEAN_PAGES     1
#include "kernels/lanes/attn.h"

void attn_init_neon(attn_kernels *t)
{
    lanes_attn_init(t);
}
