#include "base/checked.h"
#include "gguf/part.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gguf {
    arena memory; /* the arrays below */
    gguf_part *part;
    int n_parts;
    int n_tensors;
    const gguf_tensor **tensor; /* in the files' order */
    const gguf_tensor **named;  /* sorted by name */
    uint64_t total_bytes, tensor_bytes;
    bool *asked; /* by key, while watching; else NULL */
};

static int compare_names(const void *a, const void *b)
{
    return gguf_string_compare(&(*(const gguf_tensor *const *)a)->name, &(*(const gguf_tensor *const *)b)->name);
}

/* Lists the tensors of all parts in the files' order, and sorted by name. A name may occur only once in
   all parts together. */
static kvasir_status index_tensors(gguf *g)
{
    size_t total = 0, n = 0;
    for (int i = 0; i < g->n_parts; i++) total += (size_t)g->part[i].n_tensors;
    if (total > GGUF_MAX_TENSORS)
        return fail(KVASIR_E_FORMAT, "%s: %zu tensors in all parts, more than the limit of %d", gguf_path(g), total,
                    GGUF_MAX_TENSORS);
    g->tensor = arena_alloc(&g->memory, total, sizeof *g->tensor);
    g->named = arena_alloc(&g->memory, total, sizeof *g->named);
    if (!g->tensor || !g->named) return fail_memory(2 * total * sizeof *g->tensor);
    for (int i = 0; i < g->n_parts; i++) {
        gguf_part *p = &g->part[i];
        g->total_bytes += file_size(p->f);
        for (int k = 0; k < p->n_tensors; k++) {
            p->tensor[k].index = (int)n;
            g->tensor[n++] = &p->tensor[k];
            /* Only false sizes that header_only let pass can overflow. */
            if (!ck_add(g->tensor_bytes, p->tensor[k].bytes, &g->tensor_bytes))
                return fail(KVASIR_E_FORMAT, "%s: the sizes of all tensors together overflow", gguf_path(g));
        }
    }
    g->n_tensors = (int)total;
    if (total) memcpy(g->named, g->tensor, total * sizeof *g->tensor);
    qsort(g->named, total, sizeof *g->named, compare_names);
    for (size_t i = 1; i < total; i++) {
        const gguf_tensor *a = g->named[i - 1], *b = g->named[i];
        if (compare_names(&a, &b) == 0)
            return fail(KVASIR_E_FORMAT, "%s: tensor %s is there twice%s%s", file_name(a->file),
                        quoted(a->name.s, a->name.n), a->file == b->file ? "" : ", also in ",
                        a->file == b->file ? "" : file_name(b->file));
    }
    return KVASIR_OK;
}

static kvasir_status get_split(const gguf_part *p, const char *key, bool required, uint32_t max, uint32_t *out)
{
    return kv_get_u32(file_name(p->f), key, part_find(p, key), required, 0, max, out);
}

/* How many files the model of part `p` has (0 and 1 both mean one), and which of them this one is. */
static kvasir_status read_split(const gguf_part *p, uint32_t *count, uint32_t *no)
{
    *count = *no = 0;
    TRY(get_split(p, "split.count", false, GGUF_MAX_SPLITS, count));
    if (*count < 2) {
        *count = 1;
        return KVASIR_OK;
    }
    return get_split(p, "split.no", true, *count - 1, no);
}

enum { SUFFIX_BYTES = sizeof "-00001-of-00005.gguf" - 1 };

/* "-00002-of-00005.gguf" for part 1 of 5; GGUF_MAX_SPLITS keeps the numbers within their digits. */
static void split_suffix(char to[48], uint32_t no, uint32_t count)
{
    (void)snprintf(to, 48, "-%05" PRIu32 "-of-%05" PRIu32 ".gguf", no + 1, count);
}

/* The path of part `no`, given that `path` is named as part `own` of `count`; NULL when it is not. Allocated in `a`. */
static const char *sibling_path(arena *a, const char *path, uint32_t own, uint32_t count, uint32_t no)
{
    char suffix[48];
    size_t length = strlen(path);
    split_suffix(suffix, own, count);
    if (length < SUFFIX_BYTES || strcmp(path + length - SUFFIX_BYTES, suffix) != 0) return NULL;
    char *sibling = arena_text(a, path, length);
    split_suffix(suffix, no, count);
    if (sibling) memcpy(sibling + length - SUFFIX_BYTES, suffix, SUFFIX_BYTES);
    return sibling;
}

/* Opens part `no` of `count` beside the first and checks that it is what its name says. */
static kvasir_status open_sibling(gguf *g, uint32_t no, uint32_t count, bool header_only)
{
    const char *path = sibling_path(&g->memory, gguf_path(g), 0, count, no);
    gguf_part *p = &g->part[no];
    uint32_t its_count, its_no;
    file *f;
    if (!path)
        return fail(KVASIR_E_FORMAT, "%s: split.count is %u, but the name does not end in -00001-of-%05u.gguf",
                    gguf_path(g), count, count);
    TRY(file_open(path, &f));
    g->n_parts++;
    TRY(part_read(p, f, header_only));
    TRY(read_split(p, &its_count, &its_no));
    if (its_count != count || its_no != no)
        return fail(KVASIR_E_FORMAT, "%s: says that it is part %u of %u, not part %u of %u", path, its_no + 1,
                    its_count, no + 1, count);
    return KVASIR_OK;
}

