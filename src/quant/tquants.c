/* Ternary types and the four-bit floats. */
#include "base/half.h"
#include "quant/blocks.h"
#include "quant/decode.h"
#include "quant/iq_tables.h"

/* A byte holds five ternary digits as a fraction of 256. Multiplied by a power of three modulo 256, it begins with the
   digit that is wanted; three times that value, divided by 256, is this digit. */
static float *put_digits(float *out, const uint8_t *q, int bytes, int digits, float d)
{
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    for (int digit = 0; digit < digits; digit++) {
        for (int i = 0; i < bytes; i++) {
            unsigned turned = (uint8_t)(q[i] * power[digit]);
            *out++ = (float)((int)(turned * 3 >> 8) - 1) * d;
        }
    }
    return out;
}

void decode_TQ1_0(const void *raw, float *out, size_t n)
{
    for (const block_TQ1_0 *b = raw; n >= 256; b++, n -= 256) {
        float d = f32_from_f16(b->d);
        out = put_digits(out, b->qs, 32, 5, d);
        out = put_digits(out, b->qs + 32, 16, 5, d);
        out = put_digits(out, b->qh, 4, 4, d);
    }
}

void decode_TQ2_0(const void *raw, float *out, size_t n)
{
    for (const block_TQ2_0 *b = raw; n >= 256; b++, n -= 256) {
        float d = f32_from_f16(b->d);
        for (int run = 0; run < 8; run++) /* of 32: two bits each of 32 bytes */
            for (int i = 0; i < 32; i++) *out++ = (float)((b->qs[32 * (run / 4) + i] >> 2 * (run % 4) & 3) - 1) * d;
    }
}

void decode_MXFP4(const void *raw, float *out, size_t n)
{
    for (const block_MXFP4 *b = raw; n >= 32; b++, out += 32, n -= 32) {
        float d = f32_from_e8m0_half(b->e);
        for (int i = 0; i < 16; i++) {
            out[i] = (float)fp4_values[b->qs[i] & 15] * d;
            out[i + 16] = (float)fp4_values[b->qs[i] >> 4] * d;
        }
    }
}

/* Half of an unsigned e4m3 (four bits of exponent, three of fraction, bias 7). Zero for 0x7f, the format's NaN;
   otherwise the top bit is ignored. */
static float ue4m3_half(uint8_t v)
{
    int exponent = v >> 3 & 15, fraction = v & 7;
    if (v == 0x7f) return 0.0f;
    if (exponent == 0) return (float)fraction * 0x1p-10f;
    return (float)(8 + fraction) * f32_from_bits((uint32_t)(exponent - 11 + 127) << 23);
}

void decode_NVFP4(const void *raw, float *out, size_t n)
{
    for (const block_NVFP4 *b = raw; n >= 64; b++, n -= 64) {
        for (int group = 0; group < 4; group++, out += 16) {
            float d = ue4m3_half(b->d[group]);
            for (int i = 0; i < 8; i++) {
                uint8_t q = b->qs[8 * group + i];
                out[i] = (float)fp4_values[q & 15] * d;
                out[i + 8] = (float)fp4_values[q >> 4] * d;
            }
        }
    }
}
