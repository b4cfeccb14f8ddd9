/* GGUF: what honest files hold, typed access, split files, files that change underneath. */
#include "test.h"

#include "gguf_builder.h"

#include <jansson.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* Opens and frees the builder's file; `bytes` (free it after the gguf) keeps the memory. */
static gguf *open_built(gguf_builder *b, unsigned char **bytes)
{
    size_t n;
    file *f;
    gguf *g;
    *bytes = gb_finish(b, &n);
    assert_ok(file_from_memory(*bytes, n, "built", &f));
    assert_ok(gguf_open_file(f, false, &g));
    return g;
}

static void fill(gguf_builder *b)
{
    const uint8_t u8 = 200;
    const int8_t i8 = -3;
    const uint16_t u16 = 50000;
    const int16_t i16 = -300;
    const int64_t i64 = -5000000000;
    gb_string(b, "general.architecture", "llama");
    gb_scalar(b, "u8", GGUF_U8, &u8, 1);
    gb_scalar(b, "i8", GGUF_I8, &i8, 1);
    gb_scalar(b, "u16", GGUF_U16, &u16, 2);
    gb_scalar(b, "i16", GGUF_I16, &i16, 2);
    gb_u32(b, "u32", 4000000000u);
    gb_i32(b, "i32", 7);
    gb_u64(b, "u64", 1ull << 40);
    gb_scalar(b, "i64", GGUF_I64, &i64, 8);
    gb_f32(b, "f32", 1e-5f);
    gb_f64(b, "f64", 10000.0);
    gb_f64(b, "huge", 1e300);
    gb_f32(b, "nan", NAN);
    gb_f32(b, "inf", INFINITY);
    gb_bool(b, "yes", 1);
    gb_bool(b, "no", 0);
    gb_string_claim(b, "with nul", 5, "ab\0cd", 5);
    gb_string(b, "empty", "");
    gb_strings(b, "tokens", (const char *const[]){"a", "", "ccc"}, 3);
    gb_array_claim(b, "ints", GGUF_I32, 3, (const int32_t[]){1, -2, 3}, 12);
    gb_array_claim(b, "none", GGUF_F32, 0, NULL, 0);
    gb_array_claim(b, "no strings", GGUF_STRING, 0, NULL, 0);
    gb_tensor(b, "a", QUANT_F32, 1, (uint64_t[]){3}, (const float[]){1, 2, 3});
    gb_tensor(b, "b", QUANT_Q4_0, 3, (uint64_t[]){64, 5, 2}, NULL);
    gb_tensor(b, "c", QUANT_BF16, 4, (uint64_t[]){2, 3, 4, 5}, NULL);
}

static void test_values(void **state)
{
    gguf_builder b = gb_new();
    unsigned char *bytes;
    fill(&b);
    gguf *g = open_built(&b, &bytes);
    assert_int_equal(gguf_version(g), 3);
    assert_int_equal(gguf_n_files(g), 1);
    assert_string_equal(gguf_path(g), "built");
    assert_int_equal(gguf_n_kv(g), 22);
    assert_string_equal(gguf_kv_at(g, 1)->key.s, "u8");
    assert_null(gguf_find(g, "u"));
    assert_null(gguf_find(g, "u88"));
    assert_null(gguf_find(g, ""));
    for (int i = 0; i < gguf_n_kv(g); i++) assert_ptr_equal(gguf_find(g, gguf_kv_at(g, i)->key.s), gguf_kv_at(g, i));

    gguf_string s;
    assert_ok(gguf_get_string(g, "with nul", true, &s));
    assert_int_equal(s.n, 5);
    assert_memory_equal(s.s, "ab\0cd", 6);
    assert_ok(gguf_get_string(g, "empty", true, &s));
    assert_true(s.n == 0 && s.s[0] == 0);

    const void *data;
    size_t n;
    assert_ok(gguf_get_array(g, "tokens", true, GGUF_STRING, &data, &n));
    const gguf_string *tokens = data;
    assert_int_equal(n, 3);
    assert_string_equal(tokens[0].s, "a");
    assert_string_equal(tokens[1].s, "");
    assert_string_equal(tokens[2].s, "ccc");
    assert_ok(gguf_get_array(g, "ints", true, GGUF_I32, &data, &n));
    assert_int_equal(n, 3);
    assert_int_equal(((const int32_t *)data)[1], -2);
    assert_ok(gguf_get_array(g, "none", true, GGUF_F32, &data, &n));
    assert_true(n == 0 && data);
    assert_ok(gguf_get_array(g, "absent", false, GGUF_F32, &data, &n));
    assert_true(n == 0 && !data);
    gguf_free(g);
    free(bytes);
}

