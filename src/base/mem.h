/* Memory: allocation that can be forbidden (no allocation while decoding), an arena for things that live
   together, and large page-backed regions. */
#ifndef KVASIR_BASE_MEM_H
#define KVASIR_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* calloc, realloc and free with one addition: while mem_forbid(true) is in force on this thread, mem_alloc and mem_grow
   count the attempt and return NULL. All of the library allocates through them. The memory is zeroed. */
void *mem_alloc(size_t count, size_t size);
void *mem_grow(void *p, size_t old_count, size_t new_count, size_t size); /* the added part is zeroed */
void mem_free(void *p);
char *mem_text(const char *s, size_t n); /* a NUL-terminated copy */

/* mem_forbid(true) forbids allocation on this thread, to catch allocations while decoding; false ends it, and calls
   nest. mem_forbidden() returns how many forbidden allocations this thread has attempted so far. */
void mem_forbid(bool on);
unsigned mem_forbidden(void);

/* A bump allocator; everything in it is freed at once. Zeroed memory, 16-byte aligned by default. */
typedef struct arena_chunk arena_chunk;
typedef struct arena {
    arena_chunk *head;
    size_t used; /* bytes handed out, for reports */
} arena;
void *arena_alloc(arena *a, size_t count, size_t size); /* NULL when out of memory or count*size overflows */
char *arena_text(arena *a, const char *s, size_t n);    /* a NUL-terminated copy; NULL when out of memory */
void arena_free(arena *a);                              /* frees everything that was allocated from it */

/* Anonymous memory straight from the kernel, zeroed and page aligned; pages take up memory only once they are written.
   With `huge` the kernel is asked for 2 MiB pages. region_release gives the memory back and keeps the addresses;
   region_free gives back both. */
void *region_reserve(size_t bytes, bool huge);
void region_release(void *p, size_t bytes);
void region_free(void *p, size_t bytes);

/* Resident and peak resident bytes of this process, from /proc; 0 where unknown. */
size_t mem_resident(void);
size_t mem_peak_resident(void);

#endif
