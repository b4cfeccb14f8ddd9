/* Family "attn" for AVX-512: 24 accumulators of the 32 registers. Zen 4 multiplies one register a cycle, half of what
   Zen 5 does. So 16 accumulators keep it busy, eight queries share what is done once for a block, and while it
   multiplies there is time for the weights of the next block. */
#include "kernels/x86/avx512_dots.h"

#define ATTN_QK_COLS(n)     4
#define ATTN_PV_COLS(n)     ((n) <= 3 ? 8 : 4)
#define ATTN_K_COLS(n)      ((n) <= 6 ? 4 : 2)
#define ATTN_V8_COLS(n)     ((n) <= 2 ? 8 : (n) <= 6 ? 4 : 2)
#define ATTN_V4_COLS(n)     ((n) <= 6 ? 4 : 2)
#define ATTN_SCORES_STAY(n) ((n) <= 3)
#define ATTN_BLOCK          6
#define ATTN_MEAN_PAGES     3
#ifdef KERNELS_ZEN4
#define ATTN_PACKED_BLOCK 8
#define ATTN_BESIDE       1
#else
#define ATTN_PACKED_BLOCK 6
#define ATTN_BESIDE       0
#endif
#include "kernels/lanes/attn.h"

#ifdef KERNELS_ZEN4
#define attn_init_avx512 attn_init_zen4
#endif

void attn_init_avx512(attn_kernels *t)
{
    lanes_attn_init(t);
}