#define assert_says(status, code, text)                                                                                \
    do {                                                                                                               \
        assert_int_equal(status, code);                                                                                \
        if (!strstr(kvasir_message(), text)) print_error("message: %s\n", kvasir_message());                           \
        assert_non_null(strstr(kvasir_message(), text));                                                               \
    } while (0)

static void test_integers(void **state)
{
    gguf_builder b = gb_new();
    unsigned char *bytes;
    fill(&b);
    gguf *g = open_built(&b, &bytes);
    uint32_t v = 99;
    static const struct {
        const char *key;
        uint32_t value;
    } good[] = {{"u8", 200}, {"u16", 50000}, {"u32", 4000000000u}, {"i32", 7}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_ok(gguf_get_u32(g, good[i].key, true, 0, UINT32_MAX, &v));
        assert_int_equal(v, good[i].value);
    }
    v = 99;
    assert_ok(gguf_get_u32(g, "absent", false, 0, 1, &v));
    assert_int_equal(v, 99);
    assert_says(gguf_get_u32(g, "absent", true, 0, 1, &v), KVASIR_E_FORMAT, "absent");
    assert_says(gguf_get_u32(g, "i8", true, 0, UINT32_MAX, &v), KVASIR_E_FORMAT, "-3");
    assert_says(gguf_get_u32(g, "i16", true, 0, UINT32_MAX, &v), KVASIR_E_FORMAT, "-300");
    assert_says(gguf_get_u32(g, "i64", true, 0, UINT32_MAX, &v), KVASIR_E_FORMAT, "-5000000000");
    assert_says(gguf_get_u32(g, "u64", true, 0, UINT32_MAX, &v), KVASIR_E_FORMAT, "1099511627776");
    assert_says(gguf_get_u32(g, "u8", false, 0, 199, &v), KVASIR_E_FORMAT, "u8");
    assert_says(gguf_get_u32(g, "u8", false, 201, 300, &v), KVASIR_E_FORMAT, "from 201 to 300");
    assert_says(gguf_get_u32(g, "f32", false, 0, 9, &v), KVASIR_E_FORMAT, "f32");
    assert_says(gguf_get_u32(g, "yes", false, 0, 9, &v), KVASIR_E_FORMAT, "bool");
    assert_says(gguf_get_u32(g, "ints", false, 0, 9, &v), KVASIR_E_FORMAT, "array of i32");
    assert_int_equal(v, 99);
    gguf_free(g);
    free(bytes);
}

