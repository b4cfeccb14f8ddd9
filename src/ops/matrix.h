/* A weight matrix in memory: panels of 16 rows, or raw rows of a type without a fast kernel. */
#ifndef KVASIR_OPS_MATRIX_H
#define KVASIR_OPS_MATRIX_H

#include "kernels/linear.h"
#include "quant/quant.h"
#include <stdbool.h>

typedef struct matrix {
    int rows, k;
    quant_type type;
    int kind;            /* panel_kind, or -1: raw rows */
    unsigned char *data; /* n_panels panels, or rows * row_bytes */
    size_t panel_bytes;  /* of a panel, or of 16 raw rows */
    const float *factor; /* of raw rows: what all weights are multiplied with (NVFP4), of a stack one each; NULL: 1 */
} matrix;

/* n matrices of one shape, one behind the other. */
typedef struct matrix_stack {
    matrix first;
    int n;
} matrix_stack;

/* Fills everything but `data` for a weight of this type and shape. */
void matrix_shape(matrix *m, quant_type type, int rows, int k);
static inline int matrix_panels(const matrix *m)
{
    return (m->rows + PANEL_ROWS - 1) / PANEL_ROWS;
}
/* Bytes of `data`, a multiple of 64. */
size_t matrix_bytes(const matrix *m);
matrix matrix_at(const matrix_stack *s, int i); /* matrix i of the stack */

/* Converts file rows (row_bytes apart) to panel number `panel` of the matrix. */
void matrix_pack(matrix *m, int panel, const void *rows, size_t row_bytes);

#endif
