#include "cli/watch/watch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Rates below these are there on a healthy machine: the first touch of a library's page, a neighbour that starts. */
static const double window_s = 5, pause_s = 60, least_faults = 50, least_pages = 100, least_stall = 0.05;
static const double slow_share = 0.8;
enum { LEAST_TOKENS = 4, N_SIGNALS = 4 };

static int place_of(int depth)
{
    double place = 4 * log2(1 + depth / 256.0);
    return place < WATCH_DEPTHS - 1 ? (int)place : WATCH_DEPTHS - 1;
}

/* The best at this depth or next to it: a deeper place that was faster counts, a shallower one does not tell. */
static double best_near(const watch *w, int place)
{
    double best = w->best[place], deeper = place + 1 < WATCH_DEPTHS ? w->best[place + 1] : 0;
    return best > 0 && deeper > 0 ? fmin(best, deeper) : fmax(best, deeper);
}

static int slow_now(watch *w, int tokens, double token_s, int depth)
{
    if (tokens < LEAST_TOKENS || !(token_s > 0)) return 0;
    int place = place_of(depth);
    double best = best_near(w, place);
    if (!(w->best[place] > 0) || token_s < w->best[place]) w->best[place] = token_s;
    return best > 0 && best / token_s < slow_share;
}

/* Growth of the counters over the readings of the window. */
static int memory_signals(const watch *w, double now, const watch_counters *c)
{
    int signals = 0;
    for (int i = 0; i < w->n_kept && i < WATCH_KEPT; i++) {
        double seconds = now - w->kept[i].at;
        const watch_counters *then = &w->kept[i].counters;
        if (seconds <= 0 || seconds > window_s) continue;
        if ((double)(c->major_faults - then->major_faults) >= least_faults * fmin(1, seconds)) signals |= WATCH_FAULTS;
        if ((double)(c->swapped_in - then->swapped_in) >= least_pages * fmin(1, seconds)) signals |= WATCH_SWAP;
        if (seconds >= 1 && (double)(c->stalled_us - then->stalled_us) * 1e-6 >= least_stall * seconds)
            signals |= WATCH_STALL;
    }
    return signals;
}

int watch_judge(watch *w, double now, const watch_counters *c, int tokens, double token_s, int depth)
{
    int signals = memory_signals(w, now, c), recent = 0, n = 0;
    if (slow_now(w, tokens, token_s, depth)) signals |= WATCH_SLOW;
    w->kept[w->n_kept % WATCH_KEPT].at = now;
    w->kept[w->n_kept % WATCH_KEPT].counters = *c;
    w->n_kept = w->n_kept + 1 < 2 * WATCH_KEPT ? w->n_kept + 1 : WATCH_KEPT;
    for (int i = 0; i < N_SIGNALS; i++) {
        if (signals & 1 << i) w->seen[i] = now;
        if (!(w->seen[i] > 0) || now - w->seen[i] > window_s) continue;
        recent |= 1 << i;
        n++;
    }
    if (n < 2 || (w->warned > 0 && now - w->warned < pause_s)) return 0;
    w->warned = now;
    w->n_warnings++;
    return recent;
}

void watch_text(int signals, char *to, size_t n)
{
    static const char *const names[N_SIGNALS] = {"pages are being read from the disk (major faults)",
                                                 "pages come back from swap", "programs wait for memory",
                                                 "decoding is below 80% of its best at this depth"};
    size_t used = (size_t)snprintf(to, n, "memory is short: ");
    int first = 1;
    for (int i = 0; i < N_SIGNALS; i++) {
        if (!(signals & 1 << i) || used >= n) continue;
        used += (size_t)snprintf(to + used, n - used, "%s%s", first ? "" : "; ", names[i]);
        first = 0;
    }
    if (used < n)
        (void)snprintf(
            to + used, n - used,
            ". A smaller KV type (--kv q8), a shorter --ctx or fewer other programs help; kvasir plan says what "
            "fits");
}