static void test_other_types(void **state)
{
    gguf_builder b = gb_new();
    unsigned char *bytes;
    fill(&b);
    gguf *g = open_built(&b, &bytes);
    float f = 0;
    bool flag = false;
    gguf_string s = {0};
    const void *data;
    size_t n;
    assert_ok(gguf_get_f32(g, "f32", true, 0, 1, &f));
    assert_true(f == 1e-5f);
    assert_ok(gguf_get_f32(g, "f64", true, 0, 1e6f, &f));
    assert_true(f == 10000.0f);
    assert_says(gguf_get_f32(g, "f64", true, 0, 9999, &f), KVASIR_E_FORMAT, "10000");
    assert_says(gguf_get_f32(g, "huge", true, -INFINITY, INFINITY, &f), KVASIR_E_FORMAT, "huge");
    assert_says(gguf_get_f32(g, "nan", true, -INFINITY, INFINITY, &f), KVASIR_E_FORMAT, "nan");
    assert_says(gguf_get_f32(g, "inf", false, -INFINITY, INFINITY, &f), KVASIR_E_FORMAT, "inf");
    assert_says(gguf_get_f32(g, "u32", false, 0, 1, &f), KVASIR_E_FORMAT, "u32");
    assert_says(gguf_get_f32(g, "absent", true, 0, 1, &f), KVASIR_E_FORMAT, "absent");
    assert_ok(gguf_get_f32(g, "absent", false, 0, 1, &f));
    assert_true(f == 10000.0f);
    assert_ok(gguf_get_bool(g, "yes", true, &flag));
    assert_true(flag);
    assert_ok(gguf_get_bool(g, "no", true, &flag));
    assert_false(flag);
    assert_says(gguf_get_bool(g, "u8", false, &flag), KVASIR_E_FORMAT, "boolean");
    assert_says(gguf_get_bool(g, "absent", true, &flag), KVASIR_E_FORMAT, "absent");
    assert_says(gguf_get_string(g, "u8", false, &s), KVASIR_E_FORMAT, "string");
    assert_says(gguf_get_string(g, "tokens", false, &s), KVASIR_E_FORMAT, "array of string");
    assert_says(gguf_get_array(g, "ints", false, GGUF_U32, &data, &n), KVASIR_E_FORMAT, "array of u32");
    assert_says(gguf_get_array(g, "u8", false, GGUF_U8, &data, &n), KVASIR_E_FORMAT, "u8");
    assert_says(gguf_get_array(g, "absent", true, GGUF_U8, &data, &n), KVASIR_E_FORMAT, "absent");
    gguf_free(g);
    free(bytes);
}

static void test_tensors(void **state)
{
    gguf_builder b = gb_new();
    unsigned char *bytes;
    fill(&b);
    gguf *g = open_built(&b, &bytes);
    float a[3];
    assert_int_equal(gguf_n_tensors(g), 3);
    const gguf_tensor *t = gguf_find_tensor(g, "a");
    assert_ptr_equal(t, gguf_tensor_at(g, 0));
    assert_int_equal(t->bytes, 12);
    assert_int_equal(t->n_rows, 1);
    assert_int_equal(t->shape[1], 1);
    assert_int_equal(t->offset % 32, 0);
    assert_ok(file_read(t->file, t->offset, a, sizeof a));
    assert_true(a[0] == 1 && a[1] == 2 && a[2] == 3);
    t = gguf_find_tensor(g, "b");
    assert_int_equal(t->type, QUANT_Q4_0);
    assert_int_equal(t->row_bytes, 36);
    assert_int_equal(t->n_rows, 10);
    assert_int_equal(t->bytes, 360);
    t = gguf_find_tensor(g, "c");
    assert_int_equal(t->n_dims, 4);
    assert_int_equal(t->n_rows, 60);
    assert_int_equal(t->bytes, 240);
    assert_null(gguf_find_tensor(g, "d"));
    assert_null(gguf_find_tensor(g, ""));
    assert_int_equal(gguf_tensor_bytes(g), 12 + 360 + 240);
    gguf_free(g);
    free(bytes);
}

/* Version 2 and an alignment of its own, no tensors, no keys. */
static void test_variants(void **state)
{
    static const uint32_t alignments[] = {8, 16, 64, 4096};
    unsigned char *bytes;
    for (size_t i = 0; i < 4; i++) {
        gguf_builder b = gb_new();
        b.version = 2;
        b.alignment = alignments[i];
        gb_u32(&b, "general.alignment", alignments[i]);
        gb_tensor(&b, "x", QUANT_F32, 1, (uint64_t[]){1}, (const float[]){4.0f});
        gb_tensor(&b, "y", QUANT_F32, 1, (uint64_t[]){1}, (const float[]){5.0f});
        gguf *g = open_built(&b, &bytes);
        float v;
        const gguf_tensor *y = gguf_find_tensor(g, "y");
        assert_int_equal(gguf_version(g), 2);
        assert_int_equal(y->offset % alignments[i], 0);
        assert_ok(file_read(y->file, y->offset, &v, sizeof v));
        assert_true(v == 5.0f);
        gguf_free(g);
        free(bytes);
    }
    gguf_builder b = gb_new();
    gguf *g = open_built(&b, &bytes);
    assert_true(gguf_n_kv(g) == 0 && gguf_n_tensors(g) == 0);
    assert_null(gguf_find(g, "x"));
    assert_null(gguf_find_tensor(g, "x"));
    gguf_free(g);
    free(bytes);
}

