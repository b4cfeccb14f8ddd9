/* GGUF files that lie. Every one is refused with a message, without an allocation that its real size does not
   justify, and (in sanitizer builds) without a step outside of what was allocated. */
#include "test.h"

#include "gguf_builder.h"

#include <sys/resource.h>
#include <unistd.h>

/* Reads everything that an opened file has, so that a sanitizer can object. */
static uint64_t walk(const gguf *g)
{
    static const size_t bytes[GGUF_VALUE_TYPES] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
        [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8};
    uint64_t sum = 0;
    for (int i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        assert_ptr_equal(gguf_find(g, kv->key.s), kv);
        if (kv->element == GGUF_STRING) {
            const gguf_string *s = kv->data;
            for (size_t k = 0; k < kv->count; k++) {
                for (size_t c = 0; c < s[k].n; c++) sum += (unsigned char)s[k].s[c];
                assert_int_equal(s[k].s[s[k].n], 0);
            }
        } else {
            for (size_t k = 0; k < kv->count * bytes[kv->element]; k++) sum += ((const unsigned char *)kv->data)[k];
        }
    }
    for (int i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        assert_ptr_equal(gguf_find_tensor(g, t->name.s), t);
        assert_int_equal((uint64_t)t->n_rows * t->row_bytes, t->bytes);
        sum += t->bytes;
    }
    return sum;
}

/* Opens with only 48 MiB of address space left. If a false size is allocated, the result is KVASIR_E_MEMORY and not
   the expected status. */
static kvasir_status open_tight(const void *bytes, size_t n, bool header_only, gguf **g)
{
    struct rlimit old, tight;
    unsigned long pages = 0;
    file *f;
    FILE *statm = fopen("/proc/self/statm", "r");
    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%lu", &pages), 1);
    (void)fclose(statm);
    assert_ok(file_from_memory(bytes, n, "hostile", &f));
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    tight = old;
    tight.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + (48u << 20);
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    kvasir_status status = gguf_open_file(f, header_only, g);
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    return status;
}

static void refuse_bytes(const void *bytes, size_t n, kvasir_status status, const char *text)
{
    for (int header_only = 0; header_only < 2; header_only++) {
        gguf *g;
        kvasir_status got = open_tight(bytes, n, header_only, &g);
        if (got != status || !strstr(kvasir_message(), text))
            print_error("%s: \"%s\", not %s: \"%s\"\n", kvasir_status_name(got), got ? kvasir_message() : "",
                        kvasir_status_name(status), text);
        assert_int_equal(got, status);
        assert_non_null(strstr(kvasir_message(), text));
        assert_null(g);
    }
}

/* The builder's file is refused, header only or not, with a message that contains `text`. */
static void refuse(gguf_builder *b, kvasir_status status, const char *text)
{
    size_t n;
    unsigned char *bytes = gb_finish(b, &n);
    refuse_bytes(bytes, n, status, text);
    free(bytes);
    *b = gb_new();
}

#define refuse_format(b, text) refuse(b, KVASIR_E_FORMAT, text)

