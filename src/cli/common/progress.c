#include "cli/common/common.h"
#include "base/clock.h"
#include "base/format.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int disabled;

void progress_disable(void)
{
    disabled = 1;
}

progress progress_start(const char *label, const char *unit)
{
    double now = clock_now();
    return (progress){.label = label, .unit = unit, .started = now, .shown = now};
}

void progress_update(progress *p, uint64_t done, uint64_t total, const char *extra)
{
    enum { EVERY_MS = 100, FIRST_AFTER_MS = 200 }; /* what is over at once needs no bar */
    double now = clock_now(), gone = now - p->started;
    if (disabled || !isatty(STDERR_FILENO)) return;
    if (1000 * (now - p->shown) < (p->visible ? EVERY_MS : FIRST_AFTER_MS) || done == 0 || total == 0) return;
    double rate = done > p->before ? (double)(done - p->before) / (gone > 0 ? gone : 1e-9) : 0;
    char left[FORMAT_BYTES] = "some time";
    if (rate > 0) (void)format_time(ceil((double)(total - done) / rate), left);
    if (strcmp(p->unit, "B") == 0)
        (void)fprintf(stderr, "\r\033[K%s %s of %s (%.0f%%), %s/s, %s left", p->label, bytes_text(done),
                      bytes_text(total), 100.0 * (double)done / (double)total, bytes_text((uint64_t)rate), left);
    else
        (void)fprintf(stderr, "\r\033[K%s %s of %s %s (%.0f%%), %.1f %s/s, %s left", p->label, count_text(done),
                      count_text(total), p->unit, 100.0 * (double)done / (double)total, rate, p->unit, left);
    if (extra) (void)fprintf(stderr, ", %s", extra);
    p->visible = 1;
    p->shown = now;
}

void progress_end(progress *p)
{
    if (p->visible) (void)fputs("\r\033[K", stderr);
    p->visible = 0;
}

int progress_callback(void *user, uint64_t done, uint64_t total)
{
    progress_update(user, done, total, NULL);
    return interrupted();
}
