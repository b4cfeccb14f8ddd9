#include "gguf/part.h"
#include "base/checked.h"
#include "base/file_kind.h"
#include "gguf/reader.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAGIC_BYTES = 4,
    DEFAULT_ALIGNMENT = 32,
    MIN_ALIGNMENT = 8, /* the format: a multiple of 8 */
    MIN_KV_BYTES = 14, /* key length, one byte of key, type, one byte of value */
    STRING_HEADER = 8  /* the length before every string */
};

/* Bytes of one value in the file; 0 for what has no fixed size. */
static const unsigned char value_bytes[GGUF_VALUE_TYPES] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
    [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

int gguf_string_compare(const gguf_string *a, const gguf_string *b)
{
    int order = memcmp(a->s, b->s, min_size(a->n, b->n));
    return order ? order : (a->n > b->n) - (a->n < b->n);
}

static kvasir_status check_length(const reader *r, uint64_t n, uint64_t limit, const char *what)
{
    if (n > limit)
        return fail(KVASIR_E_FORMAT, "%s: %s at byte %llu claims %llu bytes, more than the limit of %llu",
                    file_name(r->f), what, (unsigned long long)reader_at(r) - STRING_HEADER, (unsigned long long)n,
                    (unsigned long long)limit);
    if (n > reader_left(r))
        return fail(KVASIR_E_FORMAT, "%s: %s at byte %llu claims %llu bytes, but the file ends at byte %llu",
                    file_name(r->f), what, (unsigned long long)reader_at(r) - STRING_HEADER, (unsigned long long)n,
                    (unsigned long long)file_size(r->f));
    return KVASIR_OK;
}

static kvasir_status read_string(gguf_part *p, reader *r, uint64_t limit, const char *what, gguf_string *out)
{
    uint64_t n;
    TRY(reader_u64(r, &n));
    TRY(check_length(r, n, limit, what));
    char *s = arena_alloc(&p->memory, 1, (size_t)n + 1);
    if (!s) return fail_memory((size_t)n + 1);
    *out = (gguf_string){.s = s, .n = (size_t)n};
    return reader_bytes(r, s, (size_t)n);
}

kvasir_status part_read_name(gguf_part *p, struct reader *r, const char *what, uint64_t index, gguf_string *out)
{
    TRY(read_string(p, r, GGUF_MAX_KEY_BYTES, what, out));
    if (out->n == 0)
        return fail(KVASIR_E_FORMAT, "%s: %s %llu has an empty name", file_name(r->f), what, (unsigned long long)index);
    if (memchr(out->s, 0, out->n))
        return fail(KVASIR_E_FORMAT, "%s: %s %llu has a NUL byte in its name %s", file_name(r->f), what,
                    (unsigned long long)index, quoted(out->s, out->n));
    return KVASIR_OK;
}

/* Walks over the strings of an array and adds up their bytes, with a NUL for each. So the memory for the array is
   allocated in one piece, and is never more than about twice what the strings take in the file. */
static kvasir_status measure_strings(reader *r, size_t count, size_t *text_bytes)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t n;
        TRY(reader_u64(r, &n));
        TRY(check_length(r, n, GGUF_MAX_STRING_BYTES, "a string"));
        reader_seek(r, reader_at(r) + n);
        total += (size_t)n + 1; /* bounded by the file's size */
    }
    *text_bytes = total;
    return KVASIR_OK;
}

static kvasir_status read_strings(gguf_part *p, reader *r, gguf_kv *kv)
{
    uint64_t first = reader_at(r);
    size_t room;
    TRY(measure_strings(r, kv->count, &room));
    reader_seek(r, first);
    gguf_string *strings = arena_alloc(&p->memory, kv->count, sizeof *strings);
    char *text = arena_alloc(&p->memory, 1, room);
    if (!strings || !text) return fail_memory(kv->count * sizeof *strings + room);
    for (size_t i = 0; i < kv->count; i++) {
        uint64_t n;
        TRY(reader_u64(r, &n));
        if (n >= room)
            return fail(KVASIR_E_FORMAT, "%s: changed while it was being read, at byte %llu", file_name(r->f),
                        (unsigned long long)reader_at(r));
        TRY(reader_bytes(r, text, (size_t)n));
        strings[i] = (gguf_string){.s = text, .n = (size_t)n};
        text += n + 1; /* the arena is zeroed: the NUL is there */
        room -= (size_t)n + 1;
    }
    kv->data = strings;
    return KVASIR_OK;
}

