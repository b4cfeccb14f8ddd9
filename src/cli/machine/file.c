/* The format of profiles. Tables say what a field is called, what it holds and where it lies: reading and writing
   both follow them. */
#include "cli/machine/machine.h"
#include "cli/machine/units.h"
#include "base/cpu.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const json_kind machine_kind = {"kvasir.probe/1", "profile of a machine"};

/* ---- what is possible: beyond these is a mistake, most often of the unit ---- */

enum { MAX_CORES = 8192, MAX_THREADS = 1024, MAX_NODES = 1024, WHERE_BYTES = 160, MAX_WARNINGS = 8 };
#define MEMORY_LEAST  0x1p24 /* 16 MiB */
#define MEMORY_MOST   0x1p50 /* 1 PiB */
#define RATE_LEAST    1e5
#define RATE_MOST     1e15
#define OPS_LEAST     1e6
#define OPS_MOST      1e18
#define BARRIER_LEAST 1e-9
#define BARRIER_MOST  1.0

/* ---- fields ---- */

typedef enum kind { TEXT, LEVEL, COUNT, FLAG, NUMBER, SIZE, RATE, OPS, SECONDS } kind;

typedef struct field {
    const char *key; /* NULL ends a table */
    kind kind;
    size_t offset, room; /* room: of a text */
    int needed;
    double least, most; /* with least 0, 0 is a value; else it stands for "not known" and is null in JSON */
} field;

#define AT(type, name) offsetof(type, name), sizeof(((type *)0)->name)
#define MACHINE(name)  AT(kvasir_machine, name)
#define TEAM(name)     AT(kvasir_machine_team, name)
#define KERNEL(name)   AT(kvasir_machine_kernel, name)
#define GPU(name)      AT(kvasir_machine_gpu, name)
static const field machine_fields[] = {
    {"name", TEXT, MACHINE(name), 1, 0, 0},
    {"cpu", TEXT, MACHINE(cpu), 0, 0, 0},
    {"date", TEXT, MACHINE(date), 0, 0, 0},
    {"cores", COUNT, MACHINE(n_cores), 1, 1, MAX_CORES},
    {"numa_nodes", COUNT, MACHINE(n_numa_nodes), 0, 1, MAX_NODES},
    {"cache_bytes", SIZE, MACHINE(cache_bytes), 0, 1024, 0x1p40},
    {"memory_bytes", SIZE, MACHINE(memory_bytes), 1, MEMORY_LEAST, MEMORY_MOST},
    {"available_bytes", SIZE, MACHINE(available_bytes), 0, 1, MEMORY_MOST},
    {"limit_bytes", SIZE, MACHINE(limit_bytes), 0, 0x1p20, MEMORY_MOST},
    {"swap_bytes", SIZE, MACHINE(swap_bytes), 0, 0, MEMORY_MOST},
    {"swap_free_bytes", SIZE, MACHINE(swap_free_bytes), 0, 0, MEMORY_MOST},
    {"disk_bytes_per_s", RATE, MACHINE(disk_bytes_per_s), 0, RATE_LEAST, RATE_MOST},
    {"page_cache_bytes_per_s", RATE, MACHINE(page_cache_bytes_per_s), 0, RATE_LEAST, RATE_MOST},
    {"busy_cores", NUMBER, MACHINE(busy_cores), 0, 0, MAX_CORES},
    {"spread", NUMBER, MACHINE(spread), 0, 0, 1000},
    {0},
};
static const field team_fields[] = {
    {"threads", COUNT, TEAM(threads), 1, 1, MAX_THREADS},
    {"level", LEVEL, TEAM(level), 1, 0, 0},
    {"read_bytes_per_s", RATE, TEAM(read_bytes_per_s), 0, RATE_LEAST, RATE_MOST},
    {"int8_ops_per_s", OPS, TEAM(int8_ops_per_s), 0, OPS_LEAST, OPS_MOST},
    {"f32_ops_per_s", OPS, TEAM(f32_ops_per_s), 0, OPS_LEAST, OPS_MOST},
    {"barrier_s", SECONDS, TEAM(barrier_s), 0, BARRIER_LEAST, BARRIER_MOST},
    {0},
};
static const field kernel_fields[] = {
    {"name", TEXT, KERNEL(name), 1, 0, 0},
    {"level", LEVEL, KERNEL(level), 1, 0, 0},
    {"threads", COUNT, KERNEL(threads), 1, 1, MAX_THREADS},
    {"unit", TEXT, KERNEL(unit), 1, 0, 0},
    {"rate", RATE, KERNEL(rate), 1, RATE_LEAST, OPS_MOST}, /* or OPS: `unit` says */
    {0},
};
static const field gpu_fields[] = {
    {"name", TEXT, GPU(name), 1, 0, 0},
    {"unified", FLAG, GPU(unified), 0, 0, 1},
    {"memory_bytes", SIZE, GPU(memory_bytes), 1, MEMORY_LEAST, MEMORY_MOST},
    {"free_bytes", SIZE, GPU(free_bytes), 0, 1, MEMORY_MOST},
    {"read_bytes_per_s", RATE, GPU(read_bytes_per_s), 0, RATE_LEAST, RATE_MOST},
    {"link_bytes_per_s", RATE, GPU(link_bytes_per_s), 0, RATE_LEAST, RATE_MOST},
    {0},
};

