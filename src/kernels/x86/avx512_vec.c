/* Family "vec" for AVX-512. */
#include "kernels/x86/avx512_lanes.h"
#include "kernels/lanes/vec.h"
#include "kernels/levels.h"

void vec_init_avx512(vec_kernels *t)
{
    *t = lanes_vec_table;
}
