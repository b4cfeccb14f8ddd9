/* How far ahead the loops ask for memory, and into which cache. FETCH(address) asks for a line, into all caches or only
   into the second one. In attention, the next page is asked for while a whole page is at work if pages have at most
   FETCH_PAGE bytes, and while half a page is if they are larger (attn.h). Too far ahead is as slow as too near: what is
   fetched must survive in the cache until what comes before it has been read.
   A first-level cache can wait for a limited number of lines at a time, 24 on Zen 4. Where memory takes 160 ns to
   answer (two cores of an EPYC 9004), prefetches into it bring 10 GB/s a core, of the 36 that a core can read.
   Prefetches into the second cache have no such limit, and from there the loops fetch quickly enough. On Zen 5
   prefetches into the first cache reach the speed of memory. So the files of AVX-512 are compiled twice
   (x86/meson.build), and cpu_fetches_to_second() chooses.
   The later memory answers, the earlier it must be asked. On Zen 4 asking a whole page ahead helps pages of q8 of 4.4
   KB, which take 462 ns instead of 542, and harms pages of f16 of 8 KB, which take 939 instead of 887. On Zen 5 it
   helped the smallest pages, those of q4; pages between 4096 and 8192 bytes were not measured there. */
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
