/* Family "vec" for NEON. */
#include "kernels/arm/neon_lanes.h"
#include "kernels/lanes/vec.h"
#include "kernels/levels.h"

void vec_init_neon(vec_kernels *t)
{
    *t = lanes_vec_table;
}
