/* Where the loops ask for memory ahead of time: in all caches, or in the second one.

   A first-level cache waits for a limited number of lines. On Zen 4 it is 24: where memory takes 160 ns to answer (two cores of
   an EPYC 9004), prefetches into it bring 10 GB/s a core, of 36 that it can read; those into the second cache have no such
   limit, and from there the loops fetch quickly enough. On Zen 5 prefetches into the first one reach the speed of memory.
   So the files of AVX-512 are compiled twice (x86/meson.build), and cpu_fetches_to_second() chooses. */
#ifndef KVASIR_KERNELS_FETCH_H
#define KVASIR_KERNELS_FETCH_H

#ifdef KERNELS_ZEN4
#define FETCH(p) __builtin_prefetch((p), 0, 2)
#else
#define FETCH(p) __builtin_prefetch(p)
#endif

#endif
