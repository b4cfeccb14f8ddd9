/* strftime_now: the time given to the rendering, with English names whatever the locale. */
#include "jinja/builtins/builtins.h"
#include "jinja/run/run.h"

#include <stdio.h>
#include <string.h>

static kvasir_status emit_name(jrun *r, char c, const struct tm *t)
{
    static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    const char *name = c == 'a' || c == 'A' ? days[(unsigned)t->tm_wday % 7] : months[(unsigned)t->tm_mon % 12];
    if (c == 'p' || c == 'P') name = t->tm_hour < 12 ? (c == 'p' ? "AM" : "am") : (c == 'p' ? "PM" : "pm");
    return j_emit(r, name, c == 'A' || c == 'B' ? strlen(name) : c == 'p' || c == 'P' ? 2 : 3);
}

static kvasir_status emit_time(jrun *r, const char *s, size_t n, const struct tm *t);

/* The longer format that a conversion stands for; NULL when it stands for itself. */
static const char *expansion(char c)
{
    switch (c) {
    case 'c':
        return "%a %b %e %H:%M:%S %Y";
    case 'D':
    case 'x':
        return "%m/%d/%y";
    case 'F':
        return "%Y-%m-%d";
    case 'r':
        return "%I:%M:%S %p";
    case 'R':
        return "%H:%M";
    case 'T':
    case 'X':
        return "%H:%M:%S";
    default:
        return NULL;
    }
}

/* Writes the conversion at s; *used becomes its length. Flags (%-d, %_d, %^a) are those of the C library. */
static kvasir_status emit_conversion(jrun *r, const char *s, size_t n, size_t *used, const struct tm *t)
{
    char how[8] = "%", text[64];
    size_t i = 1, k = 1;
    while (i < n && k < 4 && s[i] && strchr("-_0^#", s[i])) how[k++] = s[i++];
    *used = i < n ? i + 1 : n;
    if (i >= n) return j_emit(r, s, n);
    char c = s[i];
    const char *longer = expansion(c);
    if (longer) return emit_time(r, longer, strlen(longer), t);
    if (c == 'a' || c == 'A' || c == 'b' || c == 'B' || c == 'h' || c == 'p' || c == 'P')
        return emit_name(r, c == 'h' ? 'b' : c, t);
    if (c == 'f') return j_emit_text(r, "000000");
    if (c == 'z' || c == 'Z') return KVASIR_OK; /* the time has no zone */
    if (!c || !strchr("CdeGgHIjklmMnsStuUVwWyY%", c)) return j_emit(r, s, *used);
    how[k] = c;
    size_t length = strftime(text, sizeof text, how, t);
    return j_emit(r, text, length);
}

static kvasir_status emit_time(jrun *r, const char *s, size_t n, const struct tm *t)
{
    for (size_t i = 0; i < n;) {
        size_t used = 1;
        if (s[i] == '%')
            TRY(emit_conversion(r, s + i, n - i, &used, t));
        else
            TRY(j_emit(r, s + i, 1));
        i += used;
    }
    return KVASIR_OK;
}

kvasir_status j_strftime(jrun *r, jval self, const jargs *a, jval *out)
{
    const jstr *format;
    size_t mark = j_mark(r);
    if (!r->now) return j_fail(r, "strftime_now: no time was given");
    TRY(j_arg_text(r, a->v[0], &format));
    TRY(emit_time(r, format->s, format->n, r->now));
    return j_cut(r, mark, out);
}
