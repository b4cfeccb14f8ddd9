/* kvasir_probe: what the system says (system/system.c, gpu.c), what the disk does (system/disk.c), and what the
   processor does (ops/probe.c), in one profile. */
#include "kvasir/kvasir.h"
#include "base/clock.h"
#include "base/cores.h"
#include "base/cpu.h"
#include "system/disk.h"
#include "system/gpu.h"
#include "system/load.h"
#include "base/status.h"
#include "system/system.h"
#include "ops/probe.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <time.h>

enum { DISK_STEPS = 10 };
static const uint64_t disk_bytes = (uint64_t)256 << 20;
static const double default_seconds = 10, longest = 3600, disk_share = 0.25;

typedef struct progress {
    const kvasir_probe_options *o;
    int all;
} progress;

static kvasir_status check(const kvasir_probe_options *o, const kvasir_machine *out)
{
    if (o->n_threads >= 0 && o->seconds >= 0 && o->seconds <= longest && out) return KVASIR_OK;
    return fail(KVASIR_E_ARGUMENT, "seconds %g (0 to %g), n_threads %d (not negative), out %s", o->seconds, longest,
                o->n_threads, out ? "given" : "missing");
}

static void describe(kvasir_machine *m)
{
    struct utsname host;
    struct tm utc;
    system_memory memory;
    time_t now = time(NULL);
    if (uname(&host) != 0) host.nodename[0] = 0;
    (void)snprintf(m->name, sizeof m->name, "%s", host.nodename[0] ? host.nodename : "this computer");
    cpu_model_name(m->cpu, sizeof m->cpu);
    if (gmtime_r(&now, &utc)) (void)strftime(m->date, sizeof m->date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    m->n_cores = cpu_count();
    m->n_numa_nodes = system_numa_nodes("");
    m->cache_bytes = system_last_cache("");
    system_memory_read("", &memory);
    m->memory_bytes = memory.total;
    m->available_bytes = memory.available;
    m->limit_bytes = memory.limit;
    m->swap_bytes = memory.swap;
    m->swap_free_bytes = memory.swap_free;
    m->n_gpus = gpu_list(NULL, "", m->gpu, KVASIR_MACHINE_GPUS);
}

static int disk_step(void *user)
{
    const progress *p = user;
    return p->o->on_step && p->o->on_step(p->o->step_user, "disk", 0, p->all);
}

static void say(const kvasir_probe_options *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const kvasir_probe_options *o, const char *format, ...)
{
    char text[512];
    va_list args;
    if (!o->log) return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    o->log(o->log_user, text);
}

/* A folder that cannot be written to is an error, since the caller asked for it; a file system that always
   caches is not. */
static kvasir_status measure_disk(const kvasir_probe_options *o, double seconds, int all, kvasir_machine *m)
{
    progress p = {o, all};
    disk_speed speed;
    TRY(disk_measure(o->folder, disk_bytes, seconds, disk_step, &p, &speed));
    if (speed.why) say(o, "%s: the disk's speed is not known: %s", o->folder, speed.why);
    m->disk_bytes_per_s = speed.disk;
    m->page_cache_bytes_per_s = speed.page_cache;
    return KVASIR_OK;
}

/* Since `busy` and `own` were read. */
static double others_cores(double started, double busy, double own)
{
    double now, wall = clock_now() - started;
    if (wall <= 0 || !load_busy_seconds("", &now)) return 0;
    return fmax((now - busy - (load_own_seconds() - own)) / wall, 0);
}

kvasir_status kvasir_probe(const kvasir_probe_options *o, kvasir_machine *out)
{
    NEED(out);
    const kvasir_probe_options none = {0};
    cpu_level level;
    if (!o) o = &none;
    TRY(check(o, out));
    TRY(cpu_level_parse(o->cpu, &level));
    *out = (kvasir_machine){0};
    describe(out);
    const int threads = o->n_threads > 0 ? o->n_threads : out->n_cores;
    const int first = o->folder ? DISK_STEPS : 0, all = first + probe_steps(threads, level);
    double seconds = o->seconds > 0 ? o->seconds : default_seconds, busy = 0, own = load_own_seconds(),
           started = clock_now();
    const bool known = load_busy_seconds("", &busy);
    if (o->folder) {
        TRY(measure_disk(o, seconds * disk_share, all, out));
        seconds -= seconds * disk_share;
    }
    TRY(probe_measure(threads, level, seconds, o->on_step, o->step_user, first, all, out));
    if (known) out->busy_cores = others_cores(started, busy, own);
    return KVASIR_OK;
}
