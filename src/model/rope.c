/* Rotary position embedding: the angle of pair i at position p is p * inv_freq[i].
   Linear scaling and NTK-by-parts (YaRN, Peng et al. 2023, section 3.2 and appendix A) are linear in the position, so
   they are computed once for each frequency, in double. */
#include "model/model.h"

#include <math.h>

/* The pair whose wave makes `turns` turns over the original context. */
static double turning_pair(const rope_params *p, double turns)
{
    return p->n_rot * log(p->n_ctx_orig / (turns * 2 * M_PI)) / (2 * log((double)p->base));
}

void rope_frequencies(const rope_params *p, const float *freq_factors, double *inv_freq, float *magnitude)
{
    double low = 0, high = 0;
    *magnitude = 1;
    if (p->yarn) {
        low = fmax(0, floor(turning_pair(p, p->yarn_beta_fast)));
        high = fmin(p->n_rot - 1, ceil(turning_pair(p, p->yarn_beta_slow)));
        if (p->yarn_ext > 0) *magnitude = p->yarn_attn * (1 + 0.1f * logf(1 / p->linear_scale));
    }
    for (int i = 0; i < p->n_rot / 2; i++) {
        double plain = pow((double)p->base, -2.0 * i / p->n_rot) / (freq_factors ? (double)freq_factors[i] : 1.0);
        double stretched = plain * (double)p->linear_scale;
        if (p->yarn) { /* fast pairs keep their frequency, slow ones are stretched, with a ramp between */
            double ramp = (i - low) / fmax(0.001, high - low);
            double keep = (1 - fmin(1, fmax(0, ramp))) * p->yarn_ext;
            inv_freq[i] = stretched * (1 - keep) + plain * keep;
        } else {
            inv_freq[i] = stretched;
        }
    }
}

void rope_table(const double *inv_freq, float magnitude, int n_rot, int pos, float *out)
{
    for (int i = 0; i < n_rot / 2; i++) {
        double angle = pos * inv_freq[i];
        out[2 * i] = (float)cos(angle) * magnitude;
        out[2 * i + 1] = (float)sin(angle) * magnitude;
    }
}
