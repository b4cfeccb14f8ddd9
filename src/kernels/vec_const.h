/* The numbers of vec's exp, tanh and GELU, shared by every level. */
#ifndef KVASIR_KERNELS_VEC_CONST_H
#define KVASIR_KERNELS_VEC_CONST_H

#define EXP_MIN    -87.0f
#define EXP_MAX    88.0f
#define EXP_MAGIC  0x1.8p23f      /* 1.5 * 2^23: adding it leaves the integer in the low bits */
#define EXP_LOG2E  0x1.715476p0f  /* log2(e) */
#define EXP_LN2_HI 0x1.62e430p-1f /* ln 2 rounded, and the rest of it */
#define EXP_LN2_LO -0x1.05c610p-29f

/* exp(r) = 1 + r*(1 + r*(C2 + r*(C3 + ...))): minimax of the relative error over |r| <= ln2/2 (Remez, each
   coefficient rounded to f32 before the next is fitted); 3.2e-9. */
#define EXP_C2 0x1.fffffcp-2f
#define EXP_C3 0x1.55548cp-3f
#define EXP_C4 0x1.555858p-5f
#define EXP_C5 0x1.123de0p-7f
#define EXP_C6 0x1.6ac6b2p-10f

/* attn's integer weights, 255 * 2^f: 255 + f*(C1 + f*(C2 + f*C3)) for 0 <= f < 1, minimax of the relative error with
   the constant fixed (Lawson's weighted least squares); 8.6e-5, or 0.022 of a step. */
#define WEIGHT_MIN -100.0f
#define WEIGHT_C0  255.0f
#define WEIGHT_C1  0x1.62828p+7f
#define WEIGHT_C2  0x1.d06472p+5f
#define WEIGHT_C3  0x1.3a7096p+4f

#define TANH_MAX 15.0f /* tanh is 1 in f32 from 9.02 on */

#define GELU_CUBE  0.044715f
#define GELU_SLOPE -1.5957691216057308f /* -2 * sqrt(2/pi) */

#endif
