/* The IQ types: groups of elements are rows of a grid, or nibbles index a table of sixteen values. */
#include "base/half.h"
#include "quant/blocks.h"
#include "quant/decode.h"
#include "quant/iq_tables.h"

/* Eight elements: their magnitudes from the grid, and the sign of element i from bit i of `signs`. */
static void put8(float *out, float scale, uint64_t grid, unsigned signs)
{
    for (int i = 0; i < 8; i++) {
        float v = scale * (float)(grid >> 8 * i & 255);
        out[i] = signs >> i & 1 ? -v : v;
    }
}

static void put44(float *out, float scale, uint32_t first, uint32_t second, unsigned signs)
{
    put8(out, scale, first | (uint64_t)second << 32, signs);
}

/* Eight signs from seven bits: the eighth makes the number of minuses even. */
static unsigned even_signs(uint32_t seven)
{
    seven &= 127;
    return seven | (unsigned)__builtin_parity(seven) << 7;
}

void decode_IQ2_XXS(const void *raw, float *out, size_t n)
{
    for (const block_IQ2_XXS *b = raw; n >= 256; b++, n -= 256) {
        float d = f32_from_f16(b->d);
        for (int group = 0; group < 8; group++) {
            const uint8_t *q = b->qs[group]; /* four rows, then 4 x 7 bits of signs and 4 bits of scale */
            uint32_t bits = load_u32(q + 4);
            float scale = d * (0.5f + (float)(bits >> 28)) * 0.25f;
            for (int i = 0; i < 4; i++, out += 8) put8(out, scale, iq2xxs_grid[q[i]], even_signs(bits >> 7 * i));
        }
    }
}

/* Scale of half a group of 32 in IQ2_XS and IQ2_S. */
static float half_scale(float d, uint8_t scales, int half)
{
    return d * (0.5f + (float)(scales >> 4 * half & 15)) * 0.25f;
}

void decode_IQ2_XS(const void *raw, float *out, size_t n)
{
    for (const block_IQ2_XS *b = raw; n >= 256; b++, n -= 256) {
        float d = f32_from_f16(b->d);
        for (int i = 0; i < 32; i++, out += 8) {
            unsigned q = load_u16(b->qs + 2 * i); /* 9 bits of row, 7 of signs */
            put8(out, half_scale(d, b->scales[i / 4], i / 2 % 2), iq2xs_grid[q & 511], even_signs(q >> 9));
        }
    }
}

void decode_IQ2_S(const void *raw, float *out, size_t n)
{
    for (const block_IQ2_S *b = raw; n >= 256; b++, n -= 256) {
        float d = f32_from_f16(b->d);
        for (int i = 0; i < 32; i++, out += 8) {
            unsigned row = b->qs[i] | ((unsigned)b->qh[i / 4] >> 2 * (i % 4) & 3) << 8;
            put8(out, half_scale(d, b->scales[i / 4], i / 2 % 2), iq2s_grid[row], b->signs[i]);
        }
    }
}

void decode_IQ3_XXS(const void *raw, float *out, size_t n)
{
    for (const block_IQ3_XXS *b = raw; n >= 256; b++, n -= 256) {
        float d = f32_from_f16(b->d);
        for (int i = 0; i < 32; i++, out += 8) {
            uint32_t bits = load_u32(b->scales_signs + 4 * (i / 4));
            float scale = d * (0.5f + (float)(bits >> 28)) * 0.5f;
            put44(out, scale, iq3xxs_grid[b->qs[2 * i]], iq3xxs_grid[b->qs[2 * i + 1]],
                  even_signs(bits >> 7 * (i % 4)));
        }
    }
}

void decode_IQ3_S(const void *raw, float *out, size_t n)
{
    for (const block_IQ3_S *b = raw; n >= 256; b++, n -= 256) {
        float d = f32_from_f16(b->d);
        for (int i = 0; i < 32; i++, out += 8) {
            int group = i / 4;
            unsigned high = (unsigned)b->qh[group] >> 2 * (i % 4);
            float scale = d * (float)(1 + 2 * (b->scales[group / 2] >> 4 * (group % 2) & 15));
            put44(out, scale, iq3s_grid[b->qs[2 * i] | (high & 1) << 8],
                  iq3s_grid[b->qs[2 * i + 1] | (high >> 1 & 1) << 8], b->signs[i]);
        }
    }
}

/* Eight elements of -1, 0 or 1, all moved up or down by an eighth. */
static void put_ternary(float *out, float scale, uint64_t grid, bool down)
{
    float delta = down ? -0.125f : 0.125f;
    for (int i = 0; i < 8; i++) out[i] = scale * ((float)(int8_t)(grid >> 8 * i & 255) + delta);
}

void decode_IQ1_S(const void *raw, float *out, size_t n)
{
    for (const block_IQ1_S *b = raw; n >= 256; b++, n -= 256) {
        float d = f32_from_f16(b->d);
        for (int i = 0; i < 32; i++, out += 8) {
            unsigned high = load_u16(b->qh + 2 * (i / 4)); /* 4 x 3 bits of row, 3 of scale, 1 of delta */
            float scale = d * (float)(2 * (high >> 12 & 7) + 1);
            put_ternary(out, scale, iq1s_grid[b->qs[i] | (high >> 3 * (i % 4) & 7) << 8], high >> 15);
        }
    }
}

void decode_IQ1_M(const void *raw, float *out, size_t n)
{
    for (const block_IQ1_M *b = raw; n >= 256; b++, n -= 256) {
        /* Four words of 4 x 3 bits of scale. Their top nibbles together are the block's f16 scale. */
        unsigned half = 0;
        for (int i = 0; i < 4; i++) half |= (unsigned)(load_u16(b->scales + 2 * i) >> 12) << 4 * i;
        float d = f32_from_f16((uint16_t)half);
        for (int i = 0; i < 32; i++, out += 8) {
            unsigned high = (unsigned)b->qh[i / 2] >> 4 * (i % 2); /* 3 bits of row, 1 of delta */
            unsigned word = load_u16(b->scales + 2 * (i / 8));
            float scale = d * (float)(2 * (word >> 3 * (i / 2 % 4) & 7) + 1);
            put_ternary(out, scale, iq1s_grid[b->qs[i] | (high & 7) << 8], high >> 3 & 1);
        }
    }
}

void decode_IQ4_NL(const void *raw, float *out, size_t n)
{
    for (const block_IQ4_NL *b = raw; n >= 32; b++, out += 32, n -= 32) {
        float d = f32_from_f16(b->d);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)iq4nl_values[b->qs[i] & 15];
            out[i + 16] = d * (float)iq4nl_values[b->qs[i] >> 4];
        }
    }
}

void decode_IQ4_XS(const void *raw, float *out, size_t n)
{
    for (const block_IQ4_XS *b = raw; n >= 256; b++, n -= 256) {
        float d = f32_from_f16(b->d);
        for (int group = 0; group < 8; group++, out += 32) {
            const uint8_t *q = b->qs + 16 * group;
            int low = b->scales_l[group / 2] >> 4 * (group % 2) & 15, top = load_u16(b->scales_h) >> 2 * group & 3;
            float scale = d * (float)((low | top << 4) - 32);
            for (int i = 0; i < 16; i++) {
                out[i] = scale * (float)iq4nl_values[q[i] & 15];
                out[i + 16] = scale * (float)iq4nl_values[q[i] >> 4];
            }
        }
    }
}
