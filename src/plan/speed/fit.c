/* What measurements say about the two parts of a predicted time. */
#include "plan/speed/speed.h"

#include <math.h>

/* How far a measurement lies from a good fit, as standard deviation of the quotient: what bench/plan_error.py found. It counts
   like USUAL_COUNT measurements beside what the samples say themselves. */
#define USUAL       0.069
#define USUAL_COUNT 4
/* No machine is further from its prediction: what a file says beyond that would only overflow. */
#define FURTHEST 1e6

/* Sums over the samples of one kind, in units of each measured time: x is the predicted flat part, y the deep one, z both,
   e = z - 1 the error of the prediction. */
typedef struct sums {
    double xx, xy, yy, x, y;
    int n;
} sums;

static void add(sums *s, const speed_sample *one)
{
    double predicted = one->predicted.flat + one->predicted.deep;
    double measured = fmin(fmax(one->measured, predicted / FURTHEST), predicted * FURTHEST);
    double x = one->predicted.flat / measured, y = one->predicted.deep / measured;
    s->xx += x * x, s->xy += x * y, s->yy += y * y, s->x += x, s->y += y;
    s->n++;
}

/* The three unknowns that a kind's errors depend on: z * common + x * flat + y * deep + e. */
typedef struct deviations {
    double common, flat, deep;
} deviations;

static double zz(const sums *s)
{
    return s->xx + 2 * s->xy + s->yy;
}
static double ze(const sums *s)
{
    return zz(s) - s->x - s->y;
}
static double xe(const sums *s)
{
    return s->xx + s->xy - s->x;
}
static double ye(const sums *s)
{
    return s->xy + s->yy - s->y;
}

/* The deep part's best deviation of one kind behind the other two, which is 0 for a kind without samples. */
static double deep_of(const sums *s, double common, double flat, speed_trust t)
{
    return s->n > 0 ? -(ye(s) + common * (s->xy + s->yy) + flat * s->xy) / (s->yy + t.parts) : 0;
}

/* The deviations common to all kinds and of the flat part, with the deep part of each kind eliminated from the normal
   equations. */
static deviations solve(const sums of[SPEED_KINDS], speed_trust t)
{
    double cc = t.common, cf = 0, ff = t.parts, ce = 0, fe = 0;
    for (const sums *s = of; s < of + SPEED_KINDS; s++) {
        double zy = s->xy + s->yy, rest = s->yy + t.parts;
        if (s->n == 0) continue;
        cc += zz(s) - zy * zy / rest, cf += s->xx + s->xy - zy * s->xy / rest, ff += s->xx - s->xy * s->xy / rest;
        ce += ze(s) - zy * ye(s) / rest, fe += xe(s) - s->xy * ye(s) / rest;
    }
    double flat = (cf * ce - cc * fe) / (cc * ff - cf * cf), common = -(ce + cf * flat) / cc;
    return (deviations){common, flat, deep_of(&of[0], common, flat, t)};
}

/* The factor that fits all samples best where both parts have the same one; above 0 always. */
static double one_factor(const sums of[SPEED_KINDS], speed_trust t)
{
    double above = t.common, below = t.common;
    for (const sums *s = of; s < of + SPEED_KINDS; s++) above += s->x + s->y, below += zz(s);
    return above / below;
}

/* The sum of squares that is left of a kind with these factors of its parts. */
static double residual(const sums *s, double a, double b)
{
    return a * a * s->xx + 2 * a * b * s->xy + b * b * s->yy - 2 * a * s->x - 2 * b * s->y + s->n;
}

/* Standard deviation of measurements around the fit: what is left of all samples and of the deviations, which count as
   measurements of 0. Of a deep part that the samples say little about the unknown is less than one. */
static double error_of(const sums of[SPEED_KINDS], deviations d, speed_trust t)
{
    double left = t.common * d.common * d.common + t.parts * d.flat * d.flat, n = 0, unknown = 1;
    for (const sums *s = of; s < of + SPEED_KINDS; s++) {
        double deep = deep_of(s, d.common, d.flat, t);
        if (s->n == 0) continue;
        left += residual(s, 1 + d.common + d.flat, 1 + d.common + deep) + t.parts * deep * deep;
        n += s->n, unknown += s->yy / (s->yy + t.parts);
    }
    return sqrt((USUAL_COUNT * USUAL * USUAL + fmax(left, 0)) / (USUAL_COUNT + fmax(n - unknown, 0)));
}

speed_fit speed_fit_samples(const speed_sample *samples, int n, speed_trust trust)
{
    sums of[SPEED_KINDS] = {0};
    if (n == 0) return (speed_fit){1, 1, USUAL};
    for (int i = 0; i < n; i++) add(&of[samples[i].kind], &samples[i]);
    deviations d = solve(of, trust);
    /* Time that falls with the depth. */
    if (!(d.common + d.flat > -1) || !(d.common + d.deep > -1)) d = (deviations){one_factor(of, trust) - 1, 0, 0};
    return (speed_fit){1 + d.common + d.flat, 1 + d.common + d.deep, error_of(of, d, trust)};
}
