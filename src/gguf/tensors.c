#include "base/checked.h"
#include "gguf/part.h"
#include "gguf/reader.h"

#include <stdlib.h>
#include <string.h>

enum { MIN_TENSOR_BYTES = 33 }; /* name length, one byte of name, dimension count, one dimension, type, offset */

/* Name, shape, type and offset as the file has them; the offset counts from data_start, which is not known yet. */
static kvasir_status read_info(gguf_part *p, reader *r, int index)
{
    gguf_tensor *t = &p->tensor[index];
    const char *name = file_name(p->f);
    uint32_t n_dims, type;
    *t = (gguf_tensor){.file = p->f, .shape = {1, 1, 1, 1}};
    TRY(part_read_name(p, r, "tensor", (uint64_t)index, &t->name));
    TRY(reader_u32(r, &n_dims));
    if (n_dims < 1 || n_dims > GGUF_MAX_DIMS)
        return fail(KVASIR_E_FORMAT, "%s: tensor %s has %u dimensions, not 1 to %d", name, quoted(t->name.s, t->name.n),
                    n_dims, GGUF_MAX_DIMS);
    t->n_dims = (int)n_dims;
    for (uint32_t i = 0; i < n_dims; i++) {
        uint64_t n;
        TRY(reader_u64(r, &n));
        if (n == 0 || n > INT64_MAX)
            return fail(KVASIR_E_FORMAT, "%s: tensor %s: dimension %u is %lld, which is not a size", name,
                        quoted(t->name.s, t->name.n), i, (long long)n);
        t->shape[i] = (int64_t)n;
    }
    TRY(reader_u32(r, &type));
    if (!quant_traits_of(type))
        return fail(KVASIR_E_UNSUPPORTED, "%s: tensor %s has type %u, which is not supported", name,
                    quoted(t->name.s, t->name.n), type);
    t->type = (quant_type)type;
    return reader_u64(r, &t->offset);
}

/* Row bytes and total bytes. Elements and bytes both stay below 2^63, so that nobody who uses the result needs to check
   such a product again. */
static kvasir_status measure(const gguf_part *p, gguf_tensor *t)
{
    const quant_traits *q = quant_traits_of((uint32_t)t->type);
    uint64_t rows = 1, elements = (uint64_t)t->shape[0];
    bool fits = true;
    if (t->shape[0] % q->block_elements != 0)
        return fail(KVASIR_E_FORMAT, "%s: tensor %s: rows of %lld elements are not whole blocks of %s (%d elements)",
                    file_name(p->f), quoted(t->name.s, t->name.n), (long long)t->shape[0], q->name, q->block_elements);
    for (int i = 1; i < t->n_dims; i++) {
        fits = fits && ck_mul(rows, (uint64_t)t->shape[i], &rows);
        fits = fits && ck_mul(elements, (uint64_t)t->shape[i], &elements);
    }
    uint64_t blocks = (uint64_t)(t->shape[0] / q->block_elements);
    fits = fits && ck_mul(blocks, (uint64_t)q->block_bytes, &t->row_bytes) && ck_mul(t->row_bytes, rows, &t->bytes);
    if (!fits || elements > INT64_MAX || t->bytes > INT64_MAX)
        return fail(KVASIR_E_FORMAT, "%s: tensor %s: the size of %lld x %lld x %lld x %lld overflows", file_name(p->f),
                    quoted(t->name.s, t->name.n), (long long)t->shape[0], (long long)t->shape[1],
                    (long long)t->shape[2], (long long)t->shape[3]);
    t->n_rows = (int64_t)rows;
    return KVASIR_OK;
}

/* Makes the offset count from the start of the file, and checks the tensor's end against the end of the file. */
static kvasir_status place(const gguf_part *p, gguf_tensor *t, bool header_only)
{
    uint64_t end;
    if (t->offset % p->alignment != 0)
        return fail(KVASIR_E_FORMAT, "%s: tensor %s: offset %llu is not a multiple of the alignment %u",
                    file_name(p->f), quoted(t->name.s, t->name.n), (unsigned long long)t->offset, p->alignment);
    if (!ck_add(t->offset, p->data_start, &t->offset) || !ck_add(t->offset, t->bytes, &end) || end > INT64_MAX)
        return fail(KVASIR_E_FORMAT, "%s: tensor %s: offset and size overflow", file_name(p->f),
                    quoted(t->name.s, t->name.n));
    if (!header_only && end > file_size(p->f))
        return fail(KVASIR_E_FORMAT, "%s: tensor %s takes the bytes up to %llu, but the file ends at byte %llu",
                    file_name(p->f), quoted(t->name.s, t->name.n), (unsigned long long)end,
                    (unsigned long long)file_size(p->f));
    return KVASIR_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    const gguf_tensor *x = *(const gguf_tensor *const *)a, *y = *(const gguf_tensor *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* No two tensors may share a byte. Most files have them in order; where not, they are sorted first. */
static kvasir_status check_overlap(const gguf_part *p)
{
    size_t n = (size_t)p->n_tensors;
    const gguf_tensor **by_offset = mem_alloc(n, sizeof(*by_offset));
    kvasir_status status = KVASIR_OK;
    if (!by_offset) return fail_memory(n * sizeof(*by_offset));
    for (size_t i = 0; i < n; i++) by_offset[i] = &p->tensor[i];
    qsort(by_offset, n, sizeof(*by_offset), compare_offsets);
    for (size_t i = 1; i < n && status == KVASIR_OK; i++) {
        const gguf_tensor *a = by_offset[i - 1], *b = by_offset[i];
        if (a->offset + a->bytes > b->offset)
            status = fail(KVASIR_E_FORMAT, "%s: tensors %s and %s overlap at byte %llu", file_name(p->f),
                          quoted(a->name.s, a->name.n), quoted(b->name.s, b->name.n), (unsigned long long)b->offset);
    }
    mem_free(by_offset);
    return status;
}

kvasir_status part_read_tensors(gguf_part *p, struct reader *r, uint64_t count, bool header_only)
{
    if (count > GGUF_MAX_TENSORS)
        return fail(KVASIR_E_FORMAT, "%s: claims %llu tensors, more than the limit of %d", file_name(p->f),
                    (unsigned long long)count, GGUF_MAX_TENSORS);
    if (count * MIN_TENSOR_BYTES > reader_left(r))
        return fail(KVASIR_E_FORMAT, "%s: claims %llu tensors, but ends at byte %llu", file_name(p->f),
                    (unsigned long long)count, (unsigned long long)file_size(p->f));
    p->tensor = arena_alloc(&p->memory, (size_t)count, sizeof *p->tensor);
    if (!p->tensor) return fail_memory((size_t)count * sizeof *p->tensor);
    for (p->n_tensors = 0; p->n_tensors < (int)count; p->n_tensors++) {
        TRY(read_info(p, r, p->n_tensors));
        TRY(measure(p, &p->tensor[p->n_tensors]));
    }
    if (!ck_align(reader_at(r), p->alignment, &p->data_start))
        return fail(KVASIR_E_FORMAT, "%s: the start of the tensor data overflows", file_name(p->f));
    for (int i = 0; i < p->n_tensors; i++) TRY(place(p, &p->tensor[i], header_only));
    return check_overlap(p);
}