static void test_magic_and_version(void **state)
{
    refuse_bytes("", 0, KVASIR_E_FORMAT, "not a GGUF file");
    refuse_bytes("GGU", 3, KVASIR_E_FORMAT, "not a GGUF file");
    refuse_bytes("tjgg\1\0\0\0", 8, KVASIR_E_FORMAT, "not a GGUF file: it is a model of the time before GGUF (GGJT)");
    refuse_bytes("GGUF\3", 5, KVASIR_E_FORMAT, "ends at byte 5");
    static const struct {
        uint32_t version;
        const char *text;
    } bad[] = {{0, "version 0"},           {1, "version 1"},           {4, "version 4"},
               {0x03000000, "big-endian"}, {0x02000000, "big-endian"}, {UINT32_MAX, "version 4294967295"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gguf_builder b = gb_new();
        b.version = bad[i].version;
        refuse(&b, KVASIR_E_UNSUPPORTED, bad[i].text);
    }
}

static void test_keys(void **state)
{
    gguf_builder b = gb_new();
    gb_u32(&b, "twice", 1);
    gb_u32(&b, "other", 1);
    gb_string(&b, "twice", "x");
    refuse_format(&b, "key twice is there twice");
    gb_u32(&b, "", 1);
    refuse_format(&b, "key 0 has an empty name");
    gb_key_claim(&b, 3, "a\0b", 3, GGUF_U8);
    gb_put(&b.kv, "", 1);
    refuse_format(&b, "NUL");
    char *text = calloc(1, GGUF_MAX_KEY_BYTES + 2);
    memset(text, 'k', GGUF_MAX_KEY_BYTES + 1);
    gb_u32(&b, text, 1);
    refuse_format(&b, "limit of 65536");
    free(text);
    static const uint64_t lengths[] = {4, 1000, 1u << 31, 1ull << 32, INT64_MAX, UINT64_MAX - 7, UINT64_MAX};
    for (size_t i = 1; i < sizeof lengths / sizeof *lengths; i++) {
        gb_key_claim(&b, lengths[i], "abc", 3, GGUF_U8);
        gb_put(&b.kv, "", 1);
        refuse_format(&b, "key at byte 24 claims");
    }
    gb_u32(&b, "control \x1b[31m\xff", 1);
    gb_u32(&b, "control \x1b[31m\xff", 1);
    refuse_format(&b, "control \\x1b[31m\\xff");
}

static void test_values(void **state)
{
    static const uint32_t types[] = {GGUF_VALUE_TYPES, 255, 0x80000000u, UINT32_MAX};
    gguf_builder b = gb_new();
    for (size_t i = 0; i < 4; i++) {
        gb_key(&b, "k", types[i]);
        gb_put64(&b.kv, 0);
        refuse_format(&b, "key k: value type");
        gb_array_claim(&b, "k", types[i], 1, "12345678", 8);
        refuse_format(&b, "key k: element type");
    }
    gb_array_claim(&b, "nest", GGUF_ARRAY, 1, NULL, 12);
    refuse(&b, KVASIR_E_UNSUPPORTED, "key nest: arrays of arrays");
    gb_bool(&b, "flag", 2);
    refuse_format(&b, "key flag: the boolean 0 is 2");
    gb_array_claim(&b, "flags", GGUF_BOOL, 3, "\0\1\377", 3);
    refuse_format(&b, "key flags: the boolean 2 is 255");
    static const uint64_t claims[] = {10,         1u << 20,   1u << 26,           (1u << 26) + 1,
                                      1ull << 32, 1ull << 61, UINT64_MAX / 8 + 2, UINT64_MAX};
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        for (uint32_t type = 0; type < GGUF_VALUE_TYPES; type++) {
            if (type == GGUF_ARRAY) continue;
            gb_array_claim(&b, "list", type, claims[i], NULL, 9);
            refuse_format(&b, "key list: an array of");
        }
        gb_string_claim(&b, "text", claims[i], "abc", 3);
        refuse_format(&b, "claims");
        gb_array_claim(&b, "list", GGUF_STRING, 2, NULL, 0);
        gb_put_text(&b.kv, 0, "", 0);
        gb_put_text(&b.kv, claims[i], "abc", 3);
        refuse_format(&b, "claims");
    }
}

static void test_counts(void **state)
{
    static const uint64_t claims[] = {2,        1000,       GGUF_MAX_KV + 1, GGUF_MAX_TENSORS + 1,
                                      1u << 31, 1ull << 58, UINT64_MAX - 1};
    gguf_builder b = gb_new();
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        gb_u32(&b, "only", 1);
        b.claim_kv = claims[i];
        refuse_format(&b, i == 0 ? "" : "metadata keys");
        gb_tensor(&b, "only", QUANT_F32, 1, (uint64_t[]){1}, NULL);
        b.claim_tensors = claims[i];
        refuse_format(&b, i == 0 ? "" : "tensors");
    }
}

