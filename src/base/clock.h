#ifndef KVASIR_BASE_CLOCK_H
#define KVASIR_BASE_CLOCK_H
/* Seconds on a clock that never goes back. */
double clock_now(void);
#endif
