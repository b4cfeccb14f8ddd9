/* Memory: allocation that can be forbidden (no allocation while decoding), an arena for things that live
   together, and large page-backed regions. */
#ifndef KVASIR_BASE_MEM_H
#define KVASIR_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* calloc/realloc/free with one addition: while mem_forbid(true) is in force on this thread they count the
   attempt, and mem_alloc and mem_grow return NULL. All of the library allocates through these. Zeroed memory.
 */
void *mem_alloc(size_t count, size_t size);
void *mem_grow(void *p, size_t old_count, size_t new_count, size_t size); /* the added part is zeroed */
void mem_free(void *p);
char *mem_text(const char *s, size_t n); /* a NUL-terminated copy */

/* The decode trap. Nests. mem_forbidden() returns how many allocations were attempted on this thread so far.
 */
void mem_forbid(bool on);
unsigned mem_forbidden(void);

/* A bump allocator; everything in it is freed at once. Zeroed memory, 16-byte aligned by default. */
typedef struct arena_chunk arena_chunk;
typedef struct arena {
    arena_chunk *head;
    size_t used; /* bytes handed out, for reports */
} arena;
void *arena_alloc(arena *a, size_t count, size_t size); /* NULL when out of memory or count*size overflows */
char *arena_text(arena *a, const char *s, size_t n);
void arena_free(arena *a);

/* Anonymous memory straight from the kernel, zero, page aligned; touched only as it is written. With `huge`
   the kernel is asked for 2 MiB pages. region_release gives the physical pages back and keeps the addresses.
 */
void *region_reserve(size_t bytes, bool huge);
void region_release(void *p, size_t bytes);
void region_free(void *p, size_t bytes);

/* Resident and peak resident bytes of this process, from /proc; 0 where unknown. */
size_t mem_resident(void);
size_t mem_peak_resident(void);

#endif
