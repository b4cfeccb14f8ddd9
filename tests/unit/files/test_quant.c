/* Every decoder against values that gguf-py and ggml's C agreed on, bit by bit. */
#include "test.h"

#include "base/half.h"
#include "quant/iq_tables.h"
#include "quant/quant.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>

static json_int_t integer(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    assert_true(json_is_integer(v));
    return json_integer_value(v);
}

static char *sibling(const json_t *entry, const char *key, size_t *n)
{
    char name[128];
    (void)snprintf(name, sizeof name, "quant/%s", json_string_value(json_object_get(entry, key)));
    char *data = read_data(name, n);
    assert_non_null(data);
    return data;
}

/* The case that element i of an entry belongs to. */
static const char *case_of(const json_t *entry, json_int_t i)
{
    size_t k;
    json_t *c;
    json_array_foreach(json_object_get(entry, "cases"), k, c)
    {
        if (i >= integer(c, "first") && i < integer(c, "first") + integer(c, "count"))
            return json_string_value(json_object_get(c, "case"));
    }
    return "?";
}

static void check_entry(const json_t *entry)
{
    const char *type = json_string_value(json_object_get(entry, "type"));
    const quant_traits *q = quant_traits_of((uint32_t)integer(entry, "ggml_type"));
    size_t n = (size_t)integer(entry, "elements"), raw_bytes = 0, f32_bytes = 0;
    char *raw = sibling(entry, "raw", &raw_bytes), *f32 = sibling(entry, "f32", &f32_bytes);
    assert_non_null(q);
    assert_string_equal(q->name, type);
    assert_int_equal(q->block_elements, integer(entry, "block_elements"));
    assert_int_equal(q->block_bytes, integer(entry, "block_bytes"));
    assert_int_equal(f32_bytes, n * 4);
    assert_int_equal(raw_bytes, n / (size_t)q->block_elements * (size_t)q->block_bytes);

    /* Decodes at every alignment: MXFP4 blocks have 17 bytes, so rows may begin anywhere. One more element
       guards the end. */
    for (size_t shift = 0; shift < 4; shift++) {
        char *moved = malloc(raw_bytes + shift);
        float *out = malloc((n + 1) * sizeof *out);
        assert_true(moved && out);
        memcpy(moved + shift, raw, raw_bytes);
        out[n] = 12345.0f;
        q->decode(moved + shift, out, n);
        assert_true(out[n] == 12345.0f);
        for (size_t i = 0; i < n; i++) {
            float want;
            memcpy(&want, f32 + 4 * i, 4);
            if ((isnan(want) && isnan(out[i])) || f32_bits(want) == f32_bits(out[i])) continue;
            print_error("%s element %zu (%s): %a, not %a\n", type, i, case_of(entry, (json_int_t)i), (double)out[i],
                        (double)want);
            _fail(__FILE__, __LINE__);
        }
        free(moved);
        free(out);
    }
    free(raw);
    free(f32);
}

static void test_fixtures(void **state)
{
    size_t size = 0, i;
    char *text = read_data("quant/manifest.json", &size);
    assert_non_null(text);
    json_t *manifest = json_loadb(text, size, 0, NULL), *entry;
    assert_true(json_array_size(manifest) >= 26);
    json_array_foreach(manifest, i, entry) check_entry(entry);
    json_decref(manifest);
    free(text);
}

/* Every type that holds weights must have fixtures, except the two that are plain copies (tested below). */
static void test_coverage(void **state)
{
    size_t size = 0, i;
    char *text = read_data("quant/manifest.json", &size);
    assert_non_null(text);
    json_t *manifest = json_loadb(text, size, 0, NULL), *entry;
    for (uint32_t id = 0; id < QUANT_TYPES; id++) {
        const quant_traits *q = quant_traits_of(id);
        bool found = !q || !q->decode || id == QUANT_F32 || id == QUANT_F64;
        json_array_foreach(manifest, i, entry) found = found || integer(entry, "ggml_type") == (json_int_t)id;
        if (!found) print_error("no fixture for %s\n", q->name);
        assert_true(found);
    }
    json_decref(manifest);
    free(text);
}

static void test_plain(void **state)
{
    const float f32[3] = {-0.0f, 1.5f, INFINITY};
    const double f64[3] = {-0.0, 1.0 / 3.0, 1e300};
    float out[3];
    quant_traits_of(QUANT_F32)->decode(f32, out, 3);
    assert_memory_equal(out, f32, sizeof f32);
    quant_traits_of(QUANT_F64)->decode(f64, out, 3);
    assert_int_equal(f32_bits(out[0]), 0x80000000u);
    assert_int_equal(f32_bits(out[1]), f32_bits(1.0f / 3.0f));
    assert_true(isinf(out[2]));
}

static void test_traits(void **state)
{
    static const uint32_t integers[] = {QUANT_I8, QUANT_I16, QUANT_I32, QUANT_I64};
    static const uint32_t absent[] = {4, 5, 9, 15, 31, 32, 33, 36, 38, 63, 64, 1000, UINT32_MAX};
    for (size_t i = 0; i < 4; i++) assert_null(quant_traits_of(integers[i])->decode);
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) assert_null(quant_traits_of(absent[i]));
    assert_string_equal(quant_traits_of(QUANT_IQ2_XXS)->name, "IQ2_XXS");
}

static uint64_t fnv1a(const void *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (const unsigned char *b = p; n; n--) h = (h ^ *b++) * 0x100000001b3u;
    return h;
}

/* The fixtures do not visit every row of every grid. These are the hashes of ggml's own tables in memory. */
static void test_grids(void **state)
{
    static const struct {
        const void *grid;
        size_t bytes;
        uint64_t hash;
    } tables[] = {
        {iq2xxs_grid, sizeof iq2xxs_grid, 0xbb4ee025b5ac6e8eu}, {iq2xs_grid, sizeof iq2xs_grid, 0xc9b1ee61e79909bdu},
        {iq2s_grid, sizeof iq2s_grid, 0x123edd38a3b62b90u},     {iq3xxs_grid, sizeof iq3xxs_grid, 0xdfa5dc83d6a155d5u},
        {iq3s_grid, sizeof iq3s_grid, 0xfa37020c25b44829u},     {iq1s_grid, sizeof iq1s_grid, 0x6703ed863501ae2eu},
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        assert_true(fnv1a(tables[i].grid, tables[i].bytes) == tables[i].hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixtures), cmocka_unit_test(test_coverage), cmocka_unit_test(test_grids),
        cmocka_unit_test(test_plain),    cmocka_unit_test(test_traits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
