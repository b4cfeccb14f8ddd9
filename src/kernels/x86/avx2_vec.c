/* Family "vec" for AVX2. */
#include "kernels/x86/avx2_lanes.h"
#include "kernels/lanes/vec.h"
#include "kernels/levels.h"

void vec_init_avx2(vec_kernels *t)
{
    *t = lanes_vec_table;
}
