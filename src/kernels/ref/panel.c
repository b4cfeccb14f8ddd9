/* Panels: 16 rows of file blocks interleaved by 4-byte words.

   A ggml block is 4-byte words plus, in some types, one scale of two bytes or one that makes its size odd in
   words. The panel holds, block by block along k, each word of the block for all 16 rows ([word][16 rows], one
   64-byte vector per word, words in file order), and then the lone scale of the 16 rows. So a panel is as large
   as the rows were (rounded up to 64 bytes), one forward pass reads everything in the order of use, and packing moves
   words without looking at them:

     type   words per row and block, in order                                lone scale
     Q4_0   4: nibbles; word j has elements 4j.. (low) and 16+4j.. (high)    d
     Q4_1   1: d, m as two f16; 4: nibbles as in Q4_0
     Q5_0   1: fifth bits, bit e of element e; 4: nibbles                    d
     Q5_1   1: d, m; 1: fifth bits; 4: nibbles
     Q8_0   8: bytes; word j has elements 4j.. ; as q ^ 0x80 (u = q + 128)   d
     Q4_K   1: d, dmin; 3: scales and minimums of 6 bits; 32: nibbles
     Q5_K   1: d, dmin; 3: scales and minimums; 8: fifth bits; 32: nibbles
     Q6_K   32: low nibbles; 16: upper two bits; 4: 16 signed scales         d
     IQ4_NL 4: codes as the nibbles of Q4_0                                  d
     IQ4_XS 1: d, upper bits of the scales; 1: their lower nibbles; 32: codes
     MXFP4  4: codes as the nibbles of Q4_0                                  e (one byte)
     F32, F16, BF16: [k][16 rows]

   Q4_K, Q5_K: sub-blocks 2i (low nibbles) and 2i+1 (high) of 32 elements share nibble words 8i..8i+7; the
   fifth bits of sub-block s are bit s of the bytes.
   Q6_K: per half h (128 elements) and sub-block q = 0..3, word j has nibble q/2 of word 16h + 8(q%2) + j and
   bits 2q, 2q+1 of word 32 + 8h + j.
   IQ4_XS: sub-block s has words 2+4s..5+4s, like a block of IQ4_NL; its scale is nibble s of word 1 and above
   it bits 2s, 2s+1 of the upper half of word 0. */
#include "kernels/linear.h"

#include "base/checked.h"

#include <string.h>

typedef struct panel_layout {
    const char *name;
    int type;              /* quant_type */
    int elements, bytes;   /* a block of one row */
    int words_at, tail_at; /* byte offsets of the words and of the lone scale within a block; tail_at < 0: none */
    uint32_t flip;         /* xored with each word */
} panel_layout;

static const panel_layout layouts[PANEL_KINDS] = {
    [PANEL_F32] = {"F32", QUANT_F32, 1, 4, 0, -1, 0},
    [PANEL_F16] = {"F16", QUANT_F16, 1, 2, 0, 0, 0},
    [PANEL_BF16] = {"BF16", QUANT_BF16, 1, 2, 0, 0, 0},
    [PANEL_Q4_0] = {"Q4_0", QUANT_Q4_0, 32, 18, 2, 0, 0},
    [PANEL_Q4_1] = {"Q4_1", QUANT_Q4_1, 32, 20, 0, -1, 0},
    [PANEL_Q5_0] = {"Q5_0", QUANT_Q5_0, 32, 22, 2, 0, 0},
    [PANEL_Q5_1] = {"Q5_1", QUANT_Q5_1, 32, 24, 0, -1, 0},
    [PANEL_Q8_0] = {"Q8_0", QUANT_Q8_0, 32, 34, 2, 0, 0x80808080u},
    [PANEL_Q4_K] = {"Q4_K", QUANT_Q4_K, 256, 144, 0, -1, 0},
    [PANEL_Q5_K] = {"Q5_K", QUANT_Q5_K, 256, 176, 0, -1, 0},
    [PANEL_Q6_K] = {"Q6_K", QUANT_Q6_K, 256, 210, 0, 208, 0},
    [PANEL_IQ4_NL] = {"IQ4_NL", QUANT_IQ4_NL, 32, 18, 2, 0, 0},
    [PANEL_IQ4_XS] = {"IQ4_XS", QUANT_IQ4_XS, 256, 136, 0, -1, 0},
    [PANEL_MXFP4] = {"MXFP4", QUANT_MXFP4, 32, 17, 1, 0, 0},
};

