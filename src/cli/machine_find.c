/* Where profiles lie: beside other settings, in files, in the command itself. */
#include "cli/machine_file.h"
#include "base/cpu.h"
#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILE = 1 << 20, PATH_BYTES = 1024 };

#define SHIPPED(id)                                                                                                    \
    extern const unsigned char machine_##id[];                                                                         \
    extern const size_t machine_##id##_bytes
SHIPPED(epyc_9554_2s);
SHIPPED(m4_pro);
SHIPPED(rtx_4070_laptop);
SHIPPED(rtx_4090);
const machine_shipped machines_shipped[] = {
    {"rtx-4070-laptop", machine_rtx_4070_laptop, &machine_rtx_4070_laptop_bytes},
    {"rtx-4090", machine_rtx_4090, &machine_rtx_4090_bytes},
    {"m4-pro", machine_m4_pro, &machine_m4_pro_bytes},
    {"epyc-9554-2s", machine_epyc_9554_2s, &machine_epyc_9554_2s_bytes},
    {0},
};

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

static kvasir_status file_text(const char *path, char **text, size_t *n)
{
    file *f;
    TRY(file_open(path, &f));
    kvasir_status status = KVASIR_OK;
    const size_t size = (size_t)file_size(f);
    if (file_size(f) > MAX_FILE)
        status = fail(KVASIR_E_ARGUMENT, "%s: a profile of more than %d bytes is none", path, MAX_FILE);
    char *data = status == KVASIR_OK ? malloc(size + 1) : NULL;
    if (status == KVASIR_OK) status = data ? file_read(f, 0, data, size) : fail_memory(size + 1);
    file_close(f);
    if (status != KVASIR_OK) {
        free(data);
        return status;
    }
    data[size] = 0;
    *text = data;
    *n = size;
    return KVASIR_OK;
}

static kvasir_status shipped_text(const machine_shipped *s, char **text, size_t *n)
{
    char *data = malloc(*s->bytes + 1);
    if (!data) return fail_memory(*s->bytes + 1);
    memcpy(data, s->text, *s->bytes);
    data[*s->bytes] = 0;
    *text = data;
    *n = *s->bytes;
    return KVASIR_OK;
}

static kvasir_status no_such_name(const char *name)
{
    char names[256] = "";
    size_t used = 0;
    for (const machine_shipped *s = machines_shipped; s->name && used < sizeof names; s++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", s->name);
    return fail(KVASIR_E_ARGUMENT, "%s is neither a file nor a machine that comes with kvasir (%s)",
                quoted(name, strlen(name)), names);
}

kvasir_status machine_find_text(const char *name, char *where, size_t n, char **text, size_t *n_text)
{
    if (!name) {
        TRY(machine_default_path(where, n));
        if (access(where, F_OK) != 0)
            return fail(KVASIR_E_IO, "there is no profile of this machine yet (%s): run kvasir probe", where);
        return file_text(where, text, n_text);
    }
    (void)snprintf(where, n, "%s", name);
    for (const machine_shipped *s = machines_shipped; s->name; s++)
        if (strcmp(s->name, name) == 0) return shipped_text(s, text, n_text);
    if (!strchr(name, '/') && !strchr(name, '.') && access(name, F_OK) != 0) return no_such_name(name);
    return file_text(name, text, n_text);
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
    char where[PATH_BYTES], *text;
    size_t n;
    TRY(machine_find_text(name, where, sizeof where, &text, &n));
    kvasir_status status = machine_parse(text, n, where, out);
    free(text);
    if (status == KVASIR_OK && !name) check_this(out, where);
    return status;
}