/* Values longer than the reader's window, and strings that lie across its edges. */
static void test_long_values(void **state)
{
    enum { BIG = 700001, MANY = 60000 };
    gguf_builder b = gb_new();
    unsigned char *bytes, *big = malloc(BIG);
    gguf_string s;
    const void *data;
    size_t n;
    char text[16];
    assert_non_null(big);
    for (size_t i = 0; i < BIG; i++) big[i] = (unsigned char)(i * 31 >> 3);
    gb_string_claim(&b, "big", BIG, (const char *)big, BIG);
    gb_array_claim(&b, "bytes", GGUF_U8, BIG, big, BIG);
    gb_array_claim(&b, "strings", GGUF_STRING, MANY, NULL, 0);
    for (int i = 0; i < MANY; i++) {
        int length = snprintf(text, sizeof text, "%d", (int)((long)i * i % 1000003));
        gb_put_text(&b.kv, (uint64_t)length, text, (size_t)length);
    }
    gb_u32(&b, "last", 5);
    gguf *g = open_built(&b, &bytes);
    assert_ok(gguf_get_string(g, "big", true, &s));
    assert_int_equal(s.n, BIG);
    assert_memory_equal(s.s, big, BIG);
    assert_ok(gguf_get_array(g, "bytes", true, GGUF_U8, &data, &n));
    assert_int_equal(n, BIG);
    assert_memory_equal(data, big, BIG);
    assert_ok(gguf_get_array(g, "strings", true, GGUF_STRING, &data, &n));
    assert_int_equal(n, MANY);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(text, sizeof text, "%d", (int)((long)i * i % 1000003));
        assert_string_equal(((const gguf_string *)data)[i].s, text);
    }
    assert_non_null(gguf_find(g, "last"));
    gguf_free(g);
    free(bytes);
    free(big);
}

/* Tensors in another order than their data, and gaps between them, are fine. */
static void test_order(void **state)
{
    gguf_builder b = gb_new();
    unsigned char *bytes;
    gb_info(&b, "last", 1, (uint64_t[]){8}, 1, QUANT_F32, 96);
    gb_info(&b, "first", 1, (uint64_t[]){8}, 1, QUANT_F32, 0);
    gb_put(&b.data, NULL, 128);
    gguf *g = open_built(&b, &bytes);
    assert_true(gguf_find_tensor(g, "first")->offset < gguf_find_tensor(g, "last")->offset);
    gguf_free(g);
    free(bytes);
}

static void test_header_only(void **state)
{
    gguf_builder b = gb_new();
    size_t n;
    file *f;
    gguf *g;
    fill(&b);
    unsigned char *bytes = gb_finish(&b, &n);
    assert_ok(file_from_memory(bytes, b.header_bytes, "cut", &f));
    assert_ok(gguf_open_file(f, true, &g));
    assert_int_equal(gguf_n_tensors(g), 3);
    assert_int_equal(gguf_tensor_bytes(g), 12 + 360 + 240);
    assert_int_equal(gguf_total_bytes(g), b.header_bytes);
    gguf_free(g);
    assert_ok(file_from_memory(bytes, b.header_bytes, "cut", &f));
    assert_says(gguf_open_file(f, false, &g), KVASIR_E_FORMAT, "tensor a");
    assert_null(g);
    free(bytes);
}

