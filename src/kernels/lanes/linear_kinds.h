/* Private to linear_tile.h: reading the quantised kinds' panels (layouts: ref/panel.c), over the vectors
   that linear_tile.h lists. */
#ifndef KVASIR_KERNELS_LANES_LINEAR_KINDS_H
#define KVASIR_KERNELS_LANES_LINEAR_KINDS_H

#include "kernels/linear.h"
#include "quant/iq_tables.h"

enum {
    WORD_BYTES = 4 * PANEL_ROWS,   /* one word of each of a panel's rows */
    PANEL_VECS = PANEL_ROWS / ROWS /* vectors per panel */
};

/* ---- what kinds are ---- */

INLINE bool is_super(panel_kind kind)
{
    return kind == PANEL_Q4_K || kind == PANEL_Q5_K || kind == PANEL_Q6_K || kind == PANEL_IQ4_XS;
}

INLINE bool is_affine(panel_kind kind)
{
    return kind == PANEL_Q4_1 || kind == PANEL_Q5_1 || kind == PANEL_Q4_K || kind == PANEL_Q5_K;
}

/* Kinds whose weights are looked up in a table by a code of four bits. */
INLINE bool has_table(panel_kind kind)
{
    return kind == PANEL_IQ4_NL || kind == PANEL_IQ4_XS || kind == PANEL_MXFP4;
}

/* w = u - centre. For a kind with a table, u is what the table says plus the centre. */
INLINE int centre(panel_kind kind)
{
    switch (kind) {
    case PANEL_Q4_0:
        return 8;
    case PANEL_Q5_0:
    case PANEL_MXFP4:
        return 16;
    case PANEL_Q6_K:
        return 32;
    case PANEL_Q8_0:
    case PANEL_IQ4_NL:
    case PANEL_IQ4_XS:
        return 128;
    default:
        return 0;
    }
}

/* Scales in a block of 32. */
INLINE int scale_groups(panel_kind kind)
{
    return kind == PANEL_Q6_K ? 2 : 1;
}

INLINE int unit_elements(panel_kind kind)
{
    return is_super(kind) ? 256 : ACT_BLOCK;
}

/* 4-byte words per row in a block of the file. */
INLINE int unit_words(panel_kind kind)
{
    switch (kind) {
    case PANEL_Q4_0:
    case PANEL_IQ4_NL:
    case PANEL_MXFP4:
        return 4;
    case PANEL_Q4_1:
    case PANEL_Q5_0:
        return 5;
    case PANEL_Q5_1:
        return 6;
    case PANEL_Q8_0:
        return 8;
    case PANEL_IQ4_XS:
        return 34;
    case PANEL_Q4_K:
        return 36;
    case PANEL_Q5_K:
        return 44;
    default: /* Q6_K */
        return 52;
    }
}

/* Bytes of the lone scale after the words: an f16, an E8M0, none. */
INLINE int tail_bytes(panel_kind kind)
{
    return is_affine(kind) || kind == PANEL_IQ4_XS ? 0 : kind == PANEL_MXFP4 ? 1 : 2;
}

INLINE int unit_bytes(panel_kind kind)
{
    return (unit_words(kind) * 4 + tail_bytes(kind)) * PANEL_ROWS;
}

/* ---- reading a unit: a block of the file ---- */

/* One vector's view of a unit: its words and its lone scales. */
typedef struct unit_view {
    const uint8_t *words, *tail;
} unit_view;

INLINE unit_view view_unit(panel_kind kind, const uint8_t *unit, int vec)
{
    const int row = vec % PANEL_VECS * ROWS;
    return (unit_view){unit + row * 4, unit + unit_words(kind) * WORD_BYTES + row * tail_bytes(kind)};
}

INLINE ivec word(unit_view v, size_t i)
{
    return i_load(v.words + i * WORD_BYTES);
}

INLINE ivec nibbles(unit_view v, size_t i, bool high)
{
    ivec x = word(v, i);
    return i_and(high ? i_shr(x, 4) : x, i_set(0x0f0f0f0f));
}

/* u, or the code of a kind with a table, of elements 4j..4j+3 of sub-block 4*half + q (half and q are 0 for
   blocks of 32). */
