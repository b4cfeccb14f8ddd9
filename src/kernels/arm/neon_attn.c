/* Family "attn" for NEON: 24 accumulators of the 32 registers, four registers to a v16. */
#include "kernels/arm/neon_lanes.h"

#define ATTN_QK_COLS(n) ((n) == 1 ? 4 : (n) == 2 ? 2 : 1)
#define ATTN_PV_COLS(n) ((n) == 1 ? 4 : (n) == 2 ? 2 : 1)
#include "kernels/lanes_attn.h"

void attn_init_neon(attn_kernels *t)
{
    lanes_attn_init(t);
}