static void test_alignment(void **state)
{
    gguf_builder b = gb_new();
    static const uint32_t bad[] = {0, 1, 2, 4, 12, 24, 33, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gb_u32(&b, "general.alignment", bad[i]);
        refuse_format(&b, "general.alignment");
    }
    gb_string(&b, "general.alignment", "32");
    refuse_format(&b, "general.alignment");
    gb_i32(&b, "general.alignment", -32);
    refuse_format(&b, "general.alignment");
}

/* Refuses a file with one tensor info for which there is no data. */
static void refuse_info(uint32_t n_dims, const uint64_t *dims, size_t written, uint32_t type, uint64_t offset,
                        kvasir_status status, const char *text)
{
    gguf_builder b = gb_new();
    gb_info(&b, "bad", n_dims, dims, written, type, offset);
    gb_put(&b.data, NULL, 4096);
    refuse(&b, status, text);
}

static void test_infos(void **state)
{
    static const uint64_t dims[8] = {32, 1, 1, 1, 1, 1, 1, 1};
    static const uint32_t no_types[] = {4, 5, 9, 15, 31, 36, 63, 64, 1000, 0x80000000u, UINT32_MAX};
    refuse_info(0, dims, 0, QUANT_F32, 0, KVASIR_E_FORMAT, "tensor bad has 0 dimensions");
    refuse_info(5, dims, 5, QUANT_F32, 0, KVASIR_E_FORMAT, "tensor bad has 5 dimensions");
    refuse_info(UINT32_MAX, dims, 8, QUANT_F32, 0, KVASIR_E_FORMAT, "4294967295 dimensions");
    refuse_info(2, (uint64_t[]){32, 0}, 2, QUANT_F32, 0, KVASIR_E_FORMAT, "dimension 1 is 0");
    refuse_info(2, (uint64_t[]){0, 32}, 2, QUANT_F32, 0, KVASIR_E_FORMAT, "dimension 0 is 0");
    refuse_info(1, (uint64_t[]){UINT64_MAX}, 1, QUANT_F32, 0, KVASIR_E_FORMAT, "dimension 0 is -1");
    refuse_info(1, (uint64_t[]){1ull << 63}, 1, QUANT_I8, 0, KVASIR_E_FORMAT, "dimension 0 is -");
    refuse_info(2, (uint64_t[]){33, 32}, 2, QUANT_Q4_0, 0, KVASIR_E_FORMAT, "rows of 33 elements");
    refuse_info(2, (uint64_t[]){128, 2}, 2, QUANT_Q4_K, 0, KVASIR_E_FORMAT, "whole blocks of Q4_K");
    for (size_t i = 0; i < sizeof no_types / sizeof *no_types; i++)
        refuse_info(1, dims, 1, no_types[i], 0, KVASIR_E_UNSUPPORTED, "tensor bad has type");
    refuse_info(1, dims, 1, QUANT_F32, 4, KVASIR_E_FORMAT, "offset 4 is not a multiple");
    refuse_info(1, dims, 1, QUANT_F32, UINT64_MAX - 31, KVASIR_E_FORMAT, "offset and size overflow");
    refuse_info(1, dims, 1, QUANT_F32, INT64_MAX - 31, KVASIR_E_FORMAT, "offset and size overflow");

    gguf_builder b = gb_new();
    gb_tensor(&b, "same", QUANT_F32, 1, (uint64_t[]){8}, NULL);
    gb_tensor(&b, "other", QUANT_F32, 1, (uint64_t[]){8}, NULL);
    gb_tensor(&b, "same", QUANT_F16, 1, (uint64_t[]){8}, NULL);
    refuse_format(&b, "tensor same is there twice");
    gb_tensor(&b, "", QUANT_F32, 1, (uint64_t[]){8}, NULL);
    refuse_format(&b, "tensor 0 has an empty name");
    static const uint64_t offsets[][2] = {{0, 0}, {0, 32}, {64, 32}, {32, 0}};
    for (size_t i = 0; i < 4; i++) {
        gb_info(&b, "one", 1, (uint64_t[]){16}, 1, QUANT_F32, offsets[i][0]);
        gb_info(&b, "two", 1, (uint64_t[]){16}, 1, QUANT_F32, offsets[i][1]);
        gb_put(&b.data, NULL, 256);
        refuse_format(&b, "overlap");
    }
}