/* What an opened file keeps is a small multiple of its header. Not under a sanitizer, whose mallinfo is empty. */
static void test_memory(void **state)
{
    gguf_builder b = gb_new();
    static const char *const empty[1000];
    size_t n;
    file *f;
    gguf *g;
    for (int k = 0; k < 1000; k++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key %d", k);
        gb_array_claim(&b, key, GGUF_STRING, sizeof empty / sizeof *empty, NULL, 8 * 1000);
    }
    unsigned char *bytes = gb_finish(&b, &n);
    struct mallinfo2 before = mallinfo2();
    assert_ok(file_from_memory(bytes, n, "many", &f));
    assert_ok(gguf_open_file(f, false, &g));
    struct mallinfo2 after = mallinfo2();
    size_t kept = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
    assert_true(kept < 3 * n);
    gguf_free(g);
    free(bytes);
}

static void check_types(const gguf *g, json_t *types)
{
    const char *name;
    json_t *count;
    json_object_foreach(types, name, count)
    {
        int n = 0;
        for (int i = 0; i < gguf_n_tensors(g); i++)
            n += strcmp(quant_traits_of((uint32_t)gguf_tensor_at(g, i)->type)->name, name) == 0;
        assert_int_equal(n, json_integer_value(count));
    }
}

/* The model fixtures: sizes, architecture, tensor types as their manifest has them. */
static void test_fixtures(void **state)
{
    size_t size = 0, i, opened = 0;
    char *text = read_data("models/manifest.json", &size);
    if (!text) {
        skip();
        return;
    }
    json_t *manifest = json_loadb(text, size, 0, NULL), *entry;
    json_array_foreach(json_object_get(manifest, "cases"), i, entry)
    {
        char name[128];
        gguf *g;
        gguf_string architecture;
        (void)snprintf(name, sizeof name, "models/%s", json_string_value(json_object_get(entry, "gguf")));
        const char *path = data_path(name);
        if (!path) continue; /* the golden subset */
        assert_ok(gguf_open(path, false, &g));
        assert_ok(gguf_get_string(g, "general.architecture", true, &architecture));
        assert_string_equal(architecture.s, json_string_value(json_object_get(entry, "architecture")));
        assert_int_equal(gguf_total_bytes(g), json_integer_value(json_object_get(entry, "bytes")));
        json_t *types = json_object_get(entry, "tensor_types");
        if (types) check_types(g, types);
        gguf_free(g);
        opened++;
    }
    assert_true(opened > 0);
    json_decref(manifest);
    free(text);
}

static void test_files(void **state)
{
    gguf *g;
    assert_says(gguf_open("/nowhere/x.gguf", false, &g), KVASIR_E_IO, "/nowhere/x.gguf");
    assert_null(g);
    assert_says(gguf_open("/tmp", false, &g), KVASIR_E_IO, "regular");
    assert_says(gguf_open("/dev/null", false, &g), KVASIR_E_IO, "regular");
}

/* A file cut while it is open: an error from the read, no signal. Cut before the header is read: an error too. */
static void test_shrinks(void **state)
{
    char path[] = "/tmp/kvasir-gguf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    gguf_builder b = gb_new();
    gguf *g;
    file *f;
    unsigned char to[16];
    gb_tensor(&b, "x", QUANT_F32, 1, (uint64_t[]){4096}, NULL);
    gb_write(&b, path);
    assert_ok(gguf_open(path, false, &g));
    const gguf_tensor *x = gguf_find_tensor(g, "x");
    assert_ok(file_read(x->file, x->offset + x->bytes - 16, to, 16));
    assert_int_equal(truncate(path, 100), 0);
    assert_says(file_read(x->file, x->offset + x->bytes - 16, to, 16), KVASIR_E_FORMAT, "shrank");
    gguf_free(g);

    fill(&b);
    gb_write(&b, path);
    for (off_t cut = 0; cut < (off_t)b.header_bytes; cut += 7) {
        fill(&b);
        gb_write(&b, path);
        assert_ok(file_open(path, &f));
        assert_int_equal(truncate(path, cut), 0);
        assert_says(gguf_open_file(f, false, &g), KVASIR_E_FORMAT, "shrank");
    }
    (void)close(fd);
    (void)unlink(path);
}

enum { CHANGING_STRINGS = 40000 };

typedef struct changer {
    int fd;
    off_t at; /* of the last string's length */
    atomic_bool stop;
} changer;

