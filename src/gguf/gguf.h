/* GGUF v2 and v3 files, little-endian, single or split (-00001-of-0000N). Read-only; every byte of the file
   is untrusted. Format: the ggml project's docs/gguf.md. */
#ifndef KVASIR_GGUF_GGUF_H
#define KVASIR_GGUF_GGUF_H

#include "base/file.h"
#include "quant/quant.h"
#include <stdbool.h>

/* Named limits. A file beyond one of them is refused with KVASIR_E_FORMAT saying which. */
enum {
    GGUF_MAX_KV = 1 << 16,           /* metadata keys */
    GGUF_MAX_TENSORS = 1 << 18,      /* tensors, all split files together */
    GGUF_MAX_KEY_BYTES = 1 << 16,    /* one key or tensor name */
    GGUF_MAX_STRING_BYTES = 1 << 26, /* one string value */
    GGUF_MAX_ARRAY = 1 << 26,        /* elements of one array (nested arrays are refused) */
    GGUF_MAX_DIMS = 4,
    GGUF_MAX_SPLITS = 1 << 10
};

typedef enum gguf_value_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_VALUE_TYPES
} gguf_value_type;

typedef struct gguf_string {
    const char *s; /* NUL-terminated too; may hold NULs before n */
    size_t n;
} gguf_string;

typedef struct gguf_kv {
    gguf_string key;
    gguf_value_type type;    /* of the value, or GGUF_ARRAY */
    gguf_value_type element; /* of an array's elements */
    size_t count;            /* of elements; 1 for a scalar */
    const void *data;        /* native scalars packed (bools one byte, 0 or 1), or gguf_string for strings */
} gguf_kv;

typedef struct gguf_tensor {
    gguf_string name;
    quant_type type;
    int n_dims;
    int64_t shape[GGUF_MAX_DIMS]; /* shape[0] is the row length; unused entries are 1 */
    int64_t n_rows;               /* shape[1]*shape[2]*shape[3] */
    const file *file;             /* which split holds it */
    uint64_t offset;              /* of its first byte in that file */
    uint64_t bytes;               /* checked to lie inside the file */
    uint64_t row_bytes;
    int index; /* in gguf_tensor_at's order */
} gguf_tensor;

typedef struct gguf gguf;

/* Opens a file; when it is the first of a split set (split.count > 1), also all the others beside it. Everything is
   checked here: nothing in the result can point outside its file. KVASIR_E_FORMAT names the key, tensor or byte;
   big-endian files are KVASIR_E_UNSUPPORTED; a header-only file (tensor data missing) is refused unless
   `header_only` is set. */
kvasir_status gguf_open(const char *path, bool header_only, gguf **out);
/* The same for an open file, which belongs to the result from then on, and is closed on failure. No split sets. */
kvasir_status gguf_open_file(file *f, bool header_only, gguf **out);
void gguf_free(gguf *g); /* closes the files, too; NULL is fine */

const char *gguf_path(const gguf *g);                      /* of the first file */
uint32_t gguf_version(const gguf *g);                      /* of the format: 2 or 3 */
uint64_t gguf_total_bytes(const gguf *g);                  /* all files */
uint64_t gguf_tensor_bytes(const gguf *g);                 /* of all tensors, without headers and padding */
kvasir_status gguf_unchanged(const gguf *g);               /* file_unchanged of all its files */
int gguf_n_files(const gguf *g);                           /* how many: 1, or the parts of a split set */
int gguf_tensor_file(const gguf *g, const gguf_tensor *t); /* which of the files holds it */

int gguf_n_kv(const gguf *g);                             /* metadata keys of the first file */
const gguf_kv *gguf_kv_at(const gguf *g, int i);          /* in the file's order */
const gguf_kv *gguf_find(const gguf *g, const char *key); /* NULL when absent; binary search */

/* From gguf_watch to gguf_unwatch it is remembered which keys were asked for (gguf_find and the functions below); one thread
   at a time. KVASIR_E_MEMORY. gguf_was_asked: of key number i, false where nothing is remembered. */
kvasir_status gguf_watch(gguf *g);
void gguf_unwatch(gguf *g);
bool gguf_was_asked(const gguf *g, int i);

int gguf_n_tensors(const gguf *g);                                    /* of all files */
const gguf_tensor *gguf_tensor_at(const gguf *g, int i);              /* in the files' order */
const gguf_tensor *gguf_find_tensor(const gguf *g, const char *name); /* NULL when absent; binary search */

/* Typed access. `required` false: an absent key leaves *out as it was. A present key of the wrong type or out
   of the range is always KVASIR_E_FORMAT naming the key. Integers are taken from any integer type, floats
   from f32 or f64; NaN and infinity are refused. */
kvasir_status gguf_get_u32(const gguf *g, const char *key, bool required, uint32_t min, uint32_t max, uint32_t *out);
kvasir_status gguf_get_f32(const gguf *g, const char *key, bool required, float min, float max, float *out);
kvasir_status gguf_get_bool(const gguf *g, const char *key, bool required, bool *out);
kvasir_status gguf_get_string(const gguf *g, const char *key, bool required, gguf_string *out);
/* Are values of this type numbers (booleans too)? Element i of a value or array of numbers; NaN for what is none. */
bool gguf_is_number(gguf_value_type type);
double gguf_number(const gguf_kv *kv, size_t i);
/* An array of `element` type; *out NULL and *n 0 when absent and not required. */
kvasir_status gguf_get_array(const gguf *g, const char *key, bool required, gguf_value_type element, const void **out,
                             size_t *n);

#endif