/* Lists of objects in a machine. */
typedef struct list {
    const char *key;
    const field *fields;
    size_t offset, count_offset, item_bytes;
    int most;
} list;
static const list lists[] = {
    {"teams", team_fields, offsetof(kvasir_machine, team), offsetof(kvasir_machine, n_teams),
     sizeof(kvasir_machine_team), KVASIR_MACHINE_TEAMS},
    {"kernels", kernel_fields, offsetof(kvasir_machine, kernel), offsetof(kvasir_machine, n_kernels),
     sizeof(kvasir_machine_kernel), KVASIR_MACHINE_KERNELS},
    {"gpus", gpu_fields, offsetof(kvasir_machine, gpu), offsetof(kvasir_machine, n_gpus), sizeof(kvasir_machine_gpu),
     KVASIR_MACHINE_GPUS},
};
enum { N_LISTS = sizeof lists / sizeof *lists };

/* Understood, or for readers only. */
static const char *const other_keys[] = {"schema", "source", "notes", "version", NULL};

static quantity quantity_of(kind k)
{
    return k == SIZE ? QUANTITY_SIZE : k == OPS ? QUANTITY_OPS : k == SECONDS ? QUANTITY_SECONDS : QUANTITY_RATE;
}

/* ---- writing ---- */

static json_t *field_json(const field *f, const char *base)
{
    const void *at = base + f->offset;
    double value;
    switch (f->kind) {
    case TEXT:
    case LEVEL:
        return json_text(at, strlen(at));
    case COUNT:
        return *(const int *)at ? json_integer(*(const int *)at) : json_null();
    case FLAG:
        return json_boolean(*(const int *)at);
    case NUMBER:
        return json_number(*(const double *)at);
    case SIZE:
        return *(const uint64_t *)at || f->least == 0 ? json_bytes(*(const uint64_t *)at) : json_null();
    case RATE:
    case OPS:
    case SECONDS:
        value = *(const double *)at;
        return value > 0 ? json_number(value) : json_null();
    }
    return json_null();
}

static void put_fields(json_t *to, const field *fields, const char *base)
{
    for (const field *f = fields; f->key; f++) (void)json_object_set_new(to, f->key, field_json(f, base));
}

json_t *machine_json(const kvasir_machine *m)
{
    json_t *d = json_document("probe");
    const char *base = (const char *)m;
    put_fields(d, machine_fields, base);
    for (int i = 0; i < N_LISTS; i++) {
        json_t *items = json_array();
        int n = *(const int *)(const void *)(base + lists[i].count_offset);
        for (int k = 0; k < n; k++) {
            json_t *item = json_object();
            put_fields(item, lists[i].fields, base + lists[i].offset + (size_t)k * lists[i].item_bytes);
            (void)json_array_append_new(items, item);
        }
        (void)json_object_set_new(d, lists[i].key, items);
    }
    return d;
}

