#include "cli/machine/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct unit {
    const char *name;
    double factor;
} unit;

static const unit sizes[] = {
    {"B", 1},        {"kB", 1e3},     {"KB", 1e3},     {"MB", 1e6},  {"GB", 1e9},     {"TB", 1e12}, {"KiB", 0x1p10},
    {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}, {"PB", 1e15}, {"PiB", 0x1p50}, {0}};
static const unit rates[] = {{"B/s", 1},
                             {"kB/s", 1e3},
                             {"KB/s", 1e3},
                             {"MB/s", 1e6},
                             {"GB/s", 1e9},
                             {"TB/s", 1e12},
                             {"KiB/s", 0x1p10},
                             {"MiB/s", 0x1p20},
                             {"GiB/s", 0x1p30},
                             {"TiB/s", 0x1p40},
                             {"PB/s", 1e15},
                             {"PiB/s", 0x1p50},
                             {0}};
static const unit ops[] = {{"op/s", 1},     {"Mop/s", 1e6},   {"Gop/s", 1e9},   {"Top/s", 1e12},
                           {"Pop/s", 1e15}, {"MOPS", 1e6},    {"GOPS", 1e9},    {"TOPS", 1e12},
                           {"FLOP/s", 1},   {"MFLOP/s", 1e6}, {"GFLOP/s", 1e9}, {"TFLOP/s", 1e12},
                           {"MFLOPS", 1e6}, {"GFLOPS", 1e9},  {"TFLOPS", 1e12}, {0}};
static const unit times[] = {{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"\xc2\xb5s", 1e-6}, {"ns", 1e-9}, {0}};

static const struct {
    const unit *units;
    const char *name, *example;
} quantities[QUANTITIES] = {
    [QUANTITY_SIZE] = {sizes, "a size", "24 GiB"},
    [QUANTITY_RATE] = {rates, "a rate", "60 GB/s"},
    [QUANTITY_OPS] = {ops, "a number of operations per second", "1.2 TOPS"},
    [QUANTITY_SECONDS] = {times, "a time", "2 us"},
};

int quantity_parse(quantity q, const char *text, double *out)
{
    /* Only what strtod and JSON both call a number: no "inf", "nan", "0x10". */
    const char *start = text + strspn(text, " ");
    size_t length = strspn(start, "0123456789.eE+-");
    char digits[64], *end = NULL;
    if (length == 0 || length >= sizeof digits) return UNIT_NO_NUMBER;
    memcpy(digits, start, length);
    digits[length] = 0;
    double value = strtod(digits, &end);
    if (end == digits || *end) return UNIT_NO_NUMBER;
    const char *name = start + length;
    name += strspn(name, " ");
    length = strlen(name);
    while (length > 0 && name[length - 1] == ' ') length--;
    if (length == 0) return UNIT_MISSING;
    for (const unit *u = quantities[q].units; u->name; u++)
        if (strlen(u->name) == length && memcmp(u->name, name, length) == 0) {
            *out = value * u->factor;
            return UNIT_OK;
        }
    return UNIT_UNKNOWN;
}

const char *quantity_name(quantity q)
{
    return quantities[q].name;
}

const char *quantity_example(quantity q)
{
    return quantities[q].example;
}

void quantity_units(quantity q, char *to, size_t n)
{
    size_t used = 0;
    to[0] = 0;
    for (const unit *u = quantities[q].units; u->name && used < n; u++)
        used += (size_t)snprintf(to + used, n - used, "%s%s", used ? ", " : "", u->name);
}

const char *quantity_text(quantity q, double value, char to[FORMAT_BYTES])
{
    switch (q) {
    case QUANTITY_SIZE:
        return format_size((uint64_t)fmin(fmax(value, 0), 0x1p63), to);
    case QUANTITY_RATE:
        return format_rate(value, "B/s", to);
    case QUANTITY_OPS:
        return format_rate(value, "op/s", to);
    case QUANTITY_SECONDS:
    case QUANTITIES:
        break;
    }
    return format_time(value, to);
}
