/* The server's parts without a network: requests, keys, and which sequence a prompt begins with. */
#include "engine_rig.h"

#include "base/mem.h"
#include "server/openai/read.h"
#include "server/schedule/kept.h"
#include "server/schedule/schedule.h"

#include <unistd.h>

static const char chat_template[] = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
static const kvasir_sampler_options sampling = {.temperature = 0.5f, .top_k = 40, .top_p = 0.9f};

static rig open_rig(void)
{
    tiny_model t = tiny_llama();
    t.n_vocab = 300;
    t.bytes = true;
    return rig_open(&t, &(kvasir_engine_options){.n_threads = 1, .max_batch = 64});
}

static request_rules rules_of(const rig *r)
{
    return (request_rules){
        .model = r->m, .name = "tiny", .template_text = chat_template, .sampling = &sampling, .has_seed = 1, .ctx = 50};
}

/* ---- requests ---- */

static int read_text(const rig *r, int chat, const char *body, request *q, http_error *e)
{
    request_rules rules = rules_of(r);
    return request_read(&rules, chat, body, strlen(body), q, e);
}

static void test_fields(void **state)
{
    rig r = open_rig();
    request q;
    http_error e;
    (void)state;
    assert_int_equal(
        0, read_text(&r, 0,
                     "{\"prompt\": \"ab\", \"model\": \"tiny\", \"temperature\": 0, \"top_p\": 1, \"top_k\": -1,"
                     "\"max_tokens\": 7, \"stop\": [\"x\", \"yz\"], \"seed\": -5, \"stream\": true, \"n\": 1,"
                     "\"stream_options\": {\"include_usage\": true}, \"logit_bias\": {\"3\": -100, \"4\": 1.5},"
                     "\"tools\": [], \"tool_choice\": \"none\", \"response_format\": {\"type\": \"text\"},"
                     "\"user\": \"somebody\", \"min_p\": null, \"logprobs\": false}",
                     &q, &e));
    assert_true(q.n_ids > 0 && q.stream && q.include_usage && !q.chat);
    assert_int_equal(7, q.max_tokens);
    assert_true(q.sampling.temperature == 0 && q.sampling.top_p == 0 && q.sampling.top_k == 0);
    assert_int_equal(2, q.n_stop);
    assert_string_equal("yz", q.stop[1]);
    assert_int_equal(2, q.sampling.n_bias);
    assert_true(q.bias[0].id + q.bias[1].id == 7);
    assert_true(q.sampling.seed == (uint64_t)-5);
    request_free(&q);
    /* What the request does not say is taken from the server. */
    assert_int_equal(0, read_text(&r, 0, "{\"prompt\": [1, 2, 299], \"stop\": \"s\", \"max_completion_tokens\": 3}", &q,
                                  &e));
    assert_int_equal(3, q.n_ids);
    assert_int_equal(299, q.ids[2]);
    assert_true(q.sampling.temperature == 0.5f && q.sampling.top_k == 40 && q.sampling.seed == 0 && !q.stream);
    assert_int_equal(3, q.max_tokens);
    request_free(&q);
    rig_close(&r);
}

static void test_messages(void **state)
{
    rig r = open_rig();
    request q, same;
    http_error e;
    (void)state;
    assert_int_equal(0, read_text(&r, 1, "{\"messages\": [{\"role\": \"user\", \"content\": \"hel\\nlo\"}]}", &q, &e));
    assert_int_equal(
        0, read_text(&r, 1,
                     "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"hel\"},"
                     "{\"type\": \"text\", \"text\": \"lo\"}]}]}",
                     &same, &e));
    assert_int_equal(q.n_ids, same.n_ids);
    assert_memory_equal(q.ids, same.ids, q.n_ids * sizeof *q.ids);
    char *text;
    size_t n;
    assert_ok(kvasir_detokenize(r.m, q.ids, q.n_ids, 1, &text, &n));
    assert_non_null(strstr(text, "<user>hel\nlo"));
    kvasir_free(text);
    request_free(&q);
    request_free(&same);
    rig_close(&r);
}