/* `count` values of a fixed size, as they lie in the file. */
static kvasir_status read_scalars(gguf_part *p, reader *r, gguf_kv *kv, gguf_value_type type)
{
    size_t bytes = kv->count * value_bytes[type];
    unsigned char *data = arena_alloc(&p->memory, 1, bytes);
    if (!data) return fail_memory(bytes);
    kv->data = data;
    TRY(reader_bytes(r, data, bytes));
    for (size_t i = 0; type == GGUF_BOOL && i < bytes; i++)
        if (data[i] > 1)
            return fail(KVASIR_E_FORMAT, "%s: key %s: the boolean %zu is %d, neither 0 nor 1", file_name(r->f),
                        quoted(kv->key.s, kv->key.n), i, data[i]);
    return KVASIR_OK;
}

static kvasir_status read_array(gguf_part *p, reader *r, gguf_kv *kv)
{
    uint32_t type;
    uint64_t count;
    const char *name = file_name(r->f);
    TRY(reader_u32(r, &type));
    TRY(reader_u64(r, &count));
    if (type == GGUF_ARRAY)
        return fail(KVASIR_E_UNSUPPORTED, "%s: key %s: arrays of arrays are not supported", name,
                    quoted(kv->key.s, kv->key.n));
    if (type >= GGUF_VALUE_TYPES)
        return fail(KVASIR_E_FORMAT, "%s: key %s: element type %u is unknown", name, quoted(kv->key.s, kv->key.n),
                    type);
    if (count > GGUF_MAX_ARRAY)
        return fail(KVASIR_E_FORMAT, "%s: key %s: an array of %llu elements, more than the limit of %d", name,
                    quoted(kv->key.s, kv->key.n), (unsigned long long)count, GGUF_MAX_ARRAY);
    uint64_t least = count * (type == GGUF_STRING ? STRING_HEADER : value_bytes[type]);
    if (least > reader_left(r))
        return fail(KVASIR_E_FORMAT, "%s: key %s: an array of %llu elements, but the file ends at byte %llu", name,
                    quoted(kv->key.s, kv->key.n), (unsigned long long)count, (unsigned long long)file_size(r->f));
    kv->element = (gguf_value_type)type;
    kv->count = (size_t)count;
    return type == GGUF_STRING ? read_strings(p, r, kv) : read_scalars(p, r, kv, kv->element);
}

static kvasir_status read_kv(gguf_part *p, reader *r, int index)
{
    gguf_kv *kv = &p->kv[index];
    uint32_t type;
    TRY(part_read_name(p, r, "key", (uint64_t)index, &kv->key));
    TRY(reader_u32(r, &type));
    if (type >= GGUF_VALUE_TYPES)
        return fail(KVASIR_E_FORMAT, "%s: key %s: value type %u is unknown", file_name(r->f),
                    quoted(kv->key.s, kv->key.n), type);
    kv->type = kv->element = (gguf_value_type)type;
    kv->count = 1;
    if (type == GGUF_ARRAY) return read_array(p, r, kv);
    if (type != GGUF_STRING) return read_scalars(p, r, kv, kv->type);
    gguf_string *value = arena_alloc(&p->memory, 1, sizeof *value);
    if (!value) return fail_memory(sizeof *value);
    kv->data = value;
    return read_string(p, r, GGUF_MAX_STRING_BYTES, "a string value", value);
}

static int compare_keys(const void *a, const void *b)
{
    return gguf_string_compare(&(*(const gguf_kv *const *)a)->key, &(*(const gguf_kv *const *)b)->key);
}

static kvasir_status sort_keys(gguf_part *p)
{
    size_t n = (size_t)p->n_kv;
    p->key = arena_alloc(&p->memory, n, sizeof *p->key);
    if (!p->key) return fail_memory(n * sizeof *p->key);
    for (size_t i = 0; i < n; i++) p->key[i] = &p->kv[i];
    qsort(p->key, n, sizeof *p->key, compare_keys);
    for (size_t i = 1; i < n; i++)
        if (gguf_string_compare(&p->key[i - 1]->key, &p->key[i]->key) == 0)
            return fail(KVASIR_E_FORMAT, "%s: key %s is there twice", file_name(p->f),
                        quoted(p->key[i]->key.s, p->key[i]->key.n));
    return KVASIR_OK;
}