/* Each part may say how many tensors all parts have together; those that do must be right. */
static kvasir_status check_tensor_count(const gguf *g)
{
    uint32_t total = 0;
    for (int i = 0; i < g->n_parts; i++) total += (uint32_t)g->part[i].n_tensors;
    for (int i = 0; i < g->n_parts; i++) {
        uint32_t claimed = total;
        TRY(get_split(&g->part[i], "split.tensors.count", false, UINT32_MAX, &claimed));
        if (claimed != total)
            return fail(KVASIR_E_FORMAT, "%s: split.tensors.count is %u, but the %d parts have %u tensors",
                        file_name(g->part[i].f), claimed, g->n_parts, total);
    }
    return KVASIR_OK;
}

/* Opens the parts beside the first, if there are any. `alone`: no file may be used but the one that is open. */
static kvasir_status open_siblings(gguf *g, bool header_only, bool alone)
{
    uint32_t count, no;
    TRY(read_split(&g->part[0], &count, &no));
    if (count == 1) return KVASIR_OK;
    if (no != 0) {
        const char *first = sibling_path(&g->memory, gguf_path(g), no, count, 0);
        return fail(KVASIR_E_FORMAT, "%s: is part %u of %u of a split model: open the first, %s", gguf_path(g), no + 1,
                    count, first ? first : "whose name ends in -00001-of-0000N.gguf");
    }
    if (alone)
        return fail(KVASIR_E_UNSUPPORTED, "%s: is part 1 of %u of a split model, which can only be opened by its path",
                    gguf_path(g), count);
    gguf_part *parts = mem_grow(g->part, 1, count, sizeof *parts);
    if (!parts) return fail_memory(count * sizeof *parts);
    g->part = parts;
    for (uint32_t i = 1; i < count; i++) TRY(open_sibling(g, i, count, header_only));
    return check_tensor_count(g);
}

static kvasir_status open_parts(gguf *g, file *f, bool header_only, bool alone)
{
    g->n_parts = 1;
    TRY(part_read(&g->part[0], f, header_only));
    TRY(open_siblings(g, header_only, alone));
    return index_tensors(g);
}

static kvasir_status open_with(file *f, bool header_only, bool alone, gguf **out)
{
    gguf *g = mem_alloc(1, sizeof *g);
    if (g) g->part = mem_alloc(1, sizeof *g->part);
    if (!g || !g->part) {
        mem_free(g);
        file_close(f);
        return fail_memory(sizeof *g + sizeof *g->part);
    }
    kvasir_status status = open_parts(g, f, header_only, alone);
    if (status != KVASIR_OK) {
        gguf_free(g);
        return status;
    }
    *out = g;
    return KVASIR_OK;
}

kvasir_status gguf_open(const char *path, bool header_only, gguf **out)
{
    file *f;
    *out = NULL;
    TRY(file_open(path, &f));
    return open_with(f, header_only, false, out);
}

kvasir_status gguf_open_file(file *f, bool header_only, gguf **out)
{
    *out = NULL;
    return open_with(f, header_only, true, out);
}

void gguf_free(gguf *g)
{
    if (!g) return;
    for (int i = 0; i < g->n_parts; i++) part_free(&g->part[i]);
    arena_free(&g->memory);
    mem_free(g->part);
    mem_free(g);
}

const char *gguf_path(const gguf *g)
{
    return file_name(g->part[0].f);
}

uint32_t gguf_version(const gguf *g)
{
    return g->part[0].version;
}

uint64_t gguf_total_bytes(const gguf *g)
{
    return g->total_bytes;
}

uint64_t gguf_tensor_bytes(const gguf *g)
{
    return g->tensor_bytes;
}

kvasir_status gguf_unchanged(const gguf *g)
{
    for (int i = 0; i < g->n_parts; i++) TRY(file_unchanged(g->part[i].f));
    return KVASIR_OK;
}

int gguf_n_files(const gguf *g)
{
    return g->n_parts;
}

int gguf_n_kv(const gguf *g)
{
    return g->part[0].n_kv;
}

const gguf_kv *gguf_kv_at(const gguf *g, int i)
{
    return &g->part[0].kv[i];
}

const gguf_kv *gguf_find(const gguf *g, const char *key)
{
    const gguf_kv *kv = part_find(&g->part[0], key);
    if (kv && g->asked) g->asked[kv - g->part[0].kv] = true;
    return kv;
}

kvasir_status gguf_watch(gguf *g)
{
    const size_t n = (size_t)g->part[0].n_kv;
    g->asked = arena_alloc(&g->memory, n, sizeof *g->asked);
    return g->asked ? KVASIR_OK : fail_memory(n);
}

void gguf_unwatch(gguf *g)
{
    g->asked = NULL; /* its memory goes with the rest */
}

bool gguf_was_asked(const gguf *g, int i)
{
    return g->asked && g->asked[i];
}

int gguf_n_tensors(const gguf *g)
{
    return g->n_tensors;
}

const gguf_tensor *gguf_tensor_at(const gguf *g, int i)
{
    return g->tensor[i];
}

const gguf_tensor *gguf_find_tensor(const gguf *g, const char *name)
{
    gguf_tensor wanted = {.name = {.s = name, .n = strlen(name)}};
    const gguf_tensor *pointer = &wanted;
    if (g->n_tensors == 0) return NULL;
    const gguf_tensor **found = bsearch(&pointer, g->named, (size_t)g->n_tensors, sizeof *g->named, compare_names);
    return found ? *found : NULL;
}

int gguf_tensor_file(const gguf *g, const gguf_tensor *t)
{
    int i = 0;
    while (i + 1 < g->n_parts && g->part[i].f != t->file) i++;
    return i;
}