/* ---- reading: one value ---- */

/* Where one is, for messages: "FILE: teams[2].". */
typedef struct place {
    const char *file;
    char path[WHERE_BYTES];
} place;

/* A value as it stands in the file, shortened. */
static const char *shown(const json_t *v)
{
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
    const char *out = text ? quoted(text, strlen(text)) : "?";
    free(text);
    return out;
}

static kvasir_status wrong(const place *p, const char *key, const json_t *v, const char *expected)
{
    return fail(KVASIR_E_ARGUMENT, "%s: %s%s is %s, but %s is expected", p->file, p->path, key, shown(v), expected);
}

static kvasir_status check_range(const place *p, const field *f, const json_t *v, double value)
{
    const quantity q = quantity_of(f->kind);
    char least[FORMAT_BYTES], most[FORMAT_BYTES];
    if (value >= f->least && value <= f->most) return KVASIR_OK;
    if (f->kind == COUNT || f->kind == NUMBER)
        return fail(KVASIR_E_ARGUMENT, "%s: %s%s is %s, but %g to %g are possible", p->file, p->path, f->key, shown(v),
                    f->least, f->most);
    return fail(KVASIR_E_ARGUMENT,
                "%s: %s%s is %s, but %s to %s are possible (a plain number is in %s; \"%s\" works too)", p->file,
                p->path, f->key, shown(v), quantity_text(q, f->least, least), quantity_text(q, f->most, most),
                q == QUANTITY_SIZE      ? "bytes"
                : q == QUANTITY_RATE    ? "bytes per second"
                : q == QUANTITY_SECONDS ? "seconds"
                                        : "operations per second",
                quantity_example(q));
}

static kvasir_status read_quantity(const place *p, const field *f, const json_t *v, double *out)
{
    const quantity q = quantity_of(f->kind);
    const char *text = json_string_value(v);
    char expected[320], units[200];
    if (json_is_number(v)) {
        *out = json_number_value(v);
        return check_range(p, f, v, *out);
    }
    int code = text ? quantity_parse(q, text, out) : UNIT_NO_NUMBER;
    if (code == UNIT_OK) return check_range(p, f, v, *out);
    quantity_units(q, units, sizeof units);
    if (code == UNIT_UNKNOWN)
        (void)snprintf(expected, sizeof expected, "%s in one of the units %s", quantity_name(q), units);
    else
        (void)snprintf(expected, sizeof expected, "%s such as \"%s\"%s", quantity_name(q), quantity_example(q),
                       code == UNIT_MISSING ? " (its unit is missing)" : "");
    return wrong(p, f->key, v, expected);
}

static kvasir_status read_text_field(const place *p, const field *f, const json_t *v, char *to)
{
    const char *text = json_string_value(v);
    if (!text) return wrong(p, f->key, v, "a text");
    size_t n = strlen(text);
    if (n >= f->room)
        return fail(KVASIR_E_ARGUMENT, "%s: %s%s has %zu bytes, but %zu are possible", p->file, p->path, f->key, n,
                    f->room - 1);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return wrong(p, f->key, v, "text without control characters");
    if (n == 0 && f->needed) return wrong(p, f->key, v, "a text that is not empty");
    memcpy(to, text, n + 1);
    return KVASIR_OK;
}

static kvasir_status read_level(const place *p, const field *f, const json_t *v, char *to)
{
    char expected[160] = "a CPU level";
    size_t used = strlen(expected);
    TRY(read_text_field(p, f, v, to));
    for (int i = 0; i < CPU_LEVELS; i++) {
        if (strcmp(to, cpu_level_name((cpu_level)i)) == 0) return KVASIR_OK;
        used += (size_t)snprintf(expected + used, sizeof expected - used, "%s %s", i ? "," : ":",
                                 cpu_level_name((cpu_level)i));
    }
    return wrong(p, f->key, v, expected);
}

