/* "linear" with the dot product instructions of ARMv8.2 (sdot). */
#define TILE_ACTS 3
#include "kernels/arm/neon_words.h"

typedef int32x4_t dots;

INLINE int dots_run(panel_kind kind)
{
    return 8;
}
INLINE dots dots_start(ivec t)
{
    return t;
}
INLINE dots dots_add(panel_kind kind, dots s, ivec w, ivec x)
{
    return vdotq_s32(s, vreinterpretq_s8_s32(w), vreinterpretq_s8_s32(x));
}
INLINE ivec dots_fold(ivec t, dots s)
{
    return s;
}

#include "kernels/lanes/linear_tile.h"

void linear_init_dotprod(linear_kernels *t)
{
    set_gemms(t);
}
