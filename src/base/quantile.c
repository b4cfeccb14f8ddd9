#include "base/quantile.h"
#include "base/checked.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void sort_ascending(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
}

double quantile(const double *sorted, int n, double share)
{
    double at = share * (n - 1);
    int low = (int)at, high = min_int(low + 1, n - 1);
    return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}