/* Past the end by one byte, and by far. The header alone may still be opened. */
static void test_beyond_the_end(void **state)
{
    static const uint64_t sizes[] = {17, 1000, 1ull << 40};
    for (size_t i = 0; i < 3; i++) {
        gguf_builder b = gb_new();
        size_t n;
        gguf *g;
        gb_info(&b, "long", 1, &sizes[i], 1, QUANT_I8, 0);
        gb_put(&b.data, NULL, 16);
        unsigned char *bytes = gb_finish(&b, &n);
        assert_int_equal(open_tight(bytes, n, false, &g), KVASIR_E_FORMAT);
        assert_non_null(strstr(kvasir_message(), "tensor long takes the bytes"));
        assert_ok(open_tight(bytes, n, true, &g));
        assert_int_equal(gguf_tensor_bytes(g), sizes[i]);
        gguf_free(g);
        free(bytes);
    }
}

/* A file with one of everything, about 600 bytes; its last byte belongs to a tensor. */
static unsigned char *small_file(size_t *n, size_t *header)
{
    gguf_builder b = gb_new();
    gb_string(&b, "general.architecture", "llama");
    gb_u32(&b, "general.alignment", 32);
    gb_bool(&b, "flag", 1);
    gb_f64(&b, "f64", 0.5);
    gb_strings(&b, "tokens", (const char *const[]){"a", "", "ccc"}, 3);
    gb_array_claim(&b, "scores", GGUF_F32, 3, (const float[]){1, 2, 3}, 12);
    gb_array_claim(&b, "flags", GGUF_BOOL, 2, "\0\1", 2);
    gb_tensor(&b, "x", QUANT_F32, 2, (uint64_t[]){4, 2}, NULL);
    gb_tensor(&b, "y", QUANT_Q4_0, 2, (uint64_t[]){32, 3}, NULL);
    unsigned char *bytes = gb_finish(&b, n);
    *header = b.header_bytes;
    return bytes;
}

static kvasir_status open_exact(const unsigned char *from, size_t n, bool header_only)
{
    unsigned char *bytes = malloc(n ? n : 1); /* no slack for a sanitizer to overlook */
    file *f;
    gguf *g;
    assert_non_null(bytes);
    memcpy(bytes, from, n);
    assert_ok(file_from_memory(bytes, n, "small", &f));
    kvasir_status status = gguf_open_file(f, header_only, &g);
    if (status == KVASIR_OK)
        (void)walk(g);
    else
        assert_true(kvasir_message()[0] != 0 && !g);
    gguf_free(g);
    free(bytes);
    return status;
}

static void test_truncation(void **state)
{
    size_t n, header;
    unsigned char *bytes = small_file(&n, &header);
    for (size_t cut = 0; cut < n; cut++) {
        assert_int_equal(open_exact(bytes, cut, false), KVASIR_E_FORMAT);
        assert_int_equal(open_exact(bytes, cut, true), cut < header ? KVASIR_E_FORMAT : KVASIR_OK);
    }
    assert_ok(open_exact(bytes, n, false));
    free(bytes);
}

