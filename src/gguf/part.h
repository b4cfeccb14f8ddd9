/* One GGUF file, parsed and checked. gguf.c puts one or several of them together. */
#ifndef KVASIR_GGUF_PART_H
#define KVASIR_GGUF_PART_H

#include "base/mem.h"
#include "gguf/gguf.h"

typedef struct gguf_part {
    file *f;      /* owned */
    arena memory; /* everything below, names and values included */
    uint32_t version;
    int n_kv, n_tensors;
    gguf_kv *kv;         /* in the file's order */
    const gguf_kv **key; /* the same, sorted by key: for lookup, and duplicates are neighbours */
    gguf_tensor *tensor; /* in the file's order; names are not yet known to be distinct */
    uint32_t alignment;
    uint64_t data_start; /* file offset that tensor offsets count from */
} gguf_part;

/* Reads and checks the header of `f`. On failure, too, the part owns `f` and must be freed with part_free. */
kvasir_status part_read(gguf_part *p, file *f, bool header_only);
void part_free(gguf_part *p);

/* The value of a key; NULL when absent. */
const gguf_kv *part_find(const gguf_part *p, const char *key);

/* The part of part_read that reads tensors: their infos at the reader's place, data_start, and where
   their data lies. */
struct reader;
kvasir_status part_read_tensors(gguf_part *p, struct reader *r, uint64_t count, bool header_only);

/* A key or a tensor's name: 1 to GGUF_MAX_KEY_BYTES bytes without a NUL. `what` and `index` are for the message. */
kvasir_status part_read_name(gguf_part *p, struct reader *r, const char *what, uint64_t index, gguf_string *out);

/* Order of names: bytewise, a prefix first. */
int gguf_string_compare(const gguf_string *a, const gguf_string *b);

/* The magnitude and sign of an integer value of any integer type, for get.c and the alignment. False when the value is
   not an integer. */
bool gguf_kv_integer(const gguf_kv *kv, bool *negative, uint64_t *magnitude);

/* The typed access of gguf.h for one value. `path` and `key` are for messages; a NULL kv means that the
   key is absent. */
kvasir_status kv_get_u32(const char *path, const char *key, const gguf_kv *kv, bool required, uint32_t min,
                         uint32_t max, uint32_t *out);

#endif
