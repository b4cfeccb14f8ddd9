/* Filters over candidates, and the draw. Probabilities are sums of doubles in array order: the result depends on
   nothing but the logits, at any CPU level (exp and log are the C library's, hence the same on one machine). */
#include "sample/sample.h"

/* Largest key first, smallest id among equals. */
static bool before(const candidate *a, const candidate *b)
{
    return a->key > b->key || (a->key == b->key && a->id < b->id);
}

static void swap(candidate *a, candidate *b)
{
    candidate t = *a;
    *a = *b;
    *b = t;
}

/* Restores the heap below c[i]. Its root is the first in order, or with `worst` the last. */
static void sift(candidate *c, int n, int i, bool worst)
{
    for (;;) {
        int top = i;
        for (int child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
            if (worst ? before(&c[top], &c[child]) : before(&c[child], &c[top])) top = child;
        if (top == i) return;
        swap(&c[top], &c[i]);
        i = top;
    }
}

/* Orders candidates by key and keeps the shortest head whose probabilities exp(x - max) / sum reach `mass`. A
   heap, because the head is nearly always short: n + head * log n steps instead of a full sort. */
static int keep_head(candidate *c, int n, double mass, double max, double sum)
{
    for (int i = n / 2 - 1; i >= 0; i--) sift(c, n, i, false);
    int kept = 0;
    double have = 0;
    while (kept < n && (kept == 0 || have < mass)) {
        have += exp((double)c[0].x - max) / sum;
        kept++;
        swap(&c[0], &c[n - kept]); /* those taken gather at the end, with the first of them last */
        sift(c, n - kept, 0, false);
    }
    for (int i = 0; i < n / 2; i++) swap(&c[i], &c[n - 1 - i]);
    return kept;
}

static double max_x(const candidate *c, int n)
{
    float max = c[0].x;
    for (int i = 1; i < n; i++)
        if (c[i].x > max) max = c[i].x;
    return (double)max;
}

static double sum_exp(const candidate *c, int n, double max)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += exp((double)c[i].x - max);
    return sum;
}

int filter_top_k(const float *logits, int n_vocab, int k, candidate *c)
{
    int n = 0;
    bool all = k <= 0 || k >= n_vocab;
    for (int i = 0; i < n_vocab; i++) {
        if (logits[i] == -INFINITY) continue;
        candidate next = {.key = (double)logits[i], .x = logits[i], .id = i};
        if (all || n < k) {
            c[n++] = next;
            if (n == k && !all)
                for (int j = n / 2 - 1; j >= 0; j--) sift(c, n, j, true);
        } else if (before(&next, &c[0])) {
            c[0] = next;
            sift(c, n, 0, true);
        }
    }
    return n;
}

/* Meister et al. 2022, "Locally typical sampling": the tokens whose surprise is nearest to the entropy. */
int filter_typical(candidate *c, int n, double p)
{
    double max = max_x(c, n), sum = sum_exp(c, n, max), log_sum = log(sum), entropy = 0;
    for (int i = 0; i < n; i++) {
        double log_p = (double)c[i].x - max - log_sum;
        entropy -= exp(log_p) * log_p;
    }
    for (int i = 0; i < n; i++) c[i].key = -fabs(log_sum + max - (double)c[i].x - entropy);
    return keep_head(c, n, p, max, sum);
}

/* Holtzman et al. 2020, nucleus sampling: the fewest tokens that together reach p. */
int filter_top_p(candidate *c, int n, double p)
{
    double max = max_x(c, n);
    for (int i = 0; i < n; i++) c[i].key = (double)c[i].x;
    return keep_head(c, n, p, max, sum_exp(c, n, max));
}

/* Nguyen et al. 2024: at least p times as probable as the most probable token. */
int filter_min_p(candidate *c, int n, double p)
{
    double max = max_x(c, n);
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (exp((double)c[i].x - max) >= p) c[kept++] = c[i];
    return kept;
}

/* Exclude top choices (p-e-w 2024): of the tokens at or above the threshold only the least probable stays. */
int filter_xtc(candidate *c, int n, double threshold)
{
    double max = max_x(c, n), sum = sum_exp(c, n, max);
    int least = -1, above = 0;
    for (int i = 0; i < n; i++) {
        c[i].key = (double)c[i].x;
        if (exp((double)c[i].x - max) / sum < threshold) continue;
        above++;
        if (least < 0 || before(&c[least], &c[i])) least = i;
    }
    if (above < 2) return n;
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (i == least || exp((double)c[i].x - max) / sum < threshold) c[kept++] = c[i];
    return kept;
}

int32_t draw(candidate *c, int n, double temperature, double u)
{
    double max = max_x(c, n), sum = 0;
    for (int i = 0; i < n; i++) {
        c[i].key = exp(((double)c[i].x - max) / temperature);
        sum += c[i].key;
    }
    double left = u * sum;
    int chosen = 0; /* the last one with a weight: chosen if rounding leaves a rest */
    for (int i = 0; i < n; i++) {
        if (c[i].key <= 0) continue;
        chosen = i;
        left -= c[i].key;
        if (left < 0) break;
    }
    return c[chosen].id;
}