static void test_mutation(void **state)
{
    size_t n, header, opened = 0, refused = 0;
    unsigned char *bytes = small_file(&n, &header);
    for (size_t at = 0; at < header; at++) {
        unsigned char good = bytes[at];
        for (unsigned value = 0; value < 256; value++) {
            bytes[at] = (unsigned char)value;
            for (int header_only = 0; header_only < 2; header_only++) {
                kvasir_status status = open_exact(bytes, n, header_only);
                assert_true(status == KVASIR_OK || status == KVASIR_E_FORMAT || status == KVASIR_E_UNSUPPORTED);
                *(status == KVASIR_OK ? &opened : &refused) += 1;
            }
        }
        bytes[at] = good;
    }
    assert_true(opened > 1000 && refused > 1000);
    free(bytes);
}

/* ---- Published advisories on GGUF parsers, each with a file of its kind. ---- */

/* CVE-2024-21802 (TALOS-2024-1914): n_dims was used to fill info->ne[4] without a check; the dimensions of a
   tensor with more than four overwrote the heap. */
static void test_cve_2024_21802(void **state)
{
    uint64_t dims[64];
    for (int i = 0; i < 64; i++) dims[i] = 0x4141414141414141u;
    refuse_info(64, dims, 64, QUANT_F32, 0, KVASIR_E_FORMAT, "64 dimensions");
    refuse_info(5, dims, 64, QUANT_F32, 0, KVASIR_E_FORMAT, "5 dimensions");
    refuse_info(0x80000001u, dims, 64, QUANT_F32, 0, KVASIR_E_FORMAT, "dimensions");
}

/* Counts whose product with any record size up to 512 bytes wraps to something small. */
static uint64_t wrapping_count(uint64_t record)
{
    return UINT64_MAX / record + 2;
}

/* CVE-2024-21825 (TALOS-2024-1912): an array's count times the size of its elements (strings: 16 bytes)
   wrapped, and the elements that follow overwrote the heap. */
static void test_cve_2024_21825(void **state)
{
    static const unsigned char elements[1024];
    for (uint64_t record = 2; record <= 64; record++) {
        for (uint32_t type = 0; type < GGUF_VALUE_TYPES; type++) {
            gguf_builder b = gb_new();
            if (type == GGUF_ARRAY) continue;
            gb_array_claim(&b, "tokenizer.ggml.tokens", type, wrapping_count(record), elements, sizeof elements);
            refuse_format(&b, "key tokenizer.ggml.tokens: an array of");
        }
    }
}

/* CVE-2024-21836 (TALOS-2024-1915): header.n_tensors times the size of a tensor info wrapped. */
static void test_cve_2024_21836(void **state)
{
    for (uint64_t record = 2; record <= 512; record++) {
        gguf_builder b = gb_new();
        for (int i = 0; i < 8; i++) gb_tensor(&b, "t", QUANT_F32, 1, (uint64_t[]){8}, NULL);
        b.claim_tensors = wrapping_count(record);
        refuse_format(&b, "tensors, more than the limit");
    }
}

/* CVE-2024-23496 (TALOS-2024-1913): gguf_fread_str allocated length + 1 bytes, none at all for a length of
   2^64 - 1, and read the string there. */
static void test_cve_2024_23496(void **state)
{
    for (int where = 0; where < 4; where++) {
        gguf_builder b = gb_new();
        if (where == 0) gb_key_claim(&b, UINT64_MAX, "AAAA", 4, GGUF_U8);
        if (where == 1) gb_string_claim(&b, "general.name", UINT64_MAX, "AAAAAAAA", 8);
        if (where == 2) {
            gb_array_claim(&b, "list", GGUF_STRING, 1, NULL, 0);
            gb_put_text(&b.kv, UINT64_MAX, "AAAAAAAA", 8);
        }
        if (where == 3) {
            gb_put_text(&b.infos, UINT64_MAX, "AAAAAAAA", 8);
            gb_put(&b.infos, NULL, 64);
            b.n_tensors = 1;
        }
        refuse_format(&b, "claims 18446744073709551615 bytes");
    }
}

