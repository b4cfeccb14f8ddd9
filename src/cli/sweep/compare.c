/* kvasir sweep --compare: two kept sweeps side by side. */
#include "cli/sweep/sweep.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The numbers that are compared: of a row, and what their columns are called. */
enum { COMPARED = 4 };
static const char *const names[COMPARED] = {"prefill_tps", "decode_tps", "ttft_ms", "kv_bytes"};
static const char *const titles[COMPARED] = {"prefill t/s", "decode t/s", "TTFT ms", "KV"};

static void compared(const sweep_row *r, double to[COMPARED])
{
    const double values[COMPARED] = {r->prefill_tps, r->decode_tps, r->ttft_ms, (double)r->kv_bytes};
    memcpy(to, values, sizeof values);
}

static double ratio(double a, double b)
{
    return a > 0 ? b / a : (double)NAN;
}

/* What should be the same and is not, a line each on stderr: a comparison of two machines is no comparison of two
   programs. */
static void note_differences(const json_t *a, const json_t *b)
{
    static const char *const parts[][2] = {{"machine", "cpu"}, {"machine", "level"},     {"machine", "threads"},
                                           {"model", "name"},  {"model", "fingerprint"}, {"options", "pp"},
                                           {"options", "tg"},  {"options", "chunk"},     {"options", "text_hash"}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const json_t *x = json_object_get(json_object_get(a, parts[i][0]), parts[i][1]);
        const json_t *y = json_object_get(json_object_get(b, parts[i][0]), parts[i][1]);
        if (json_equal(x, y)) continue;
        char *was = x ? json_dumps(x, JSON_ENCODE_ANY) : NULL, *is = y ? json_dumps(y, JSON_ENCODE_ANY) : NULL;
        note("%s.%s differs: %s and %s", parts[i][0], parts[i][1], was ? was : "nothing", is ? is : "nothing");
        free(was);
        free(is);
    }
}

/* The row of `rows` with this type and depth that was measured; 0 without one. */
static int find_row(const json_t *rows, const sweep_row *like, sweep_row *out)
{
    const json_t *item;
    size_t i;
    json_array_foreach(rows, i, item)
    {
        if (sweep_read_row(item, out) == KVASIR_OK && out->state == SWEEP_DONE && out->depth == like->depth &&
            strcmp(out->kv_k, like->kv_k) == 0 && strcmp(out->kv_v, like->kv_v) == 0)
            return 1;
    }
    return 0;
}

static void print_head(void)
{
    (void)printf("%17s", "");
    for (int i = 0; i < COMPARED; i++) (void)printf("%*s", i ? 27 : 21, titles[i]);
    (void)printf("\n%9s%8s", "depth", "KV");
    for (int i = 0; i < COMPARED; i++) (void)printf("%11s%9s%7s", "A", "B", "B/A");
    (void)putchar('\n');
}

static void print_pair(const sweep_row *a, const sweep_row *b)
{
    char type[SWEEP_TYPE_BYTES];
    double x[COMPARED], y[COMPARED];
    compared(a, x);
    compared(b, y);
    sweep_type_text(a->kv_k, a->kv_v, type);
    (void)printf("%9s%8s", count_text((uint64_t)a->depth), type);
    for (int i = 0; i < COMPARED; i++) {
        if (strcmp(names[i], "kv_bytes") == 0)
            (void)printf("%11s%9s", bytes_text((uint64_t)fmax(0, x[i])), bytes_text((uint64_t)fmax(0, y[i])));
        else
            (void)printf("%11.1f%9.1f", x[i], y[i]);
        if (x[i] > 0)
            (void)printf("%7.2f", y[i] / x[i]);
        else
            (void)printf("%7s", "-");
    }
    (void)putchar('\n');
}

static json_t *pair_json(const sweep_row *a, const sweep_row *b)
{
    double x[COMPARED], y[COMPARED];
    compared(a, x);
    compared(b, y);
    json_t *o = json_pack("{s:s, s:s, s:i}", "kv_k", a->kv_k, "kv_v", a->kv_v, "depth", a->depth);
    for (int i = 0; i < COMPARED; i++)
        (void)json_object_set_new(o, names[i],
                                  json_pack("{s:o, s:o, s:o}", "a", json_number(x[i]), "b", json_number(y[i]), "ratio",
                                            json_number(ratio(x[i], y[i]))));
    return o;
}

/* Every row of `a` that `b` has too; *n counts them. `list` NULL: to stdout. */
static kvasir_status compare_rows(const json_t *a, const json_t *b, json_t *list, int *n)
{
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(a, "rows"), i, item)
    {
        sweep_row x, y;
        TRY(sweep_read_row(item, &x));
        if (x.state != SWEEP_DONE || !find_row(json_object_get(b, "rows"), &x, &y)) continue;
        if (!list && *n == 0) print_head();
        ++*n;
        if (list)
            (void)json_array_append_new(list, pair_json(&x, &y));
        else
            print_pair(&x, &y);
    }
    return KVASIR_OK;
}

int sweep_compare(const char *path_a, const char *path_b, int as_json)
{
    json_t *a = NULL, *b = NULL, *list = as_json ? json_array() : NULL;
    int n = 0;
    kvasir_status status = sweep_read(path_a, &a);
    if (status == KVASIR_OK) status = sweep_read(path_b, &b);
    if (status == KVASIR_OK) {
        note_differences(a, b);
        status = compare_rows(a, b, list, &n);
    }
    if (status == KVASIR_OK && n == 0)
        status = fail(KVASIR_E_ARGUMENT, "%s and %s have no depth and KV type in common", path_a, path_b);
    json_decref(a);
    json_decref(b);
    if (status != KVASIR_OK) {
        json_decref(list);
        return failed(status);
    }
    if (!as_json) return finish_output(EXIT_DONE);
    json_t *d = json_document("sweep-compare");
    (void)json_object_set_new(d, "a", json_text_or_null(path_a));
    (void)json_object_set_new(d, "b", json_text_or_null(path_b));
    (void)json_object_set_new(d, "rows", list);
    return print_json(d);
}
