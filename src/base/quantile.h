/* Order statistics of measurements. */
#ifndef KVASIR_BASE_QUANTILE_H
#define KVASIR_BASE_QUANTILE_H

/* Sorts n numbers in ascending order. */
void sort_ascending(double *values, int n);

/* The quantile of n >= 1 numbers in ascending order: a `share` (0 to 1) of the others lies below it, so 0.5 gives the
   median. Between two numbers it interpolates. */
double quantile(const double *sorted, int n, double share);

#endif
