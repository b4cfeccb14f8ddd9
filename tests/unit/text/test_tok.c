/* tok compared with the reference engine's ids, for three real vocabularies (the jsonl files of tokenizer/
   in the data folders, see data_path). A model that is not there is skipped; KVASIR_MODELS names another
   folder than ~/.cache/kvasir/models. */
#include "test.h"

#include "base/clock.h"
#include "base/mem.h"
#include "model/vocab.h"
#include "tok/tok.h"

#include <jansson.h>

typedef struct model {
    gguf *g;
    tok *t;
    arena memory;
} model;

static bool open_model(const char *name, model *m)
{
    char path[1024];
    const char *folder = getenv("KVASIR_MODELS"), *home = getenv("HOME");
    if (folder)
        (void)snprintf(path, sizeof path, "%s/%s.gguf", folder, name);
    else
        (void)snprintf(path, sizeof path, "%s/.cache/kvasir/models/%s.gguf", home ? home : "", name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        print_message("%s is not there\n", path);
        return false;
    }
    (void)fclose(f);
    assert_ok(gguf_open(path, true, &m->g));
    double start = clock_now();
    assert_ok(model_vocab(m->g, NULL, &m->memory, NULL, &m->t));
    print_message("%s: %d tokens loaded in %.1f ms\n", name, tok_size(m->t), 1e3 * (clock_now() - start));
    return true;
}

static void close_model(model *m)
{
    tok_free(m->t);
    gguf_free(m->g);
    arena_free(&m->memory);
}

static size_t unhex(const char *hex, char *to)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned v;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
        to[i] = (char)v;
    }
    return n;
}

/* The streamed text is the decoded one, with U+FFFD for what is not UTF-8. Where all is UTF-8 they are equal. */
static void check_stream(const tok *t, const int32_t *ids, size_t n, const char *whole, size_t n_whole, bool valid)
{
    tok_stream s = {0};
    char *streamed = malloc(3 * n_whole + TOK_STREAM_ROOM);
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        size_t more = tok_stream_next(t, &s, ids[i], true, streamed + used, TOK_STREAM_ROOM);
        if (more) assert_true(((unsigned char)streamed[used] & 0xc0) != 0x80); /* never begins inside a character */
        used += more;
    }
    used += tok_stream_end(&s, streamed + used, TOK_STREAM_ROOM);
    if (valid) {
        assert_int_equal(used, n_whole);
        assert_memory_equal(streamed, whole, used);
    } else {
        assert_non_null(memmem(streamed, used, "\xef\xbf\xbd", 3));
    }
    free(streamed);
}

static void check_decoding(const tok *t, const json_t *record, const char *text, size_t n, const int32_t *ids,
                           size_t n_ids)
{
    char *back;
    size_t n_back, n_want = n, n_bos = 0;
    const char *hex = json_string_value(json_object_get(record, "back_hex"));
    char *want = malloc(n + 1 + (hex ? strlen(hex) : 0));
    if (hex)
        n_want = unhex(hex, want);
    else
        memcpy(want, text, n);
    assert_ok(tok_decode(t, ids, n_ids, true, &back, &n_back));
    if (!hex && n_ids && tok_adds_bos(t) && json_is_true(json_object_get(record, "add_special")))
        n_bos = tok_piece(t, tok_bos(t), true, NULL, 0);
    assert_int_equal(n_back, n_bos + n_want);
    assert_memory_equal(back + n_bos, want, n_want);
    bool invalid = strcmp(json_string_value(json_object_get(record, "class")), "invalid") == 0;
    if (!invalid || !memmem(back, n_back, "\xed\xa0\x80", 3)) {
        json_t *probe = json_stringn(back, n_back); /* NULL when it is not UTF-8 */
        check_stream(t, ids, n_ids, back, n_back, probe != NULL);
        json_decref(probe);
    }
    mem_free(back);
    free(want);
}

