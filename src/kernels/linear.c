#include "kernels/linear.h"
#include "kernels/levels.h"

void linear_kernels_init(linear_kernels *t, cpu_level level)
{
    linear_init_ref(t);
}