/* Seeds of 64 bits, with a sign or without one. What looks like a seed and is none is left alone. */
static void test_seeds(void **state)
{
    static const struct {
        const char *body;
        uint64_t seed;
    } cases[] = {
        {"{\"prompt\": \"a\", \"seed\": 18446744073709551615}", UINT64_MAX},
        {"{\"seed\" : 9223372036854775808 , \"prompt\": \"a\"}", (uint64_t)1 << 63},
        {"{\"prompt\": \"a\", \"seed\": 9223372036854775807}", INT64_MAX},
        {"{\"prompt\": \"a\", \"seed\": -9223372036854775808}", (uint64_t)1 << 63},
        {"{\"prompt\": \"\\\"seed\\\": 3\", \"x\": {\"seed\": 1}, \"seed\": 18446744073709551614}", UINT64_MAX - 1},
    };
    rig r = open_rig();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        request q;
        http_error e;
        assert_int_equal(0, read_text(&r, 0, cases[i].body, &q, &e));
        assert_true(q.sampling.seed == cases[i].seed);
        request_free(&q);
    }
    request q;
    http_error e;
    assert_int_equal(400, read_text(&r, 0, "{\"prompt\": \"a\", \"x\": {\"seed\": 18446744073709551615}}", &q, &e));
    request_free(&q);
    rig_close(&r);
}

/* The list of names stays within its bounds and could stand in a header, whatever the names are. */
static void test_ignored(void **state)
{
    char list[REQUEST_IGNORED_BYTES] = "";
    (void)state;
    ignore_field(list, NULL, "user");
    ignore_field(list, "stream_options", "x");
    ignore_field(list, NULL, "user");
    ignore_field(list, NULL, "us");
    ignore_field(list, NULL, "");
    ignore_field(list, NULL, "a\r\nX: b, c\xc3\xa4");
    assert_string_equal("user, stream_options.x, us, ?, a??X??b??c??", list);
    for (int i = 0; i < 200; i++) {
        char name[100];
        (void)snprintf(name, sizeof name, "name_%d_%060d", i, 0);
        ignore_field(list, NULL, name);
    }
    assert_true(strlen(list) < sizeof list && strcmp(list + strlen(list) - 5, ", ...") == 0);
}