INLINE ivec stored_word(panel_kind kind, unit_view v, size_t half, int q, int j)
{
    const size_t i = (size_t)(j % 4), in_half = (size_t)(j + q % 2 * 8), in_pair = (size_t)(j + q / 2 * 8);
    const bool high = j >= 4;
    switch (kind) {
    case PANEL_Q4_0:
    case PANEL_IQ4_NL:
    case PANEL_MXFP4:
        return nibbles(v, i, high);
    case PANEL_Q4_1:
        return nibbles(v, 1 + i, high);
    case PANEL_Q5_0:
        return i_fifth(nibbles(v, 1 + i, high), word(v, 0), j);
    case PANEL_Q5_1:
        return i_fifth(nibbles(v, 2 + i, high), word(v, 1), j);
    case PANEL_Q8_0:
        return word(v, (size_t)j);
    case PANEL_Q4_K:
        return nibbles(v, 4 + 16 * half + in_pair, q % 2);
    case PANEL_Q5_K:
        return i_merge(nibbles(v, 12 + 16 * half + in_pair, q % 2),
                       i_rotl(word(v, 4 + (size_t)j), 4 - q - 4 * (int)half), i_set(0x10101010));
    case PANEL_IQ4_XS:
        return nibbles(v, 2 + 16 * half + 4 * (size_t)q + i, high);
    default: /* Q6_K */
        return i_merge(nibbles(v, 16 * half + in_half, q >= 2), i_rotl(word(v, 32 + 8 * half + (size_t)j), 4 - 2 * q),
                       i_set(0x30303030));
    }
}

/* x in each byte. */
INLINE ivec i_bytes(int x)
{
    return i_set((int32_t)((unsigned)(x & 255) * 0x01010101u));
}

/* What goes into the products: w + c. */
INLINE ivec weight_word(panel_kind kind, int c, unit_view v, size_t half, int q, int j)
{
    ivec x = stored_word(kind, v, half, q, j);
    if (has_table(kind)) {
        ivec table = i_table(kind == PANEL_MXFP4 ? fp4_values : iq4nl_values);
        return i_look_up(c ? i_sub8(table, i_bytes(-c)) : table, x);
    }
    return c == centre(kind) ? x : i_sub8(x, i_bytes(centre(kind) - c));
}

/* What the sub-blocks of a super-block share: its f16 scales (-dmin as m), and for Q4_K and Q5_K the 6-bit
   numbers spread to bytes: [half][0] are the scales of sub-blocks 4*half.., [half][1] the minimums. */
typedef struct unit_head {
    fvec d, m;
    ivec packed[2][2];
} unit_head;

/* 2^(e-128) as in f32_from_e8m0_half: the exponent's place is one less than e; where that is no normal number,
   the fraction's upper bits. */
INLINE fvec load_e8m0_half(const void *p)
{
    ivec e = i_load_bytes(p);
    return f_from_bits(
        i_max(i_add(i_shl(e, 23), i_set(-0x00800000)), i_add(i_shl(i_and(e, i_set(1)), 21), i_set(0x00200000))));
}

INLINE void read_head(panel_kind kind, unit_view v, unit_head *head)
{
    const ivec low4 = i_set(0x0f0f0f0f), low6 = i_set(0x3f3f3f3f), top2 = i_set(0x30303030);
    if (tail_bytes(kind) > 0) {
        head->d = kind == PANEL_MXFP4 ? load_e8m0_half(v.tail) : f_load_half(v.tail);
        return;
    }
    head->d = f_low_half(word(v, 0));
    if (!is_affine(kind)) return;
    head->m = f_high_half(word(v, 0));
    if (!is_super(kind)) return;
    head->m = f_neg(head->m);
    ivec scales = word(v, 1), mins = word(v, 2), both = word(v, 3);
    head->packed[0][0] = i_and(scales, low6);
    head->packed[0][1] = i_and(mins, low6);
    head->packed[1][0] = i_merge(i_and(both, low4), i_shr(scales, 2), top2);
    head->packed[1][1] = i_merge(i_and(i_shr(both, 4), low4), i_shr(mins, 2), top2);
}

INLINE fvec byte_times(ivec packed, int i, fvec d)
{
    return f_mul(d, f_from_i(i_and(i_shr(packed, 8 * i), i_set(0xff))));
}

/* The scale of group g of sub-block 4*half + q. */
INLINE fvec group_scale(panel_kind kind, unit_view v, const unit_head *head, size_t half, int q, int g)
{
    if (kind == PANEL_Q6_K) {
        ivec scales = word(v, 48 + 2 * half + (size_t)(q / 2));
        return f_mul(head->d, f_from_i(i_sar(i_shl(scales, 24 - 8 * (2 * (q % 2) + g)), 24)));
    }
    if (kind == PANEL_IQ4_XS) {
        const int s = 4 * (int)half + q;
        ivec low = i_and(i_shr(word(v, 1), 4 * s), i_set(15)), top = i_rotl(word(v, 0), -12 - 2 * s);
        return f_mul(head->d, f_from_i(i_add(i_merge(low, top, i_set(0x30)), i_set(-32))));
    }
    return is_super(kind) ? byte_times(head->packed[half][0], q, head->d) : head->d;
}

/* The offset of sub-block 4*half + q. */
INLINE fvec unit_offset(panel_kind kind, const unit_head *head, size_t half, int q)
{
    return is_super(kind) ? byte_times(head->packed[half][1], q, head->m) : head->m;
}

#endif
