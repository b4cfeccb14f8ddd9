/* Order statistics of measurements. */
#ifndef KVASIR_BASE_QUANTILE_H
#define KVASIR_BASE_QUANTILE_H

/* Sorts n numbers, the least first. */
void sort_ascending(double *values, int n);

/* Of n >= 1 numbers in ascending order the one with `share` (0 to 1) of the others below it, between two of them in
   proportion: 0.5 gives the median. */
double quantile(const double *sorted, int n, double share);

#endif
