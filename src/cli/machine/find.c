/* Where profiles lie: beside other settings, in files, in the command itself. */
#include "cli/machine/machine.h"
#include "base/cores.h"
#include "cli/files/embedded.h"
#include "system/system.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 1024 };

/* ---- folders ---- */

kvasir_status machine_default_path(char *to, size_t n)
{
    return user_path("XDG_CONFIG_HOME", ".config", "kvasir/machine.json", to, n);
}

kvasir_status machine_cache_folder(char *to, size_t n)
{
    return user_path("XDG_CACHE_HOME", ".cache", "kvasir", to, n);
}

/* ---- finding ---- */

static kvasir_status no_such_name(const char *name)
{
    char names[256] = "";
    size_t used = 0;
    for (const embedded *s = embedded_machines; s->name && used < sizeof names; s++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", s->name);
    return fail(KVASIR_E_ARGUMENT, "%s is neither a file nor a machine that comes with kvasir (%s)",
                quoted(name, strlen(name)), names);
}

kvasir_status machine_find_json(const char *name, char *where, size_t n, json_t **out)
{
    if (!name) {
        TRY(machine_default_path(where, n));
        if (access(where, F_OK) != 0)
            return fail(KVASIR_E_IO, "there is no profile of this machine yet (%s): run kvasir probe", where);
        return json_read(where, &machine_kind, out);
    }
    (void)snprintf(where, n, "%s", name);
    for (const embedded *e = embedded_machines; e->name; e++)
        if (strcmp(e->name, name) == 0) return json_parse(e->text, e->bytes, name, &machine_kind, out);
    if (!strchr(name, '/') && !strchr(name, '.') && access(name, F_OK) != 0) return no_such_name(name);
    return json_read(name, &machine_kind, out);
}

/* A profile may have come with a home folder from elsewhere, or the computer may have changed. */
static void check_this(const kvasir_machine *m, const char *where)
{
    char cpu[KVASIR_MACHINE_TEXT];
    cpu_model_name(cpu, sizeof cpu);
    if (strcmp(cpu, m->cpu) != 0 || cpu_count() != m->n_cores)
        note("%s is of another machine (%s, %d cores; this is %s, %d): kvasir probe measures this one", where, m->cpu,
             m->n_cores, cpu, cpu_count());
}

kvasir_status machine_find(const char *name, kvasir_machine *out)
{
    char where[PATH_BYTES];
    json_t *d;
    TRY(machine_find_json(name, where, sizeof where, &d));
    kvasir_status status = machine_take(d, where, out);
    json_decref(d);
    if (status == KVASIR_OK && !name) check_this(out, where);
    return status;
}
