/* base: statuses, quoting, arena, files, halves, CPU levels, the team. */
#include "test.h"

#include "base/checked.h"
#include "base/cores.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/half.h"
#include "base/mem.h"
#include "base/team.h"

#include <math.h>
#include <stdatomic.h>
#include <unistd.h>

static void test_status(void **state)
{
    (void)state;
    assert_string_equal(kvasir_status_name(KVASIR_E_FORMAT), "KVASIR_E_FORMAT");
    assert_string_equal(kvasir_strerror((kvasir_status)99), "unknown status");
    assert_int_equal(fail(KVASIR_E_IO, "tensor %s", quoted("a\nb\xff", 4)), KVASIR_E_IO);
    assert_string_equal(kvasir_message(), "tensor a\\x0ab\\xff");
    char longer[400];
    memset(longer, 'x', sizeof longer);
    assert_true(strlen(quoted(longer, sizeof longer)) < 96);
}

/* What a terminal may not have, and its neighbours, which it may. */
static void test_shown(void **state)
{
    (void)state;
    static const uint32_t shown[] = {' ',    '~',    0xa0,   0xe9,   0x61b,  0x61c,  0x61d,  0x200d, 0x200e,  0x200f,
                                     0x2010, 0x2027, 0x202f, 0x2065, 0x206a, 0xd7ff, 0xe000, 0xfffd, 0x10000, 0x10fffd};
    static const uint32_t not_shown[] = {0,      '\n',   0x1b,   0x1f,   0x7f,    0x80,     0x9b,
                                         0x9f,   0x2028, 0x2029, 0x202a, 0x202e,  0x2066,   0x2069,
                                         0xd800, 0xdfff, 0xfffe, 0xffff, 0x1ffff, 0x110000, UINT32_MAX};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) assert_true(shown_character(shown[i]));
    for (size_t i = 0; i < sizeof not_shown / sizeof *not_shown; i++) assert_false(shown_character(not_shown[i]));
    static const struct {
        const char *text;
        size_t n;
    } texts[] = {{"a", 1},
                 {"\xc3\xa9", 2},
                 {"\xe6\x97\xa5", 3},
                 {"\xf0\x9f\x98\x80", 4},
                 {"\x1b", 0},
                 {"\xc2\x9b", 0},
                 {"\xe2\x80\xae", 0},
                 {"\xe2\x81\xa6", 0},
                 {"\xd8\x9c", 2},
                 {"\xff", 0},
                 {"\xc3", 0},
                 {"\xc1\xa1", 0},
                 {"\xe0\x80\xa1", 0},
                 {"\xed\xa0\x80", 0},
                 {"\xf4\x90\x80\x80", 0},
                 {"\xf8\x88\x80\x80\x80", 0},
                 {"\x80", 0}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(shown_sequence(texts[i].text, strlen(texts[i].text)), texts[i].n);
    assert_string_equal(quoted("a\xe2\x80\xa8z", 5), "a\\xe2\\x80\\xa8z");
}

static void test_checked(void **state)
{
    (void)state;
    uint64_t v;
    assert_false(ck_add(UINT64_MAX, 1, &v));
    assert_false(ck_mul(UINT64_MAX / 2, 3, &v));
    assert_false(ck_align(UINT64_MAX - 3, 64, &v));
    assert_true(ck_align(65, 64, &v) && v == 128);
}

static void test_arena(void **state)
{
    (void)state;
    arena a = {0};
    for (size_t i = 1; i < 3000; i++) {
        unsigned char *p = arena_alloc(&a, i, 7);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t j = 0; j < i * 7; j++) assert_int_equal(p[j], 0);
        memset(p, 0xaa, i * 7);
    }
    assert_null(arena_alloc(&a, SIZE_MAX, 2));
    assert_string_equal(arena_text(&a, "abc", 2), "ab");
    arena_free(&a);
    mem_forbid(true);
    assert_null(mem_alloc(1, 1));
    mem_forbid(false);
    assert_int_equal(mem_forbidden(), 1);
}

static void test_file(void **state)
{
    (void)state;
    char name[] = "/tmp/kvasir-base-XXXXXX", buf[8];
    int fd = mkstemp(name);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    file *f;
    assert_ok(file_open(name, &f));
    assert_int_equal(file_size(f), 10);
    assert_ok(file_read(f, 4, buf, 6));
    assert_memory_equal(buf, "456789", 6);
    assert_int_equal(file_read(f, 5, buf, 6), KVASIR_E_FORMAT);
    assert_int_equal(file_read(f, UINT64_MAX, buf, 6), KVASIR_E_FORMAT);
    assert_int_equal(ftruncate(fd, 3), 0);
    assert_int_equal(file_read(f, 1, buf, 6), KVASIR_E_FORMAT);
    assert_non_null(strstr(kvasir_message(), "shrank"));
    file_close(f);
    (void)close(fd);
    (void)unlink(name);
    assert_int_equal(file_open(name, &f), KVASIR_E_IO);
    assert_int_equal(file_open("/tmp", &f), KVASIR_E_IO);
}