int panel_kind_of(quant_type type)
{
    for (int kind = 0; kind < PANEL_KINDS; kind++)
        if (layouts[kind].type == (int)type) return kind;
    return -1;
}

const char *panel_kind_name(panel_kind kind)
{
    return layouts[kind].name;
}

bool panel_kind_is_float(panel_kind kind)
{
    return layouts[kind].elements == 1;
}

size_t panel_bytes(panel_kind kind, int k)
{
    const panel_layout *l = &layouts[kind];
    return align_up((size_t)(k / l->elements) * (size_t)l->bytes * PANEL_ROWS, 64);
}

/* `n` words of each row to [n][16]. */
static inline void pack_words(const uint8_t *rows, size_t row_bytes, int n_rows, int n, uint32_t flip, uint32_t *to)
{
    for (int r = 0; r < n_rows; r++, rows += row_bytes) {
        for (int i = 0; i < n; i++) {
            uint32_t word;
            memcpy(&word, rows + 4 * i, 4);
            to[i * PANEL_ROWS + r] = word ^ flip;
        }
    }
}

/* `n` f16 of each row to [n][16]. */
static inline void pack_halves(const uint8_t *rows, size_t row_bytes, int n_rows, int n, uint16_t *to)
{
    for (int r = 0; r < n_rows; r++, rows += row_bytes)
        for (int i = 0; i < n; i++) memcpy(to + i * PANEL_ROWS + r, rows + 2 * i, 2);
}

/* One panel of blocks. The layout's fields are constants to each caller, so that the loops above unroll. */
static inline __attribute__((always_inline)) void pack_blocks(panel_layout l, const uint8_t *rows, size_t row_bytes,
                                                              int n_rows, int n_blocks, uint8_t *to)
{
    const int words = l.bytes / 4, bytes = l.bytes * PANEL_ROWS;
    for (int b = 0; b < n_blocks; b++, rows += l.bytes, to += bytes) {
        pack_words(rows + l.words_at, row_bytes, n_rows, words, l.flip, (uint32_t *)(void *)to);
        uint8_t *tail = to + words * 4 * PANEL_ROWS;
        if (l.tail_at < 0) continue;
        if (l.bytes % 2)
            for (int r = 0; r < n_rows; r++) tail[r] = rows[(size_t)r * row_bytes + (size_t)l.tail_at];
        else
            pack_halves(rows + l.tail_at, row_bytes, n_rows, 1, (uint16_t *)(void *)tail);
    }
}

/* F32, F16 and BF16: TILE elements of each row at a time, so that the panel's part stays in the first-level cache. */
static void pack_floats(const uint8_t *rows, size_t row_bytes, int n_rows, int k, int size, uint8_t *to)
{
    enum { TILE = 64 };
    for (int i = 0; i < k; i += TILE, rows += TILE * size, to += TILE * size * PANEL_ROWS) {
        int n = min_int(TILE, k - i);
        if (size == 4)
            pack_words(rows, row_bytes, n_rows, n, 0, (uint32_t *)(void *)to);
        else
            pack_halves(rows, row_bytes, n_rows, n, (uint16_t *)(void *)to);
    }
}

void panel_pack(panel_kind kind, const void *rows, size_t row_bytes, int n_rows, int k, void *panel)
{
    const int n_blocks = k / layouts[kind].elements;
    if (n_rows < PANEL_ROWS) memset(panel, 0, panel_bytes(kind, k));

    switch (kind) {
#define PACK(name)                                                                                                     \
    case PANEL_##name:                                                                                                 \
        pack_blocks(layouts[PANEL_##name], rows, row_bytes, n_rows, n_blocks, panel);                                  \
        break;
        PACK(Q4_0)
        PACK(Q4_1)
        PACK(Q5_0)
        PACK(Q5_1)
        PACK(Q8_0)
        PACK(Q4_K)
        PACK(Q5_K)
        PACK(Q6_K)
        PACK(IQ4_NL)
        PACK(IQ4_XS)
        PACK(MXFP4)
#undef PACK
    case PANEL_F32:
        pack_floats(rows, row_bytes, n_rows, k, 4, panel);
        break;
    case PANEL_F16:
    case PANEL_BF16:
        pack_floats(rows, row_bytes, n_rows, k, 2, panel);
        break;
    case PANEL_KINDS:
        break;
    }
}

void panel_pack_f32(const float *rows, size_t row_floats, int n_rows, int k, float *panel)
{
    panel_pack(PANEL_F32, rows, row_floats * sizeof(float), n_rows, k, panel);
}
