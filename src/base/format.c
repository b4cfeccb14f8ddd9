#include "base/format.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stddef.h>

/* Three significant digits of what is less than 1000. The bounds are where rounding brings one digit more. */
static int decimals(double value)
{
    return value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
}

static double rounded_up(double value)
{
    static const double scales[] = {1, 10, 100};
    double scale = scales[decimals(value)];
    return ceil(value * scale) / scale;
}

static const char *size_text(uint64_t bytes, bool up, char to[FORMAT_BYTES])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", NULL};
    if (bytes < 1024) {
        (void)snprintf(to, FORMAT_BYTES, "%d B", (int)bytes);
        return to;
    }
    double value = (double)bytes / 1024;
    int unit = 0;
    for (; (up ? ceil(value) : value) >= 1023.5 && units[unit + 1]; unit++) value /= 1024;
    if (up) value = rounded_up(value);
    (void)snprintf(to, FORMAT_BYTES, "%.*f %s", decimals(value), value, units[unit]);
    return to;
}

const char *format_size(uint64_t bytes, char to[FORMAT_BYTES])
{
    return size_text(bytes, false, to);
}

const char *format_size_up(uint64_t bytes, char to[FORMAT_BYTES])
{
    return size_text(bytes, true, to);
}

const char *format_rate(double value, const char *unit, char to[FORMAT_BYTES])
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E", NULL};
    double size = fabs(value);
    int prefix = 0;
    if (!isfinite(value)) {
        (void)snprintf(to, FORMAT_BYTES, "unknown");
        return to;
    }
    for (; size >= 999.5 && prefixes[prefix + 1]; prefix++) size /= 1000;
    if (size >= 1e6) /* beyond all prefixes */
        (void)snprintf(to, FORMAT_BYTES, "%s%.3g %s%.40s", value < 0 ? "-" : "", size, prefixes[prefix], unit);
    else
        (void)snprintf(to, FORMAT_BYTES, "%s%.*f %s%.40s", value < 0 ? "-" : "", size > 0 ? decimals(size) : 0, size,
                       prefixes[prefix], unit);
    return to;
}

const char *format_count(uint64_t n, char to[FORMAT_BYTES])
{
    char plain[24];
    int length = snprintf(plain, sizeof plain, "%llu", (unsigned long long)n), used = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) to[used++] = ',';
        to[used++] = plain[i];
    }
    to[used] = '\0';
    return to;
}

/* Less than half a second, which is where tenths of seconds begin to say enough. */
static void short_time(double seconds, const char *sign, char to[FORMAT_BYTES])
{
    static const char *const units[] = {"ns", "us", "ms"};
    double value = seconds * 1e9;
    int unit = 0;
    for (; value >= 999.5 && unit < 2; unit++) value /= 1000;
    if (value < 0.05)
        (void)snprintf(to, FORMAT_BYTES, "0 s");
    else
        (void)snprintf(to, FORMAT_BYTES, "%s%.*f %s", sign, value < 9.95 ? 1 : 0, value, units[unit]);
}

/* Of two units, the smaller one only where there is some of it. */
static void long_time(long long n, int ratio, const char *large, const char *small, const char *sign,
                      char to[FORMAT_BYTES])
{
    if (n % ratio)
        (void)snprintf(to, FORMAT_BYTES, "%s%lld %s %lld %s", sign, n / ratio, large, n % ratio, small);
    else
        (void)snprintf(to, FORMAT_BYTES, "%s%lld %s", sign, n / ratio, large);
}

const char *format_time(double seconds, char to[FORMAT_BYTES])
{
    const double most_days = 1e6;
    const char *sign = seconds < 0 ? "-" : "";
    double s = fabs(seconds);
    /* Each unit is rounded before the next larger one is tried: there are no 60 seconds and no 60 minutes. */
    if (!isfinite(seconds))
        (void)snprintf(to, FORMAT_BYTES, "unknown");
    else if (s < 0.4995)
        short_time(s, sign, to);
    else if (s < 59.5)
        (void)snprintf(to, FORMAT_BYTES, "%s%.*f s", sign, s < 9.95 && s != floor(s) ? 1 : 0, s);
    else if (s < 3599.5)
        long_time(llround(s), 60, "min", "s", sign, to);
    else if (s < 86400 - 30)
        long_time(llround(s / 60), 60, "h", "min", sign, to);
    else if (s < 86400 * most_days)
        long_time(llround(s / 3600), 24, "d", "h", sign, to);
    else
        (void)snprintf(to, FORMAT_BYTES, "%smore than %.0f d", sign, most_days);
    return to;
}

const char *format_range(const char *value, const char *low, const char *high, char to[FORMAT_BYTES])
{
    (void)snprintf(to, FORMAT_BYTES, "%s [%s, %s]", value, low, high);
    return to;
}
