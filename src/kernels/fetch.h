/* Where and how far ahead the loops ask for memory: FETCH(address) asks for a line, in all caches or in the second one; of
   pages of attention up to FETCH_PAGE bytes the next one is asked for while a whole one is at work, of larger ones while half
   a page is (attn.h). Too far is as slow as too near: what is fetched must outlast what is read before it.

   A first-level cache waits for a limited number of lines. On Zen 4 it is 24: where memory takes 160 ns to answer (two cores of
   an EPYC 9004), prefetches into it bring 10 GB/s a core, of 36 that it can read; those into the second cache have no such
   limit, and from there the loops fetch quickly enough. On Zen 5 prefetches into the first one reach the speed of memory.
   So the files of AVX-512 are compiled twice (x86/meson.build), and cpu_fetches_to_second() chooses.

   What answers later must be asked for earlier. On Zen 4 a whole page ahead helps one of q8 of 4.4 KB, which takes 462 ns instead
   of 542, and harms one of f16 of 8 KB, which takes 939 instead of 887. On Zen 5 it helped the smallest pages, of q4; those
   between 4096 and 8192 bytes were not measured there. */
#ifndef KVASIR_KERNELS_FETCH_H
#define KVASIR_KERNELS_FETCH_H

#ifdef KERNELS_ZEN4
#define FETCH(p)   __builtin_prefetch((p), 0, 2)
#define FETCH_PAGE 7168
#else
#define FETCH(p)   __builtin_prefetch(p)
#define FETCH_PAGE 4096
#endif

#endif