/* Writes a right and a wrong length in turns. */
static void *change(void *arg)
{
    changer *c = arg;
    for (uint64_t i = 0; !atomic_load(&c->stop); i++) {
        uint64_t length = i % 2 ? 8 : 4000;
        if (pwrite(c->fd, &length, sizeof length, c->at) != sizeof length) break;
    }
    return NULL;
}

/* The strings of an array are measured first and copied then. A length that grows in between is found out (a
   sanitizer would see the copy go past its room). */
static void test_changes(void **state)
{
    char path[] = "/tmp/kvasir-gguf-XXXXXX";
    changer c = {.fd = mkstemp(path)};
    gguf_builder b = gb_new();
    pthread_t thread;
    bool seen = false;
    assert_true(c.fd >= 0);
    gb_array_claim(&b, "strings", GGUF_STRING, CHANGING_STRINGS, NULL, 0);
    for (int i = 0; i < CHANGING_STRINGS; i++) gb_put_text(&b.kv, 8, "12345678", 8);
    c.at = 24 + (off_t)b.kv.n - 16;
    gb_array_claim(&b, "after", GGUF_U8, 8192, NULL, 8192);
    gb_write(&b, path);
    assert_int_equal(pthread_create(&thread, NULL, change, &c), 0);
    for (int i = 0; i < 5000 && !seen; i++) {
        gguf *g;
        kvasir_status status = gguf_open(path, false, &g);
        assert_true(status == KVASIR_OK || status == KVASIR_E_FORMAT);
        seen = status != KVASIR_OK && strstr(kvasir_message(), "changed while it was being read");
        gguf_free(g);
    }
    atomic_store(&c.stop, true);
    (void)pthread_join(thread, NULL);
    assert_true(seen);
    (void)close(c.fd);
    (void)unlink(path);
}

/* A set of three parts in a folder of its own. */
typedef struct split_set {
    char folder[64], path[3][128];
    uint32_t no[3], count[3];
    int32_t tensors[3]; /* -1: no such key */
    const char *name[3];
    bool huge; /* each part has a tensor of almost 2^63 bytes that is not there */
} split_set;

static void split_init(split_set *s)
{
    char folder[] = "/tmp/kvasir-split-XXXXXX";
    *s = (split_set){.no = {0, 1, 2}, .count = {3, 3, 3}, .tensors = {3, 3, 3}, .name = {"a", "b", "c"}};
    assert_non_null(mkdtemp(folder));
    memcpy(s->folder, folder, sizeof folder);
    for (int i = 0; i < 3; i++)
        (void)snprintf(s->path[i], sizeof s->path[i], "%s/model-%05d-of-00003.gguf", folder, i + 1);
}

static void split_write(const split_set *s)
{
    for (int i = 0; i < 3; i++) {
        gguf_builder b = gb_new();
        uint16_t no = (uint16_t)s->no[i], count = (uint16_t)s->count[i];
        float value = (float)i;
        if (i == 0) gb_string(&b, "general.architecture", "llama");
        gb_scalar(&b, "split.no", GGUF_U16, &no, 2);
        gb_scalar(&b, "split.count", GGUF_U16, &count, 2);
        if (s->tensors[i] >= 0) gb_i32(&b, "split.tensors.count", s->tensors[i]);
        if (s->huge)
            gb_info(&b, s->name[i], 1, (uint64_t[]){INT64_MAX - 4095}, 1, QUANT_I8, 0);
        else
            gb_tensor(&b, s->name[i], QUANT_F32, 1, (uint64_t[]){1}, &value);
        gb_write(&b, s->path[i]);
    }
}

static void split_remove(const split_set *s)
{
    for (int i = 0; i < 3; i++) (void)unlink(s->path[i]);
    (void)rmdir(s->folder);
}