/* null and nothing are "not known", which some fields may not be. */
static kvasir_status read_field(const place *p, const field *f, const json_t *object, char *base)
{
    const json_t *v = json_object_get(object, f->key);
    void *at = base + f->offset;
    double value = 0;
    if (!v || json_is_null(v))
        return f->needed ? fail(KVASIR_E_ARGUMENT, "%s: %s%s is missing", p->file, p->path, f->key) : KVASIR_OK;
    switch (f->kind) {
    case TEXT:
        return read_text_field(p, f, v, at);
    case LEVEL:
        return read_level(p, f, v, at);
    case COUNT:
        if (!json_is_integer(v)) return wrong(p, f->key, v, "a whole number");
        TRY(check_range(p, f, v, (double)json_integer_value(v)));
        *(int *)at = (int)json_integer_value(v);
        return KVASIR_OK;
    case FLAG:
        if (!json_is_boolean(v)) return wrong(p, f->key, v, "true or false");
        *(int *)at = json_is_true(v);
        return KVASIR_OK;
    case NUMBER:
        if (!json_is_number(v)) return wrong(p, f->key, v, "a number");
        TRY(check_range(p, f, v, json_number_value(v)));
        *(double *)at = json_number_value(v);
        return KVASIR_OK;
    case SIZE:
        TRY(read_quantity(p, f, v, &value));
        *(uint64_t *)at = json_is_integer(v) ? (uint64_t)json_integer_value(v) : (uint64_t)value;
        return KVASIR_OK;
    case RATE:
    case OPS:
    case SECONDS:
        return read_quantity(p, f, v, at);
    }
    return KVASIR_OK;
}

/* ---- reading: objects ---- */

static int known(const char *key, const field *fields, int is_machine)
{
    for (const field *f = fields; f->key; f++)
        if (strcmp(f->key, key) == 0) return 1;
    for (int i = 0; is_machine && i < N_LISTS; i++)
        if (strcmp(lists[i].key, key) == 0) return 1;
    for (int i = 0; other_keys[i]; i++)
        if (strcmp(other_keys[i], key) == 0) return 1;
    return 0;
}

/* A mistyped key would otherwise be a field that silently is not known. */
static void warn_unknown(const place *p, const json_t *object, const field *fields, int is_machine)
{
    int n = 0;
    for (void *i = json_object_iter((json_t *)(uintptr_t)object); i;
         i = json_object_iter_next((json_t *)(uintptr_t)object, i)) {
        const char *key = json_object_iter_key(i);
        if (known(key, fields, is_machine) || n++ >= MAX_WARNINGS) continue;
        note("%s: nobody knows what %s%s is: ignored", p->file, p->path, quoted(key, strlen(key)));
    }
    if (n > MAX_WARNINGS) note("%s: and %d more unknown keys", p->file, n - MAX_WARNINGS);
}

static kvasir_status read_fields(const place *p, const json_t *object, const field *fields, char *base)
{
    for (const field *f = fields; f->key; f++) TRY(read_field(p, f, object, base));
    return KVASIR_OK;
}

/* A kernel's unit decides what its rate may be. */
static kvasir_status read_kernel(const place *p, const json_t *object, char *base)
{
    kvasir_machine_kernel *k = (void *)base;
    field counted = {0}; /* the one in RATE */
    for (const field *f = kernel_fields; f->key; f++)
        if (f->kind == RATE)
            counted = *f;
        else
            TRY(read_field(p, f, object, base));
    if (strcmp(k->unit, "op/s") == 0 || strcmp(k->unit, "FLOP/s") == 0)
        counted.kind = OPS;
    else if (strcmp(k->unit, "B/s") != 0)
        return wrong(p, "unit", json_object_get(object, "unit"), "B/s, op/s or FLOP/s");
    return read_field(p, &counted, object, base);
}