const gguf_kv *part_find(const gguf_part *p, const char *key)
{
    gguf_kv wanted = {.key = {.s = key, .n = strlen(key)}};
    const gguf_kv *pointer = &wanted;
    if (p->n_kv == 0) return NULL;
    const gguf_kv **found = bsearch(&pointer, p->key, (size_t)p->n_kv, sizeof *p->key, compare_keys);
    return found ? *found : NULL;
}

static kvasir_status read_keys(gguf_part *p, reader *r, uint64_t count)
{
    if (count > GGUF_MAX_KV)
        return fail(KVASIR_E_FORMAT, "%s: claims %llu metadata keys, more than the limit of %d", file_name(p->f),
                    (unsigned long long)count, GGUF_MAX_KV);
    if (count * MIN_KV_BYTES > reader_left(r))
        return fail(KVASIR_E_FORMAT, "%s: claims %llu metadata keys, but ends at byte %llu", file_name(p->f),
                    (unsigned long long)count, (unsigned long long)file_size(p->f));
    p->kv = arena_alloc(&p->memory, (size_t)count, sizeof *p->kv);
    if (!p->kv) return fail_memory((size_t)count * sizeof *p->kv);
    for (p->n_kv = 0; p->n_kv < (int)count; p->n_kv++) TRY(read_kv(p, r, p->n_kv));
    return sort_keys(p);
}

static kvasir_status read_alignment(gguf_part *p)
{
    const char *key = "general.alignment";
    p->alignment = DEFAULT_ALIGNMENT;
    TRY(kv_get_u32(file_name(p->f), key, part_find(p, key), false, 0, UINT32_MAX, &p->alignment));
    if (p->alignment < MIN_ALIGNMENT || (p->alignment & (p->alignment - 1)) != 0)
        return fail(KVASIR_E_FORMAT, "%s: key %s is %u, which is not a power of two from 8 on", file_name(p->f), key,
                    p->alignment);
    return KVASIR_OK;
}

/* Is it GGUF at all? If not, the error says what it is, where that can be seen. */
static kvasir_status check_kind(const file *f)
{
    char head[FILE_KIND_BYTES];
    const char *name = file_name(f);
    uint64_t size = file_size(f);
    if (size < MAGIC_BYTES)
        return fail(KVASIR_E_FORMAT, "%s: not a GGUF file: it has %llu bytes", name, (unsigned long long)size);
    const size_t n = size < sizeof head ? (size_t)size : sizeof head;
    TRY(file_read(f, 0, head, n));
    if (file_kind_is_gguf(head, n)) return KVASIR_OK;
    const char *kind = file_kind_of(head, n);
    if (kind) return fail(KVASIR_E_FORMAT, "%s: not a GGUF file: %s", name, kind);
    return fail(KVASIR_E_FORMAT, "%s: not a GGUF file: it starts with \"%s\"", name, quoted(head, MAGIC_BYTES));
}

/* Magic and version. The magic is four letters in either byte order; a version in the upper half of its word shows that
   the file is big-endian. */
static kvasir_status read_version(gguf_part *p, reader *r)
{
    char magic[MAGIC_BYTES];
    const char *name = file_name(p->f);
    TRY(check_kind(p->f));
    TRY(reader_bytes(r, magic, MAGIC_BYTES));
    TRY(reader_u32(r, &p->version));
    if (p->version == 2 || p->version == 3) return KVASIR_OK;
    if (p->version != 0 && (p->version & 0xffff) == 0)
        return fail(KVASIR_E_UNSUPPORTED,
                    "%s: a big-endian GGUF file (version %u); only little-endian ones are supported", name,
                    __builtin_bswap32(p->version));
    return fail(KVASIR_E_UNSUPPORTED, "%s: GGUF version %u is not supported, only 2 and 3 are", name, p->version);
}

static kvasir_status read_header(gguf_part *p, reader *r, bool header_only)
{
    uint64_t n_tensors, n_kv;
    TRY(read_version(p, r));
    TRY(reader_u64(r, &n_tensors));
    TRY(reader_u64(r, &n_kv));
    TRY(read_keys(p, r, n_kv));
    TRY(read_alignment(p));
    return part_read_tensors(p, r, n_tensors, header_only);
}

kvasir_status part_read(gguf_part *p, file *f, bool header_only)
{
    reader r;
    *p = (gguf_part){.f = f};
    TRY(reader_open(&r, f));
    kvasir_status status = read_header(p, &r, header_only);
    reader_close(&r);
    return status;
}

void part_free(gguf_part *p)
{
    arena_free(&p->memory);
    file_close(p->f);
    *p = (gguf_part){0};
}
