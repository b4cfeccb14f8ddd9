/* Activations to int8, the steps of kernels/linear.h, written once over the vectors of linear_tile.h and compiled
   together with it. A lane is a block: what belongs to a block needs no sums across lanes, and blocks of several rows
   fill a vector.

   Beside linear_tile.h's list the including file gives

     i_sub(a, b)               words
     i_round(x)                floats to the nearest even integers; a NaN becomes 0 in its lower 16 bits
     i_low_bytes(a, b)         the lower bytes of the four 16-bit numbers in each word of a and b, as one word
     h_scale(y, m)             pairs of 16-bit numbers: (y * m + 2^14) >> 15
     h_dot(sum, a, b)          words: adds the two products of a's and b's pairs
     f_div
     i_bits(x)                 the bits of floats as words
     f_if_greater(a, b, x, y)  a > b ? x : y
     f_transpose(r)            r[ROWS] as a ROWS x ROWS matrix, in place
     f_store_n(p, x, n)        the first n lanes; n is constant */
#ifndef KVASIR_KERNELS_LANES_LINEAR_QUANTISE_H
#define KVASIR_KERNELS_LANES_LINEAR_QUANTISE_H

#include <stddef.h>

enum { CANDIDATES = 6, ACT_PAIRS = ACT_BLOCK / 2, ACT_BLOCK_WORDS = sizeof(act_block) / 4, WORDS_ROOM = 16 };
_Static_assert(ACT_BLOCK_WORDS == 13 && offsetof(act_block, ds) == 4 && offsetof(act_block, minus128) == 8 &&
                   offsetof(act_block, q) == 20,
               "store_blocks writes an act_block as words");

/* What is known of ROWS blocks, one in each lane. */
typedef struct block_lanes {
    ivec y[ACT_PAIRS]; /* two elements of 16 bits */
    fvec amax;         /* NaN where an element is */
} block_lanes;

/* x, or 0 in the lanes whose block is to be zeros: amax is below 2^-110 or infinite. */
INLINE fvec f_where_usable(const block_lanes *l, fvec x)
{
    x = f_if_greater(f_set(0x1p-110f), l->amax, f_set(0), x);
    return f_if_greater(f_set(__builtin_inff()), l->amax, x, f_set(0));
}

INLINE void read_blocks(const float *const from[ROWS], block_lanes *l)
{
    fvec x[ACT_BLOCK];
    ivec most = i_set(0); /* magnitudes are ordered as their bits are, NaN above all */
    UNROLL for (int e = 0; e < ACT_BLOCK; e += ROWS)
    {
        UNROLL for (int i = 0; i < ROWS; i++) x[e + i] = f_load(from[i] + e);
        f_transpose(x + e);
        UNROLL for (int i = 0; i < ROWS; i++) most = i_max(most, i_and(i_bits(x[e + i]), i_set(0x7fffffff)));
    }
    l->amax = f_from_bits(most);
    fvec to = f_where_usable(l, f_div(f_set(32767.0f), l->amax));
    UNROLL for (int i = 0; i < ACT_PAIRS; i++)
    {
        ivec low = i_round(f_mul(x[2 * i], to)), high = i_round(f_mul(x[2 * i + 1], to));
        l->y[i] = i_merge(i_shl(high, 16), low, i_set(0xffff));
    }
}

/* The `most` of each block's best rounding, twice in each word; *scale becomes that rounding's scale. */
INLINE ivec choose_rounding(const block_lanes *l, fvec *scale)
{
    ivec yq[CANDIDATES], qq[CANDIDATES];
    UNROLL for (int c = 0; c < CANDIDATES; c++) yq[c] = qq[c] = i_set(0);
    for (int i = 0; i < ACT_PAIRS; i++) {
        ivec y = l->y[i];
        UNROLL for (int c = 0; c < CANDIDATES; c++)
        {
            ivec q = h_scale(y, i_set((127 - c) * 0x00010001));
            yq[c] = h_dot(yq[c], y, q);
            qq[c] = h_dot(qq[c], q, q);
        }
    }
    fvec most = f_set(127), best_a = f_from_i(yq[0]), best_b = f_from_i(qq[0]);
    UNROLL for (int c = 1; c < CANDIDATES; c++)
    {
        fvec a = f_from_i(yq[c]), b = f_from_i(qq[c]);
        fvec mine = f_mul(f_mul(a, a), best_b), than = f_mul(f_mul(best_a, best_a), b);
        most = f_if_greater(mine, than, f_set((float)(127 - c)), most);
        best_a = f_if_greater(mine, than, a, best_a);
        best_b = f_if_greater(mine, than, b, best_b);
    }
    *scale = f_div(best_a, best_b);
    ivec m = i_round(most);
    return i_merge(i_shl(m, 16), m, i_set(0xffff));
}

INLINE void store_blocks(fvec words[WORDS_ROOM], act_block *const to[ROWS], int n)
{
    UNROLL for (int w = 0; w < ACT_BLOCK_WORDS; w += ROWS)
    {
        f_transpose(words + w);
        for (int i = 0; i < n; i++)
            f_store_n((float *)(void *)to[i] + w, words[w + i],
                      ACT_BLOCK_WORDS - w < ROWS ? ACT_BLOCK_WORDS - w : ROWS);
    }
}

/* n <= ROWS blocks. `from` points to something readable for every lane. */
static void quantise_blocks(const float *const from[ROWS], act_block *const to[ROWS], int n)
{
    block_lanes l;
    fvec scale, words[WORDS_ROOM];
    ivec sum[2] = {i_set(0), i_set(0)};
    read_blocks(from, &l);
    const ivec most = choose_rounding(&l, &scale), ones = i_set(0x00010001);
    UNROLL for (int i = 0; i < ACT_PAIRS; i += 2)
    {
        ivec a = h_scale(l.y[i], most), b = h_scale(l.y[i + 1], most);
        sum[i / (ACT_PAIRS / 2)] = h_dot(h_dot(sum[i / (ACT_PAIRS / 2)], a, ones), b, ones);
        words[5 + i / 2] = f_from_bits(i_low_bytes(a, b));
    }
    ivec all = i_add(sum[0], sum[1]);
    words[0] = f_where_usable(&l, f_mul(f_mul(l.amax, f_set(1 / 32767.0f)), scale));
    words[0] = f_if_greater(f_set(__builtin_inff()), l.amax, words[0], f_set(__builtin_nanf("")));
    words[1] = f_mul(words[0], f_from_i(all));
    words[2] = f_from_bits(i_shl(i_sub(i_set(0), sum[0]), 7));
    words[3] = f_from_bits(i_shl(i_sub(i_set(0), sum[1]), 7));
    words[4] = f_from_bits(i_shl(i_sub(i_set(0), all), 7));
    UNROLL for (int i = ACT_BLOCK_WORDS; i < WORDS_ROOM; i++) words[i] = f_set(0);
    store_blocks(words, to, n);
}

static void quantise(const float *x, size_t ld, int n, int k, act_block *out, size_t ld_out)
{
    const float *from[ROWS];
    act_block *to[ROWS];
    int have = 0;
    for (int row = 0; row < n; row++, x += ld, out += ld_out) {
        for (int b = 0; b < k / ACT_BLOCK; b++) {
            from[have] = x + b * ACT_BLOCK;
            to[have++] = out + b;
            if (have < ROWS) continue;
            quantise_blocks(from, to, have);
            have = 0;
        }
    }
    if (have == 0) return;
    for (int i = have; i < ROWS; i++) from[i] = from[0];
    quantise_blocks(from, to, have);
}

#endif