static void test_refusals(void **state)
{
    static const struct {
        int chat, status;
        const char *body, *code, *param;
    } cases[] = {
        {0, 400, "", "invalid_json", ""},
        {0, 400, "[]", "invalid_json", ""},
        {0, 400, "{\"prompt\": \"a\", \"prompt\": \"b\"}", "invalid_json", ""},
        {0, 400, "{\"prompt\": \"a\", \"stop\": \"b\\u0000c\"}", "invalid_value", "stop"},
        {0, 404, "{\"prompt\": \"a\", \"model\": \"tiny\\u0000\"}", "model_not_found", "model"},
        {0, 400, "{\"prompt\": \"\xff\"}", "invalid_json", ""},
        {0, 400, "{}", "invalid_value", "prompt"},
        {0, 400, "{\"prompt\": null}", "invalid_value", "prompt"},
        {0, 400, "{\"prompt\": []}", "invalid_value", "prompt"},
        {0, 400, "{\"prompt\": [1, -1]}", "invalid_value", "prompt"},
        {0, 400, "{\"prompt\": [300]}", "invalid_value", "prompt"},
        {0, 400, "{\"prompt\": [1.5]}", "invalid_value", "prompt"},
        {0, 400, "{\"prompt\": [\"a\", \"b\"]}", "unsupported", "prompt"},
        {0, 404, "{\"prompt\": \"a\", \"model\": \"gpt\"}", "model_not_found", "model"},
        {0, 400, "{\"prompt\": \"a\", \"model\": 3}", "invalid_value", "model"},
        {0, 400, "{\"prompt\": \"a\", \"temperature\": -1}", "invalid_value", "temperature"},
        {0, 400, "{\"prompt\": \"a\", \"temperature\": \"hot\"}", "invalid_value", "temperature"},
        {0, 400, "{\"prompt\": \"a\", \"top_p\": 1.5}", "invalid_value", "top_p"},
        {0, 400, "{\"prompt\": \"a\", \"max_tokens\": -2}", "invalid_value", "max_tokens"},
        {0, 400, "{\"prompt\": \"a\", \"max_tokens\": 1e9}", "invalid_value", "max_tokens"},
        {0, 400, "{\"prompt\": \"a\", \"stop\": [1]}", "invalid_value", "stop"},
        {0, 400, "{\"prompt\": \"a\", \"logit_bias\": {\"x\": 1}}", "invalid_value", "logit_bias"},
        {0, 400, "{\"prompt\": \"a\", \"logit_bias\": {\"300\": 1}}", "invalid_value", "logit_bias"},
        {0, 400, "{\"prompt\": \"a\", \"logit_bias\": {\"3\": 101}}", "invalid_value", "logit_bias"},
        {0, 400, "{\"prompt\": \"a\", \"seed\": 1.5}", "invalid_value", "seed"},
        {0, 400, "{\"prompt\": \"a\", \"n\": 2}", "unsupported", "n"},
        {0, 400, "{\"prompt\": \"a\", \"n\": 0}", "invalid_value", "n"},
        {0, 400, "{\"prompt\": \"a\", \"best_of\": 3}", "unsupported", "best_of"},
        {0, 400, "{\"prompt\": \"a\", \"logprobs\": 1}", "unsupported", "logprobs"},
        {0, 400, "{\"prompt\": \"a\", \"echo\": true}", "unsupported", "echo"},
        {0, 400, "{\"prompt\": \"a\", \"suffix\": \"z\"}", "unsupported", "suffix"},
        {0, 400, "{\"prompt\": \"a\", \"max_tokens\": 3, \"n_predict\": 4}", "invalid_value", "n_predict"},
        {0, 400, "{\"prompt\": \"a\", \"guided_choice\": [\"x\"]}", "unsupported", "guided_choice"},
        {0, 400, "{\"prompt\": \"a\", \"seed\": 18446744073709551616}", "invalid_json", ""},
        {0, 400, "{\"prompt\": [[]]}", "invalid_value", "prompt"},
        {1, 400, "{}", "invalid_value", "messages"},
        {1, 400, "{\"messages\": []}", "invalid_value", "messages"},
        {1, 400, "{\"messages\": [3]}", "invalid_value", "messages"},
        {1, 400, "{\"messages\": [{\"content\": \"a\"}]}", "invalid_value", "messages"},
        {1, 400, "{\"messages\": [{\"role\": \"user\", \"content\": 3}]}", "invalid_value", "messages"},
        {1, 400, "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\"}]}]}", "unsupported",
         "messages"},
        {1, 400, "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\"}]}]}", "invalid_value",
         "messages"},
        {1, 400, "{\"messages\": [{\"role\": \"u\", \"content\": \"a\"}], \"tools\": [{}]}", "unsupported", "tools"},
        {1, 400, "{\"messages\": [{\"role\": \"u\", \"content\": \"a\"}], \"tool_choice\": \"required\"}",
         "unsupported", "tool_choice"},
        {1, 400,
         "{\"messages\": [{\"role\": \"u\", \"content\": \"a\"}], \"response_format\": {\"type\": \"json_object\"}}",
         "unsupported", "response_format"},
        {1, 400, "{\"messages\": [{\"role\": \"u\", \"content\": \"a\"}], \"top_logprobs\": 2}", "unsupported",
         "top_logprobs"},
    };
    rig r = open_rig();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        request q;
        http_error e;
        int status = read_text(&r, cases[i].chat, cases[i].body, &q, &e);
        if (status != cases[i].status || strcmp(e.code, cases[i].code) != 0 || strcmp(e.param, cases[i].param) != 0)
            print_error("%s: %d %s %s\n", cases[i].body, status, status ? e.code : "", status ? e.param : "");
        assert_int_equal(cases[i].status, status);
        assert_string_equal(cases[i].code, e.code);
        assert_string_equal(cases[i].param, e.param);
        request_free(&q);
    }
    rig_close(&r);
}