static void test_half(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) { /* every f16 survives the way to f32 and back */
        float f = f32_from_f16((uint16_t)h);
        if (isnan(f))
            assert_true((f16_from_f32(f) & 0x7c00) == 0x7c00 && (f16_from_f32(f) & 0x3ff));
        else
            assert_int_equal(f16_from_f32(f), h);
    }
    for (uint32_t h = 0; h < 0x7bff; h++) { /* ties go to even, everything else to the nearer one */
        float a = f32_from_f16((uint16_t)h), b = f32_from_f16((uint16_t)(h + 1)), mid = (a + b) * 0.5f;
        assert_int_equal(f16_from_f32(mid), h & 1 ? h + 1 : h);
        assert_int_equal(f16_from_f32(nextafterf(mid, 0)), h);
        assert_int_equal(f16_from_f32(nextafterf(mid, INFINITY)), h + 1);
    }
    assert_int_equal(f16_from_f32(65519.996f), 0x7bff);
    assert_int_equal(f16_from_f32(65520.0f), 0x7c00);
    assert_int_equal(bf16_from_f32(f32_from_bits(0x3f808000)), 0x3f80);
    assert_int_equal(bf16_from_f32(f32_from_bits(0x3f818000)), 0x3f82);
}

static void test_cpu(void **state)
{
    (void)state;
    cpu_level level;
    assert_ok(cpu_level_parse("ref", &level));
    assert_int_equal(level, CPU_REF);
    assert_ok(cpu_level_parse(NULL, &level));
    assert_int_equal(level, cpu_best());
    assert_int_equal(cpu_level_parse("sse9", &level), KVASIR_E_ARGUMENT);
    assert_true(cpu_count() >= 1);
}

typedef struct counting {
    team *t;
    atomic_int seen[64];
    int rounds[8];
    atomic_int wrong;
} counting;

static void count_tiles(void *arg, int tid)
{
    counting *c = arg;
    for (int round = 0; round < 100; round++) {
        for (int i; (i = team_next(c->t)) < 64;) c->seen[i]++;
        c->rounds[tid] = round;
        team_barrier(c->t);
        for (int i = 0; i < team_size(c->t); i++) c->wrong += c->rounds[i] != round;
        team_barrier(c->t);
    }
}

enum { OWN_TILES = 7 };

/* All tiles of all owners are taken by whichever thread comes. In the first of three rounds thread 0 leaves its own
   to the others. */
static void take_tiles(void *arg, int tid)
{
    counting *c = arg;
    const int n = team_size(c->t);
    for (int round = 0; round < 99; round++) {
        bool lazy = tid == 0 && n > 1 && round % 3 == 0;
        for (int i = 0; i < n && !lazy; i++) {
            int owner = (tid + i) % n, last = -1;
            for (int tile; (tile = team_take(c->t, owner, OWN_TILES)) >= 0; last = tile) {
                c->wrong += tile <= last || tile >= OWN_TILES;
                c->seen[owner * OWN_TILES + tile]++;
            }
        }
        team_barrier(c->t);
        c->wrong += team_take(c->t, tid, 0) >= 0; /* an operation with nothing to do */
        c->wrong += team_peek(c->t) != 0;
        team_barrier(c->t);
    }
}

static void test_own_tiles(void **state)
{
    (void)state;
    for (int n = 1; n <= 4; n++) {
        counting c = {0};
        assert_ok(team_create(n, &c.t));
        for (int i = 0; i < 10; i++) team_run(c.t, take_tiles, &c);
        team_free(c.t);
        assert_int_equal(c.wrong, 0);
        for (int i = 0; i < n * OWN_TILES; i++) assert_int_equal(c.seen[i], 990);
    }
}

static void test_team(void **state)
{
    (void)state;
    for (int n = 1; n <= 4; n++) {
        counting c = {0};
        assert_ok(team_create(n, &c.t));
        for (int i = 0; i < 10; i++) {
            if (i == 5) (void)usleep(30000); /* long enough that the threads sleep */
            team_run(c.t, count_tiles, &c);
        }
        team_free(c.t);
        assert_int_equal(c.wrong, 0);
        for (int i = 0; i < 64; i++) assert_int_equal(c.seen[i], 1000);
    }
    team *t;
    assert_int_equal(team_create(0, &t), KVASIR_E_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status), cmocka_unit_test(test_shown), cmocka_unit_test(test_checked),
        cmocka_unit_test(test_arena),  cmocka_unit_test(test_file),  cmocka_unit_test(test_half),
        cmocka_unit_test(test_cpu),    cmocka_unit_test(test_team),  cmocka_unit_test(test_own_tiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
