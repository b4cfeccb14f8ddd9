/* The constants of the IQ types and of the four-bit floats: part of the formats, published in ggml's ggml-common.h. */
#ifndef KVASIR_QUANT_IQ_TABLES_H
#define KVASIR_QUANT_IQ_TABLES_H

#include <stdint.h>

/* Rows of eight magnitudes (8, 25, 43), the first in the lowest byte. */
extern const uint64_t iq2xxs_grid[256], iq2xs_grid[512], iq2s_grid[1024];
/* Rows of four magnitudes: 4, 12, 20, 28, 36, 44, 52, 62, and the odd numbers to 15. */
extern const uint32_t iq3xxs_grid[256], iq3s_grid[512];
/* Rows of eight signed bytes -1, 0, 1. */
extern const uint64_t iq1s_grid[2048];

extern const int8_t iq4nl_values[16]; /* a fit to normally distributed weights */
extern const int8_t fp4_values[16];   /* twice the values of E2M1 (OCP Microscaling Formats 1.0) */

#endif
