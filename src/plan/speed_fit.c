/* What measurements say about the two parts of a predicted time. */
#include "plan/speed.h"

#include <math.h>

/* How far a measurement lies from a good fit, as standard deviation of the quotient: what bench/plan_error.py found. It counts
   like USUAL_COUNT measurements beside what the samples say themselves. */
#define USUAL       0.069
#define USUAL_COUNT 4
/* Of the largest it could be: what is less comes from samples of one depth. */
#define TELLS_APART 1e-3
/* No machine is further from its prediction: what a file says beyond that would only overflow. */
#define FURTHEST 1e6

/* Sums over the samples of one kind of x = flat / seconds and y = deep / seconds, for the smallest sum of
   (a * x + b * y - 1)^2; seconds: the mean of what was measured and, as far as it is trusted, of what was predicted. */
typedef struct sums {
    double xx, xy, yy, x, y;
    double n, apart; /* the squares of how far measured and predicted lie from their means */
} sums;

static void add(sums *s, const speed_sample *one, double trust)
{
    double predicted = one->predicted.flat + one->predicted.deep;
    double measured = fmin(fmax(one->measured, predicted / FURTHEST), predicted * FURTHEST);
    double seconds = (measured + trust * predicted) / (1 + trust);
    double x = one->predicted.flat / seconds, y = one->predicted.deep / seconds;
    double apart = (measured - predicted) / seconds;
    s->xx += x * x, s->xy += x * y, s->yy += y * y, s->x += x, s->y += y;
    s->n++, s->apart += apart * apart;
}

static bool tells_apart(const sums *s)
{
    return s->xx * s->yy - s->xy * s->xy > TELLS_APART * s->xx * s->yy;
}

/* The best factor of the deep part behind that of the flat one. */
static double deep_factor(const sums *s, double flat)
{
    return tells_apart(s) ? (s->y - flat * s->xy) / s->yy : flat;
}

/* The sum of squares with both factors: around the means, and of measured and predicted around each. */
static double residual(const sums *s, double trust, double a, double b)
{
    double around = a * a * s->xx + 2 * a * b * s->xy + b * b * s->yy - 2 * a * s->x - 2 * b * s->y + s->n;
    return (1 + trust) * around + trust / (1 + trust) * s->apart;
}

/* The factor of both parts. */
static double one_factor(const sums *s)
{
    return (s->x + s->y) / (s->xx + 2 * s->xy + s->yy);
}

/* The factor of the flat part that leaves the smallest residual over all kinds, each with its best factor of the deep part. */
static double flat_factor(const sums of[SPEED_KINDS])
{
    double above = 0, below = 0;
    for (const sums *s = of; s < of + SPEED_KINDS; s++) {
        bool apart = tells_apart(s);
        above += apart ? s->x - s->xy * s->y / s->yy : s->x + s->y;
        below += apart ? s->xx - s->xy * s->xy / s->yy : s->xx + 2 * s->xy + s->yy;
    }
    return above / below;
}

speed_fit speed_fit_samples(const speed_sample *samples, int n, double trust)
{
    sums of[SPEED_KINDS] = {0};
    int unknown = 1;
    double left = 0;
    if (n == 0) return (speed_fit){1, 1, USUAL};
    for (int i = 0; i < n; i++) add(&of[samples[i].kind], &samples[i], trust);
    double flat = flat_factor(of), deep = deep_factor(&of[0], flat);
    for (const sums *s = of; s < of + SPEED_KINDS; s++) {
        left += residual(s, trust, flat, deep_factor(s, flat));
        unknown += tells_apart(s);
    }
    /* Time that falls with the depth. */
    if (!(flat > 0) || !(deep > 0)) flat = deep = one_factor(&of[0]);
    double error = sqrt((USUAL_COUNT * USUAL * USUAL + fmax(left, 0)) / (USUAL_COUNT + fmax(n - unknown, 0)));
    return (speed_fit){flat, deep, error};
}
