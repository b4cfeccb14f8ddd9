/* The decoders behind quant_traits.decode, one for each type; quant.h says what they do. */
#ifndef KVASIR_QUANT_DECODE_H
#define KVASIR_QUANT_DECODE_H

#include "quant/quant.h"

/* Integer tensors hold ids, not weights. */
#define decode_I8  NULL
#define decode_I16 NULL
#define decode_I32 NULL
#define decode_I64 NULL

void decode_F32(const void *raw, float *out, size_t n);
void decode_F16(const void *raw, float *out, size_t n);
void decode_BF16(const void *raw, float *out, size_t n);
void decode_F64(const void *raw, float *out, size_t n);

void decode_Q4_0(const void *raw, float *out, size_t n);
void decode_Q4_1(const void *raw, float *out, size_t n);
void decode_Q5_0(const void *raw, float *out, size_t n);
void decode_Q5_1(const void *raw, float *out, size_t n);
void decode_Q8_0(const void *raw, float *out, size_t n);
void decode_Q1_0(const void *raw, float *out, size_t n);

void decode_Q2_K(const void *raw, float *out, size_t n);
void decode_Q3_K(const void *raw, float *out, size_t n);
void decode_Q4_K(const void *raw, float *out, size_t n);
void decode_Q5_K(const void *raw, float *out, size_t n);
void decode_Q6_K(const void *raw, float *out, size_t n);

void decode_IQ2_XXS(const void *raw, float *out, size_t n);
void decode_IQ2_XS(const void *raw, float *out, size_t n);
void decode_IQ2_S(const void *raw, float *out, size_t n);
void decode_IQ3_XXS(const void *raw, float *out, size_t n);
void decode_IQ3_S(const void *raw, float *out, size_t n);
void decode_IQ1_S(const void *raw, float *out, size_t n);
void decode_IQ1_M(const void *raw, float *out, size_t n);
void decode_IQ4_NL(const void *raw, float *out, size_t n);
void decode_IQ4_XS(const void *raw, float *out, size_t n);

void decode_TQ1_0(const void *raw, float *out, size_t n);
void decode_TQ2_0(const void *raw, float *out, size_t n);
void decode_MXFP4(const void *raw, float *out, size_t n);
void decode_NVFP4(const void *raw, float *out, size_t n);

#endif