static void check_record(const tok *t, const json_t *record, const char *where, int line)
{
    const json_t *text = json_object_get(record, "text"), *want = json_object_get(record, "ids");
    const char *hex = json_string_value(json_object_get(record, "bytes_hex"));
    char *bytes = malloc(hex ? strlen(hex) + 1 : json_string_length(text) + 1);
    size_t n = hex ? unhex(hex, bytes) : json_string_length(text), n_ids;
    int32_t *ids;
    if (!hex) memcpy(bytes, json_string_value(text), n);
    assert_ok(tok_encode(t, bytes, n, json_is_true(json_object_get(record, "add_special")),
                         json_is_true(json_object_get(record, "parse_special")), &ids, &n_ids));
    if (!json_is_null(want)) { /* null: the reference ends its process on this input */
        bool same = n_ids == json_array_size(want);
        for (size_t i = 0; same && i < n_ids; i++) same = ids[i] == json_integer_value(json_array_get(want, i));
        if (!same) {
            char *dump = json_dumps(record, 0);
            print_error("%s:%d: got", where, line);
            for (size_t i = 0; i < n_ids; i++) print_error(" %d", ids[i]);
            print_error("\nfor %s\n", dump);
            free(dump);
        }
        assert_true(same);
        check_decoding(t, record, bytes, n, ids, n_ids);
    }
    mem_free(ids);
    free(bytes);
}

static void check_fixture(const char *name, const char *pre, const char *kind)
{
    char fixture[128];
    model m = {0};
    size_t size = 0;
    int line = 0;
    (void)snprintf(fixture, sizeof fixture, "tokenizer/%s.jsonl", name);
    if (!open_model(name, &m)) skip();
    assert_string_equal(tok_pre_name(m.t), pre);
    assert_string_equal(tok_model_name(m.t), kind);
    char *all = read_data(fixture, &size);
    assert_non_null(all);
    for (char *at = all, *end; at < all + size && (end = strchr(at, '\n')); at = end + 1, line++) {
        json_t *record = json_loadb(at, (size_t)(end - at), JSON_ALLOW_NUL, NULL);
        assert_non_null(record);
        check_record(m.t, record, fixture, line + 1);
        json_decref(record);
    }
    assert_true(line > 30);
    free(all);
    close_model(&m);
}

static void test_smollm(void **state)
{
    check_fixture("smollm2-135m-q4_1", "smollm", "bpe");
}

static void test_qwen(void **state)
{
    check_fixture("qwen2.5-coder-1.5b-q4_k_m", "qwen2", "bpe");
}

static void test_gemma(void **state)
{
    check_fixture("gemma3-270m-q4_k_m", "", "spm");
}

static void test_properties(void **state)
{
    model m = {0};
    size_t n;
    if (!open_model("qwen2.5-coder-1.5b-q4_k_m", &m)) skip();
    int32_t end = tok_find(m.t, "<|im_end|>", 10), text_end = tok_find(m.t, "<|endoftext|>", 13);
    assert_true(end > 0 && tok_is_control(m.t, end) && tok_is_eog(m.t, end));
    assert_true(tok_is_eog(m.t, text_end) && tok_is_eog(m.t, tok_eos(m.t)));
    assert_false(tok_adds_bos(m.t));
    assert_string_equal(tok_raw(m.t, end, &n), "<|im_end|>");
    assert_int_equal(n, 10);
    assert_int_equal(tok_piece(m.t, end, false, NULL, 0), 0);
    assert_int_equal(tok_piece(m.t, end, true, NULL, 0), 10);
    tok *other;
    assert_int_equal(model_vocab(m.g, "no-such-pattern", &m.memory, NULL, &other), KVASIR_E_UNSUPPORTED);
    assert_non_null(strstr(kvasir_message(), "no-such-pattern"));
    assert_non_null(strstr(kvasir_message(), "deepseek-v3"));
    assert_ok(model_vocab(m.g, "gpt-4o", &m.memory, NULL, &other));
    assert_string_equal(tok_pre_name(other), "gpt-4o");
    tok_free(other);
    close_model(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_smollm), cmocka_unit_test(test_qwen),
                                       cmocka_unit_test(test_gemma), cmocka_unit_test(test_properties)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
