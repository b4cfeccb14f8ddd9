/* The K types: 256 elements, groups of 16 or 32 whose scales (and minima) are small integers under one f16. */
#include "base/half.h"
#include "quant/blocks.h"
#include "quant/decode.h"

void decode_Q2_K(const void *raw, float *out, size_t n)
{
    for (const block_Q2_K *b = raw; n >= 256; b++, n -= 256) {
        float d = f32_from_f16(b->d), m = f32_from_f16(b->m);
        /* Groups of 16 in pairs: each pair is two bits of 32 bytes. After four pairs come the next 32 bytes. */
        for (int group = 0; group < 16; group++) {
            const uint8_t *q = b->qs + 32 * (group / 8) + 16 * (group % 2);
            int shift = 2 * (group / 2 % 4);
            float scale = d * (float)(b->scales[group] & 15), min = m * (float)(b->scales[group] >> 4);
            for (int i = 0; i < 16; i++) *out++ = scale * (float)(q[i] >> shift & 3) - min;
        }
    }
}

void decode_Q3_K(const void *raw, float *out, size_t n)
{
    for (const block_Q3_K *b = raw; n >= 256; b++, n -= 256) {
        float d = f32_from_f16(b->d);
        for (int group = 0; group < 16; group++) {
            const uint8_t *q = b->qs + 32 * (group / 8) + 16 * (group % 2), *high = b->hmask + 16 * (group % 2);
            int shift = 2 * (group / 2 % 4), bit = group / 2;
            /* Six-bit scales: the low four in the nibbles of bytes 0 to 7, the high two in the pairs of bytes
             * 8 to 11. */
            int low = b->scales[group % 8] >> 4 * (group / 8) & 15,
                top = b->scales[8 + group % 4] >> 2 * (group / 4) & 3;
            float scale = d * (float)((low | top << 4) - 32);
            for (int i = 0; i < 16; i++) *out++ = scale * (float)((q[i] >> shift & 3) - (high[i] >> bit & 1 ? 0 : 4));
        }
    }
}

/* Scale and minimum of group 0 to 7 (six bits each) of Q4_K and Q5_K: the first four lie in the low bits of bytes 0 to
   7, the others have their low nibbles in bytes 8 to 11 and their high two bits on top of bytes 0 to 7. */
static void scale_min(const uint8_t scales[12], int group, int *scale, int *min)
{
    if (group < 4) {
        *scale = scales[group] & 63;
        *min = scales[group + 4] & 63;
    } else {
        *scale = (scales[group + 4] & 15) | (scales[group - 4] >> 6) << 4;
        *min = scales[group + 4] >> 4 | (scales[group] >> 6) << 4;
    }
}

void decode_Q4_K(const void *raw, float *out, size_t n)
{
    for (const block_Q4_K *b = raw; n >= 256; b++, n -= 256) {
        float d = f32_from_f16(b->d), m = f32_from_f16(b->m);
        for (int group = 0; group < 8; group++) {
            const uint8_t *q = b->qs + 32 * (group / 2);
            int shift = 4 * (group % 2), sc, mn;
            scale_min(b->scales, group, &sc, &mn);
            float scale = d * (float)sc, min = m * (float)mn;
            for (int i = 0; i < 32; i++) *out++ = scale * (float)(q[i] >> shift & 15) - min;
        }
    }
}

void decode_Q5_K(const void *raw, float *out, size_t n)
{
    for (const block_Q5_K *b = raw; n >= 256; b++, n -= 256) {
        float d = f32_from_f16(b->d), m = f32_from_f16(b->m);
        for (int group = 0; group < 8; group++) {
            const uint8_t *q = b->qs + 32 * (group / 2);
            int shift = 4 * (group % 2), sc, mn;
            scale_min(b->scales, group, &sc, &mn);
            float scale = d * (float)sc, min = m * (float)mn;
            for (int i = 0; i < 32; i++)
                *out++ = scale * (float)((q[i] >> shift & 15) | (b->qh[i] >> group & 1) << 4) - min;
        }
    }
}

void decode_Q6_K(const void *raw, float *out, size_t n)
{
    for (const block_Q6_K *b = raw; n >= 256; b++, n -= 256) {
        float d = f32_from_f16(b->d);
        /* Groups of 16; a half block of 128 is four runs of 32: low nibbles of 64 bytes, then their high nibbles. */
        for (int group = 0; group < 16; group++) {
            int half = group / 8, run = group / 2 % 4, side = 16 * (group % 2);
            const uint8_t *low = b->ql + 64 * half + 32 * (run % 2) + side, *high = b->qh + 32 * half + side;
            float scale = d * (float)b->scales[group];
            for (int i = 0; i < 16; i++) {
                int q = (low[i] >> 4 * (run / 2) & 15) | (high[i] >> 2 * run & 3) << 4;
                *out++ = scale * (float)(q - 32);
            }
        }
    }
}
