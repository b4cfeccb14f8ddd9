/* A machine's profile: the JSON document of kvasir probe, numbers plain. */
#include "cli/verify.h"
#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void take_text(const json_t *o, const char *key, char *to, size_t n)
{
    const char *s = json_string_value(json_object_get(o, key));
    (void)snprintf(to, n, "%s", s ? s : "");
}

static double take_number(const json_t *o, const char *key)
{
    double x = json_number_value(json_object_get(o, key));
    return x > 0 ? x : 0;
}

static int take_threads(const json_t *o)
{
    double x = take_number(o, "threads");
    return x >= 1 && x <= 1 << 16 ? (int)x : 0;
}

static kvasir_status take_lists(const char *path, const json_t *d, kvasir_machine *m)
{
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(d, "teams"), i, item)
    {
        if (m->n_teams == KVASIR_MACHINE_TEAMS || !take_threads(item))
            return fail(KVASIR_E_ARGUMENT, "%s: teams[%zu]: at most %d, each with threads", path, i,
                        (int)KVASIR_MACHINE_TEAMS);
        kvasir_machine_team *t = &m->team[m->n_teams++];
        *t = (kvasir_machine_team){.threads = take_threads(item),
                                   .read_bytes_per_s = take_number(item, "read_bytes_per_s"),
                                   .int8_ops_per_s = take_number(item, "int8_ops_per_s"),
                                   .f32_ops_per_s = take_number(item, "f32_ops_per_s"),
                                   .barrier_s = take_number(item, "barrier_s")};
        take_text(item, "level", t->level, sizeof t->level);
    }
    json_array_foreach(json_object_get(d, "kernels"), i, item)
    {
        if (m->n_kernels == KVASIR_MACHINE_KERNELS || !take_threads(item))
            return fail(KVASIR_E_ARGUMENT, "%s: kernels[%zu]: at most %d, each with threads", path, i,
                        (int)KVASIR_MACHINE_KERNELS);
        kvasir_machine_kernel *k = &m->kernel[m->n_kernels++];
        *k = (kvasir_machine_kernel){.threads = take_threads(item), .rate = take_number(item, "rate")};
        take_text(item, "name", k->name, sizeof k->name);
        take_text(item, "unit", k->unit, sizeof k->unit);
        take_text(item, "level", k->level, sizeof k->level);
    }
    return KVASIR_OK;
}

kvasir_status verify_machine(const char *path, kvasir_machine *out)
{
    char *text = NULL;
    size_t n = 0;
    json_error_t error;
    *out = (kvasir_machine){0};
    TRY(read_text(path, &text, &n));
    json_t *d = json_loadb(text, n, 0, &error);
    free(text);
    const char *schema = json_string_value(json_object_get(d, "schema"));
    kvasir_status status = KVASIR_OK;
    if (!d)
        status = fail(KVASIR_E_ARGUMENT, "%s is no JSON: line %d: %s", path, error.line,
                      quoted(error.text, strlen(error.text)));
    else if (!schema || strcmp(schema, "kvasir.probe/1") != 0)
        status = fail(KVASIR_E_ARGUMENT, "%s is no machine's profile: its schema is not kvasir.probe/1", path);
    else {
        take_text(d, "name", out->name, sizeof out->name);
        take_text(d, "cpu", out->cpu, sizeof out->cpu);
        double cores = take_number(d, "cores");
        out->n_cores = cores <= 1 << 16 ? (int)cores : 0;
        status = take_lists(path, d, out);
    }
    json_decref(d);
    return status;
}
