/* Private to kernels/: what each level puts into the families' tables. _init_ref fills a table; the others replace the
   entries for which they have something faster. The *_kernels_init functions call them in order of levels. */
#ifndef KVASIR_KERNELS_LEVELS_H
#define KVASIR_KERNELS_LEVELS_H

#include "kernels/attn.h"
#include "kernels/limits.h"
#include "kernels/linear.h"
#include "kernels/vec.h"

void linear_init_ref(linear_kernels *t);
void linear_init_avx2(linear_kernels *t);
void linear_init_avx512(linear_kernels *t);
void linear_init_zen4(linear_kernels *t); /* AVX-512 that prefetches into the second cache (fetch.h) */
void linear_init_neon(linear_kernels *t);
void linear_init_dotprod(linear_kernels *t);

void vec_init_ref(vec_kernels *t);
void vec_init_avx2(vec_kernels *t);
void vec_init_avx512(vec_kernels *t);
void vec_init_neon(vec_kernels *t);

void attn_init_ref(attn_kernels *t);
void attn_pack_init_ref(attn_kernels *t); /* the entries that write pages */
void attn_init_avx2(attn_kernels *t);
void attn_init_avx512(attn_kernels *t);
void attn_init_zen4(attn_kernels *t);
void attn_init_neon(attn_kernels *t);

void limits_init_ref(limit_kernels *t);
void limits_init_avx2(limit_kernels *t);
void limits_init_avx512(limit_kernels *t);
void limits_init_neon(limit_kernels *t);
void limits_init_dotprod(limit_kernels *t);

#endif
