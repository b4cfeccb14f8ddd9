/* The traits table, plain floats, and the types with one scale per block. */
#include "quant/quant.h"
#include "base/half.h"
#include "quant/blocks.h"
#include "quant/decode.h"

static const quant_traits traits[QUANT_TYPES] = {
#define X(type, id, elements, bytes)                                                                                   \
    [id] = {.name = #type, .block_elements = elements, .block_bytes = bytes, .decode = decode_##type},
    QUANT_TYPE_MAP(X)
#undef X
};

const quant_traits *quant_traits_of(uint32_t id)
{
    return id < QUANT_TYPES && traits[id].name ? &traits[id] : NULL;
}

void decode_F32(const void *raw, float *out, size_t n)
{
    memcpy(out, raw, n * sizeof *out);
}

void decode_F16(const void *raw, float *out, size_t n)
{
    const uint8_t *h = raw;
    for (size_t i = 0; i < n; i++) out[i] = f32_from_f16(load_u16(h + 2 * i));
}

void decode_BF16(const void *raw, float *out, size_t n)
{
    const uint8_t *h = raw;
    for (size_t i = 0; i < n; i++) out[i] = f32_from_bf16(load_u16(h + 2 * i));
}

void decode_F64(const void *raw, float *out, size_t n)
{
    const uint8_t *p = raw;
    for (size_t i = 0; i < n; i++) {
        double v;
        memcpy(&v, p + i * sizeof v, sizeof v);
        out[i] = (float)v;
    }
}

void decode_Q4_0(const void *raw, float *out, size_t n)
{
    for (const block_Q4_0 *b = raw; n >= 32; b++, out += 32, n -= 32) {
        float d = f32_from_f16(b->d);
        for (int i = 0; i < 16; i++) {
            out[i] = (float)((b->qs[i] & 15) - 8) * d;
            out[i + 16] = (float)((b->qs[i] >> 4) - 8) * d;
        }
    }
}

void decode_Q4_1(const void *raw, float *out, size_t n)
{
    for (const block_Q4_1 *b = raw; n >= 32; b++, out += 32, n -= 32) {
        float d = f32_from_f16(b->d), m = f32_from_f16(b->m);
        for (int i = 0; i < 16; i++) {
            out[i] = (float)(b->qs[i] & 15) * d + m;
            out[i + 16] = (float)(b->qs[i] >> 4) * d + m;
        }
    }
}

/* Bit i of qh in the fifth place. */
static inline int fifth(uint32_t qh, int i)
{
    return (int)(qh >> i & 1) << 4;
}

void decode_Q5_0(const void *raw, float *out, size_t n)
{
    for (const block_Q5_0 *b = raw; n >= 32; b++, out += 32, n -= 32) {
        float d = f32_from_f16(b->d);
        uint32_t qh = load_u32(b->qh);
        for (int i = 0; i < 16; i++) {
            out[i] = (float)(((b->qs[i] & 15) | fifth(qh, i)) - 16) * d;
            out[i + 16] = (float)(((b->qs[i] >> 4) | fifth(qh, i + 16)) - 16) * d;
        }
    }
}

void decode_Q5_1(const void *raw, float *out, size_t n)
{
    for (const block_Q5_1 *b = raw; n >= 32; b++, out += 32, n -= 32) {
        float d = f32_from_f16(b->d), m = f32_from_f16(b->m);
        uint32_t qh = load_u32(b->qh);
        for (int i = 0; i < 16; i++) {
            out[i] = (float)((b->qs[i] & 15) | fifth(qh, i)) * d + m;
            out[i + 16] = (float)((b->qs[i] >> 4) | fifth(qh, i + 16)) * d + m;
        }
    }
}

void decode_Q8_0(const void *raw, float *out, size_t n)
{
    for (const block_Q8_0 *b = raw; n >= 32; b++, out += 32, n -= 32) {
        float d = f32_from_f16(b->d);
        for (int i = 0; i < 32; i++) out[i] = (float)b->qs[i] * d;
    }
}

void decode_Q1_0(const void *raw, float *out, size_t n)
{
    for (const block_Q1_0 *b = raw; n >= 128; b++, out += 128, n -= 128) {
        float d = f32_from_f16(b->d);
        for (int i = 0; i < 128; i++) out[i] = b->qs[i / 8] >> i % 8 & 1 ? d : -d;
    }
}
