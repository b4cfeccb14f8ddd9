/* Quantities as text, for people: the one form that tables, summaries and sentences have in common. What programs read has plain
   numbers instead. */
#ifndef KVASIR_BASE_FORMAT_H
#define KVASIR_BASE_FORMAT_H

#include <stdint.h>

/* The room that each text needs, a range included. All of these write to `to` and return it. */
enum { FORMAT_BYTES = 96 };

/* "17 B", "312 KiB", "1.50 GiB": three significant digits, of what has a larger unit four up to 1023. */
const char *format_size(uint64_t bytes, char to[FORMAT_BYTES]);
/* The same, never less than `bytes`: for what has to be enough. */
const char *format_size_up(uint64_t bytes, char to[FORMAT_BYTES]);
/* "71.7 GB/s" of 71.7e9 and "B/s": powers of 1000; "unknown" of what is not finite. */
const char *format_rate(double value, const char *unit, char to[FORMAT_BYTES]);
/* "1,234,567" */
const char *format_count(uint64_t n, char to[FORMAT_BYTES]);
/* "2.0 us", "4.6 ms", "0.8 s", "12 s", "3 min 5 s", "1 h 48 min", "2 d 3 h"; "unknown" of what is not finite. Whole seconds
   have no tenths. */
const char *format_time(double seconds, char to[FORMAT_BYTES]);
/* "272 [218, 340]": a value, and from where to where it may lie. A text that is too long for the room is cut. */
const char *format_range(const char *value, const char *low, const char *high, char to[FORMAT_BYTES]);

#endif
