#include "cli/common/common.h"
#include "cli/common/fit.h"
#include "base/clock.h"
#include "base/format.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
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

/* Of the terminal that stderr is; it may change at any time. */
static int terminal_columns(void)
{
    enum { USUAL = 80 };
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : USUAL;
}

static void draw(const progress *p, uint64_t done, uint64_t total, double rate, const char *extra)
{
    char a[FORMAT_BYTES], b[FORMAT_BYTES], time[FORMAT_BYTES], line[FIT_BYTES];
    char part[2 * FORMAT_BYTES + 64], percent[32], speed[FORMAT_BYTES + 64], left[FORMAT_BYTES + 16];
    bool is_bytes = strcmp(p->unit, "B") == 0;
    (void)snprintf(percent, sizeof percent, "%.0f%%", 100.0 * (double)done / (double)total);
    if (is_bytes) {
        (void)snprintf(part, sizeof part, "%s of %s", format_size(done, a), format_size(total, b));
        (void)snprintf(speed, sizeof speed, "%s/s", format_size((uint64_t)rate, a));
    } else {
        (void)snprintf(part, sizeof part, "%s of %s %s", format_count(done, a), format_count(total, b), p->unit);
        (void)snprintf(speed, sizeof speed, "%.1f %s/s", rate, p->unit);
    }
    (void)snprintf(left, sizeof left, "%s left",
                   rate > 0 ? format_time(ceil((double)(total - done) / rate), time) : "some time");
    const fit_parts parts = {p->label, part, percent, speed, left, extra};
    fit_line(&parts, terminal_columns(), line);
    (void)fprintf(stderr, "\r\033[K%s", line);
}

void progress_update(progress *p, uint64_t done, uint64_t total, const char *extra)
{
    enum { EVERY_MS = 100, FIRST_AFTER_MS = 200 }; /* what is over at once needs no bar */
    double now = clock_now(), gone = now - p->started;
    if (disabled || !isatty(STDERR_FILENO)) return;
    if (1000 * (now - p->shown) < (p->visible ? EVERY_MS : FIRST_AFTER_MS) || done == 0 || total == 0) return;
    draw(p, done, total, done > p->before ? (double)(done - p->before) / (gone > 0 ? gone : 1e-9) : 0, extra);
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