static void test_split(void **state)
{
    split_set s;
    gguf *g;
    split_init(&s);
    split_write(&s);
    assert_ok(gguf_open(s.path[0], false, &g));
    assert_int_equal(gguf_n_files(g), 3);
    assert_int_equal(gguf_n_tensors(g), 3);
    assert_string_equal(gguf_path(g), s.path[0]);
    assert_int_equal(gguf_tensor_bytes(g), 12);
    for (int i = 0; i < 3; i++) {
        float v;
        const gguf_tensor *t = gguf_find_tensor(g, s.name[i]);
        assert_ptr_equal(t, gguf_tensor_at(g, i));
        assert_string_equal(file_name(t->file), s.path[i]);
        assert_ok(file_read(t->file, t->offset, &v, sizeof v));
        assert_true(v == (float)i);
    }
    gguf_free(g);
    assert_says(gguf_open(s.path[1], false, &g), KVASIR_E_FORMAT, s.path[0]);
    assert_says(gguf_open(s.path[2], false, &g), KVASIR_E_FORMAT, s.path[0]);
    file *f;
    assert_ok(file_open(s.path[0], &f));
    assert_says(gguf_open_file(f, false, &g), KVASIR_E_UNSUPPORTED, "part 1 of 3");
    s.tensors[1] = -1; /* the count need not be in every part */
    split_write(&s);
    assert_ok(gguf_open(s.path[0], false, &g));
    gguf_free(g);
    split_remove(&s);
}

static void expect_split(const split_set *s, kvasir_status status, const char *text)
{
    gguf *g;
    split_write(s);
    assert_says(gguf_open(s->path[0], false, &g), status, text);
    assert_null(g);
}

static void test_split_lies(void **state)
{
    split_set good, s;
    gguf *g;
    split_init(&good);
    s = good, s.count[1] = 4;
    expect_split(&s, KVASIR_E_FORMAT, s.path[1]);
    s = good, s.count[2] = 1;
    expect_split(&s, KVASIR_E_FORMAT, s.path[2]);
    s = good, s.no[2] = 1;
    expect_split(&s, KVASIR_E_FORMAT, s.path[2]);
    s = good, s.no[2] = 3; /* outside the set */
    expect_split(&s, KVASIR_E_FORMAT, "split.no");
    s = good, s.tensors[1] = 4;
    expect_split(&s, KVASIR_E_FORMAT, s.path[1]);
    s = good, s.tensors[0] = 2;
    expect_split(&s, KVASIR_E_FORMAT, "split.tensors.count");
    s = good, s.name[2] = "a";
    expect_split(&s, KVASIR_E_FORMAT, "tensor a is there twice");
    s = good, s.count[0] = 2; /* more parts than its name says */
    expect_split(&s, KVASIR_E_FORMAT, "-00001-of-00002.gguf");
    s = good, s.count[0] = 60000;
    expect_split(&s, KVASIR_E_FORMAT, "split.count");

    s = good, s.huge = true;
    split_write(&s);
    assert_says(gguf_open(s.path[0], true, &g), KVASIR_E_FORMAT, "all tensors together overflow");

    split_write(&good);
    (void)unlink(good.path[1]);
    assert_says(gguf_open(good.path[0], false, &g), KVASIR_E_IO, good.path[1]);
    split_write(&good);
    char other[160];
    (void)snprintf(other, sizeof other, "%s/renamed.gguf", good.folder);
    assert_int_equal(rename(good.path[0], other), 0);
    assert_says(gguf_open(other, false, &g), KVASIR_E_FORMAT, "renamed.gguf");
    assert_int_equal(rename(good.path[1], other), 0);
    assert_says(gguf_open(other, false, &g), KVASIR_E_FORMAT, "open the first");
    (void)unlink(other);
    split_remove(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),      cmocka_unit_test(test_integers),    cmocka_unit_test(test_other_types),
        cmocka_unit_test(test_tensors),     cmocka_unit_test(test_variants),    cmocka_unit_test(test_order),
        cmocka_unit_test(test_long_values), cmocka_unit_test(test_header_only), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_fixtures),    cmocka_unit_test(test_files),       cmocka_unit_test(test_shrinks),
        cmocka_unit_test(test_changes),     cmocka_unit_test(test_split),       cmocka_unit_test(test_split_lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
