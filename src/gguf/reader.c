#include "gguf/reader.h"
#include "base/checked.h"
#include "base/mem.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GGUF values are copied as they lie in the file: a big-endian host needs them swapped"
#endif

kvasir_status reader_open(reader *r, const file *f)
{
    uint64_t size = file_size(f);
    size_t room = size < READER_WINDOW ? (size_t)size : READER_WINDOW;
    *r = (reader){.f = f, .window = mem_alloc(room, 1), .room = room, .size = size};
    return r->window ? KVASIR_OK : fail_memory(room);
}

void reader_close(reader *r)
{
    mem_free(r->window);
    *r = (reader){0};
}

void reader_seek(reader *r, uint64_t at)
{
    if (at >= r->start && at - r->start <= r->have) {
        r->used = (size_t)(at - r->start);
    } else {
        r->start = at;
        r->have = r->used = 0;
    }
}

kvasir_status reader_bytes(reader *r, void *to, size_t n)
{
    size_t buffered = min_size(n, r->have - r->used);
    if (buffered) memcpy(to, r->window + r->used, buffered);
    r->used += buffered;
    if (buffered == n) return KVASIR_OK;

    /* The window is empty now. What is longer than half of it is read straight to its place. */
    size_t rest = n - buffered;
    char *end = (char *)to + buffered;
    r->start += r->used;
    r->have = r->used = 0;
    if (rest > READER_WINDOW / 2) {
        TRY(file_read(r->f, r->start, end, rest));
        r->start += rest;
        return KVASIR_OK;
    }
    uint64_t left = reader_left(r);
    size_t fill = left < r->room ? (size_t)left : r->room;
    if (fill < rest) return file_read(r->f, r->start, end, rest); /* the error says where the file ends */
    TRY(file_read(r->f, r->start, r->window, fill));
    memcpy(end, r->window, rest);
    r->have = fill;
    r->used = rest;
    return KVASIR_OK;
}