static kvasir_status read_list(const char *file, const json_t *d, const list *l, char *base)
{
    place p = {file, ""};
    const json_t *items = json_object_get(d, l->key), *item;
    size_t i;
    if (!items || json_is_null(items)) return KVASIR_OK;
    if (!json_is_array(items)) return wrong(&p, l->key, items, "a list");
    if (json_array_size(items) > (size_t)l->most)
        return fail(KVASIR_E_ARGUMENT, "%s: %s has %zu entries, but %d are possible", file, l->key,
                    json_array_size(items), l->most);
    json_array_foreach(items, i, item)
    {
        char *at = base + l->offset + i * l->item_bytes, key[WHERE_BYTES];
        (void)snprintf(key, sizeof key, "%s[%zu]", l->key, i);
        if (!json_is_object(item)) return wrong(&p, key, item, "an object");
        place inner = {file, ""};
        (void)snprintf(inner.path, sizeof inner.path, "%s[%zu].", l->key, i);
        warn_unknown(&inner, item, l->fields, 0);
        TRY(l->fields == kernel_fields ? read_kernel(&inner, item, at) : read_fields(&inner, item, l->fields, at));
    }
    *(int *)(void *)(base + l->count_offset) = (int)json_array_size(items);
    return KVASIR_OK;
}

/* ---- reading: what fits together ---- */

static kvasir_status check_less(const char *file, const char *key, uint64_t value, const char *of, uint64_t most)
{
    char a[FORMAT_BYTES], b[FORMAT_BYTES];
    if (value <= most) return KVASIR_OK;
    return fail(KVASIR_E_ARGUMENT, "%s: %s is %s, more than %s, which is %s", file, key,
                quantity_text(QUANTITY_SIZE, (double)value, a), of, quantity_text(QUANTITY_SIZE, (double)most, b));
}

static kvasir_status check_twins(const char *file, const kvasir_machine *m)
{
    for (int i = 0; i < m->n_teams; i++)
        for (int j = 0; j < i; j++)
            if (m->team[i].threads == m->team[j].threads && strcmp(m->team[i].level, m->team[j].level) == 0)
                return fail(KVASIR_E_ARGUMENT, "%s: teams[%d] and teams[%d] both are %d threads at %s", file, j, i,
                            m->team[i].threads, m->team[i].level);
    for (int i = 0; i < m->n_kernels; i++)
        for (int j = 0; j < i; j++) {
            const kvasir_machine_kernel *a = &m->kernel[i], *b = &m->kernel[j];
            if (a->threads == b->threads && strcmp(a->level, b->level) == 0 && strcmp(a->name, b->name) == 0)
                return fail(KVASIR_E_ARGUMENT, "%s: kernels[%d] and kernels[%d] both are %s, %d threads at %s", file, j,
                            i, a->name, a->threads, a->level);
        }
    return KVASIR_OK;
}

static kvasir_status check_whole(const char *file, const kvasir_machine *m)
{
    int has_read = 0;
    TRY(check_less(file, "available_bytes", m->available_bytes, "memory_bytes", m->memory_bytes));
    TRY(check_less(file, "swap_free_bytes", m->swap_free_bytes, "swap_bytes", m->swap_bytes));
    for (int i = 0; i < m->n_gpus; i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "gpus[%d].free_bytes", i);
        TRY(check_less(file, key, m->gpu[i].free_bytes, "its memory_bytes", m->gpu[i].memory_bytes));
    }
    for (int i = 0; i < m->n_teams; i++) has_read |= m->team[i].read_bytes_per_s > 0;
    if (!has_read)
        return fail(KVASIR_E_ARGUMENT, "%s: teams needs an entry with threads, level and read_bytes_per_s", file);
    return check_twins(file, m);
}

kvasir_status machine_take(const json_t *d, const char *where, kvasir_machine *out)
{
    const place p = {where, ""};
    *out = (kvasir_machine){0};
    warn_unknown(&p, d, machine_fields, 1);
    kvasir_status status = read_fields(&p, d, machine_fields, (char *)out);
    for (int i = 0; i < N_LISTS && status == KVASIR_OK; i++) status = read_list(where, d, &lists[i], (char *)out);
    if (status == KVASIR_OK) status = check_whole(where, out);
    return status;
}