/* CVE-2024-23605 (TALOS-2024-1916): header.n_kv times the size of a key-value record wrapped. */
static void test_cve_2024_23605(void **state)
{
    for (uint64_t record = 2; record <= 512; record++) {
        gguf_builder b = gb_new();
        for (int i = 0; i < 8; i++) gb_u32(&b, "k", 1);
        b.claim_kv = wrapping_count(record);
        refuse_format(&b, "metadata keys, more than the limit");
    }
}

/* A sparse file on disk: `head` bytes, then a hole up to `size`. */
static void refuse_sparse(gguf_builder *b, off_t size, const char *text)
{
    char path[] = "/tmp/kvasir-sparse-XXXXXX";
    size_t n;
    gguf *g;
    unsigned char *bytes = gb_finish(b, &n);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), (ssize_t)n);
    assert_int_equal(ftruncate(fd, size), 0);
    (void)close(fd);
    assert_int_equal(gguf_open(path, true, &g), KVASIR_E_FORMAT);
    if (!strstr(kvasir_message(), text)) print_error("message: %s\n", kvasir_message());
    assert_non_null(strstr(kvasir_message(), text));
    (void)unlink(path);
    free(bytes);
}

/* CVE-2025-49847 (GHSA-8wwf-w4qm-gpqr): a token's length, a size_t, was cast to int32 where it was compared with the
   caller's buffer, so that a token of more than 2 GiB was copied into it. The file really is as long as it says here (a
   hole): such a string is beyond the limit. What the limit lets through, tok has to handle. */
static void test_cve_2025_49847(void **state)
{
    static const uint64_t lengths[] = {GGUF_MAX_STRING_BYTES + 1u, 0x7fffffff, 0x80000000u, 0xfffffff0u, 0x100000010u};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        gguf_builder b = gb_new();
        gb_array_claim(&b, "tokenizer.ggml.tokens", GGUF_STRING, 2, NULL, 0);
        gb_put_text(&b.kv, 1, "a", 1);
        gb_put_text(&b.kv, lengths[i], "", 0);
        refuse_sparse(&b, (off_t)lengths[i] + 4096, "more than the limit of 67108864");
    }
}

/* CVE-2025-52566 (GHSA-7rxv-5jhh-j6xx): a token count, a size_t, was compared as an int32 with the room for
   the result. The input is text, not a file, so this is tok's to test; of the file only the vocabulary's size
   matters, which stays far below 2^31 even when the file is long enough. */
static void test_cve_2025_52566(void **state)
{
    static const uint64_t counts[] = {GGUF_MAX_ARRAY + 1u, 0x80000000u, 0x100000001u};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        gguf_builder b = gb_new();
        gb_array_claim(&b, "tokenizer.ggml.tokens", GGUF_STRING, counts[i], NULL, 0);
        refuse_sparse(&b, (off_t)(counts[i] * 8) + 4096, "more than the limit of 67108864");
    }
}

/* CVE-2025-53630 (GHSA-vgg9-87g3-85w8): the sum of the padded tensor sizes (ctx->size) wrapped. Each tensor alone is
   possible, and its offset is the one that the wrapped sum expects. Also the way around the first fix, by a size whose
   padding alone wraps (llama.cpp pull request 24759). */
static void test_cve_2025_53630(void **state)
{
    gguf_builder b = gb_new();
    gb_info(&b, "a", 1, (uint64_t[]){(1ull << 62)}, 1, QUANT_I8, 0);
    gb_info(&b, "b", 1, (uint64_t[]){(1ull << 62)}, 1, QUANT_I8, 1ull << 62);
    gb_info(&b, "c", 1, (uint64_t[]){(1ull << 62)}, 1, QUANT_I8, 1ull << 63);
    gb_info(&b, "d", 1, (uint64_t[]){(1ull << 62)}, 1, QUANT_I8, 3ull << 62);
    gb_info(&b, "e", 1, (uint64_t[]){64}, 1, QUANT_I8, 0);
    gb_put(&b.data, NULL, 64);
    refuse_format(&b, "tensor "); /* which one depends on whether the data is looked for */
    gb_info(&b, "pad", 1, (uint64_t[]){UINT64_MAX / 4}, 1, QUANT_F32, 0);
    gb_info(&b, "e", 1, (uint64_t[]){8}, 1, QUANT_F32, 0);
    gb_put(&b.data, NULL, 32);
    refuse_format(&b, "tensor pad: the size of");
}