/* The prompt may fill the context, but not be one token longer. */
static void test_context(void **state)
{
    rig r = open_rig();
    char body[1024];
    (void)state;
    for (int n = 50; n <= 51; n++) {
        request q;
        http_error e;
        int at = snprintf(body, sizeof body, "{\"prompt\": [1");
        for (int i = 1; i < n; i++) at += snprintf(body + at, sizeof body - (size_t)at, ", 7");
        (void)snprintf(body + at, sizeof body - (size_t)at, "]}");
        assert_int_equal(n == 50 ? 0 : 400, read_text(&r, 0, body, &q, &e));
        if (n == 51) {
            assert_string_equal("context_length_exceeded", e.code);
            assert_non_null(strstr(e.message, "51"));
            assert_non_null(strstr(e.message, "50"));
        }
        request_free(&q);
    }
    rig_close(&r);
}

/* ---- keys ---- */

static void write_keys(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

static void test_keys(void **state)
{
    char path[] = "/tmp/kvasir-keys-XXXXXX", longest[400];
    keys k = {0};
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    (void)close(fd);
    write_keys(path, "# mine\n  one \r\ntwo\n\n");
    assert_ok(keys_read(&k, path));
    assert_int_equal(0, keys_find(&k, "one"));
    assert_int_equal(1, keys_find(&k, "two"));
    assert_int_equal(-1, keys_find(&k, "on"));
    assert_int_equal(-1, keys_find(&k, "one "));
    assert_int_equal(-1, keys_find(&k, ""));
    assert_int_equal(-1, keys_find(&k, "# mine"));
    write_keys(path, "three\ntwo"); /* a key that stays keeps its place; one that is gone is refused */
    assert_ok(keys_read(&k, path));
    assert_int_equal(-1, keys_find(&k, "one"));
    assert_int_equal(1, keys_find(&k, "two"));
    assert_int_equal(2, keys_find(&k, "three"));
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    const char *const wrong[] = {"", "# nothing\n", longest};
    for (int i = 0; i < 3; i++) {
        write_keys(path, wrong[i]);
        assert_int_equal(KVASIR_E_ARGUMENT, keys_read(&k, path));
        assert_int_equal(1, keys_find(&k, "two"));
    }
    assert_int_equal(-1, keys_find(&k, longest));
    (void)unlink(path);
    assert_int_equal(KVASIR_E_IO, keys_read(&k, path));
    keys_free(&k);
}

/* However often keys change, those that are gone are refused and no number is given to somebody else. */
static void test_rotated_keys(void **state)
{
    char path[] = "/tmp/kvasir-keys-XXXXXX", one[32], text[64 << 10];
    keys k = {0};
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    (void)close(fd);
    for (int turn = 0; turn < 20; turn++) {
        size_t at = 0;
        for (int i = 0; i < 500; i++) at += (size_t)sprintf(text + at, "r%d-%d\n", turn, i);
        write_keys(path, text);
        assert_ok(keys_read(&k, path));
        assert_int_equal(500, k.n);
        (void)sprintf(one, "r%d-499", turn);
        assert_int_equal(500 * turn + 499, keys_find(&k, one));
        (void)sprintf(one, "r%d-499", turn - 1);
        assert_int_equal(-1, keys_find(&k, one));
    }
    (void)unlink(path);
    keys_free(&k);
}

/* ---- kept sequences ---- */

static kvasir_seq *seq_of(const rig *r, int n)
{
    kvasir_seq *seq = rig_seq(r, 400);
    rig_feed(r, seq, n);
    return seq;
}

static void test_kept(void **state)
{
    rig r = open_rig();
    server_options o = {.engine = r.e, .model = r.m, .seq = {.n_ctx = 400}};
    server *s = calloc(1, sizeof *s);
    int32_t ids[300];
    int common;
    (void)state;
    s->o = &o;
    for (int i = 0; i < 300; i++) ids[i] = rig_id(&r, i);
    assert_null(kept_find(s, 1, ids, 300, &common));
    s->turn = 1;
    kept_add(s, seq_of(&r, 100), 1);
    s->turn = 2;
    kept_add(s, seq_of(&r, 250), 1);
    kept_add(s, seq_of(&r, 290), 2); /* somebody else's */
    kvasir_seq *from = kept_find(s, 1, ids, 300, &common);
    assert_ptr_equal(s->kept[1].seq, from);
    assert_int_equal(250, common);
    assert_null(kept_find(s, 3, ids, 300, &common));
    assert_ptr_equal(from, kept_find(s, 1, ids, 120, &common)); /* the last token must be computed */
    assert_int_equal(119, common);
    assert_null(kept_find(s, 1, ids + 1, 200, &common));
    /* Much of the sequence would be lost, so it is forked and the old one stays. */
    kvasir_seq *seq = NULL;
    assert_ok(kept_begin(s, from, 119, &seq));
    assert_int_equal(3, s->n_kept);
    assert_int_equal(119, kvasir_seq_length(seq));
    assert_int_equal(250, kvasir_seq_length(from));
    kvasir_seq_free(seq);
    /* Nearly all of the sequence is wanted, so it is taken over. */
    s->turn = 3;
    assert_ok(kept_begin(s, from, 240, &seq));
    assert_ptr_equal(from, seq);
    assert_int_equal(2, s->n_kept);
    assert_int_equal(240, kvasir_seq_length(seq));
    kept_add(s, seq, 1);
    /* The oldest one goes first. */
    assert_true(kept_evict(s) && s->n_kept == 2);
    assert_int_equal(240 + 290, kvasir_seq_length(s->kept[0].seq) + kvasir_seq_length(s->kept[1].seq));
    assert_true(kept_evict(s) && s->n_kept == 1 && kvasir_seq_length(s->kept[0].seq) == 240);
    assert_true(kept_bytes(s) > 0);
    assert_true(kept_evict(s) && s->n_kept == 0);
    assert_false(kept_evict(s));
    kept_free(s);
    free(s);
    rig_close(&r);
}

/* ---- text as it comes (the public functions that the server uses) ---- */

static void test_detokenizer(void **state)
{
    rig r = open_rig();
    static const char said[] = "one two \xe2\x82\xac three";
    static const char *const stops[] = {"thr"};
    int32_t *ids;
    size_t n_ids, n, from_stop = strlen(said) - strlen("three");
    (void)state;
    assert_ok(kvasir_tokenize(r.m, said, strlen(said), 0, 0, &ids, &n_ids));
    for (int with_stop = 0; with_stop < 2; with_stop++) {
        kvasir_detokenizer *d;
        char text[64] = "";
        int stopped = -1;
        assert_ok(kvasir_detokenizer_create(r.m, stops, with_stop, 0, &d));
        for (size_t i = 0; i < n_ids; i++) {
            assert_ok(kvasir_detokenizer_add(d, ids[i], &stopped));
            if (i % 3 != 2) continue; /* several tokens at a time */
            const char *piece = kvasir_detokenizer_text(d, &n);
            assert_int_equal(strlen(piece), n);
            (void)strcat(text, piece);
            assert_string_equal("", kvasir_detokenizer_text(d, &n)); /* only once */
        }
        assert_ok(kvasir_detokenizer_end(d));
        (void)strcat(text, kvasir_detokenizer_text(d, &n));
        assert_int_equal(with_stop ? 0 : -1, stopped);
        assert_int_equal(with_stop ? from_stop : strlen(said), strlen(text));
        assert_memory_equal(said, text, strlen(text));
        assert_int_equal(KVASIR_E_ARGUMENT, kvasir_detokenizer_add(d, 300, NULL));
        assert_int_equal(KVASIR_E_ARGUMENT, kvasir_detokenizer_add(d, -1, NULL));
        kvasir_detokenizer_free(d);
    }
    kvasir_free(ids);
    rig_close(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),  cmocka_unit_test(test_messages),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_context), cmocka_unit_test(test_keys),        cmocka_unit_test(test_rotated_keys),
        cmocka_unit_test(test_kept),    cmocka_unit_test(test_detokenizer), cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