/* CVE-2026-27940 (GHSA-3p4r-fq3f-q74v): a way around the fix of the one before. The sum stays just below 2^64, and
   adding the overhead of the tensor records (mem_size) wraps. */
static void test_cve_2026_27940(void **state)
{
    for (uint64_t slack = 32; slack <= 4096; slack += 32) {
        gguf_builder b = gb_new();
        gb_info(&b, "a", 1, (uint64_t[]){INT64_MAX - 31}, 1, QUANT_I8, 0);
        gb_info(&b, "b", 1, (uint64_t[]){INT64_MAX - 31 - slack}, 1, QUANT_I8, 1ull << 63);
        gb_put(&b.data, NULL, 64);
        refuse_format(&b, "offset and size overflow");
    }
}

/* CVE-2026-33298 (GHSA-96jg-mvhq-q7q7): dimensions whose number of elements fits 64 bits and whose number of
   bytes (ggml_nbytes) does not; the published example turns an exabyte tensor into 4 MiB. */
static void test_cve_2026_33298(void **state)
{
    static const struct {
        uint64_t dims[4];
        quant_type type;
    } bad[] = {
        {{1152, (1ull << 42) + 1, 1, 1 << 10}, QUANT_F32},
        {{1ull << 20, (1ull << 42) + 1, 1, 1}, QUANT_F32},
        {{1ull << 62, 1, 1, 1}, QUANT_F32},
        {{(1ull << 61) + 1, 1, 1, 1}, QUANT_F64},
        {{1ull << 32, 1ull << 32, 1, 1}, QUANT_I8},
        {{1ull << 32, 1ull << 31, 1, 1}, QUANT_Q4_0}, /* only the elements */
        {{1ull << 32, 1ull << 32, 1ull << 32, 1ull << 32}, QUANT_Q4_0},
        {{1ull << 40, 1ull << 20, 1ull << 10, 1}, QUANT_Q8_0},
        {{1, INT64_MAX, 2, 1}, QUANT_I8},
        {{INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}, QUANT_F16},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuse_info(4, bad[i].dims, 4, (uint32_t)bad[i].type, 0, KVASIR_E_FORMAT, "overflows");
}

/* CVE-2026-7482 ("Bleeding Llama", Ollama): a tensor's shape claimed more data than the file has, and what
   lay behind the buffer was read as weights. */
static void test_cve_2026_7482(void **state)
{
    gguf_builder b = gb_new();
    size_t n;
    gguf *g;
    gb_info(&b, "token_embd.weight", 2, (uint64_t[]){4096, 1u << 20}, 2, QUANT_F16, 0);
    gb_put(&b.data, NULL, 1024);
    unsigned char *bytes = gb_finish(&b, &n);
    assert_int_equal(open_tight(bytes, n, false, &g), KVASIR_E_FORMAT);
    assert_non_null(strstr(kvasir_message(), "tensor token_embd.weight takes the bytes"));
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_magic_and_version),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_infos),
        cmocka_unit_test(test_beyond_the_end),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_mutation),
        cmocka_unit_test(test_cve_2024_21802),
        cmocka_unit_test(test_cve_2024_21825),
        cmocka_unit_test(test_cve_2024_21836),
        cmocka_unit_test(test_cve_2024_23496),
        cmocka_unit_test(test_cve_2024_23605),
        cmocka_unit_test(test_cve_2025_49847),
        cmocka_unit_test(test_cve_2025_52566),
        cmocka_unit_test(test_cve_2025_53630),
        cmocka_unit_test(test_cve_2026_27940),
        cmocka_unit_test(test_cve_2026_33298),
        cmocka_unit_test(test_cve_2026_7482),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
