#include "system/gpu.h"
#include "base/small_file.h"
#include "system/system.h"

#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CARDS = 64, MAX_LANES = 32 };

double gpu_link_rate(double transfers_per_s, unsigned lanes)
{
    if (!(transfers_per_s > 0 && transfers_per_s <= 128e9) || lanes < 1 || lanes > MAX_LANES) return 0;
    return transfers_per_s / 8 * lanes * (transfers_per_s <= 5e9 ? 8.0 / 10 : 128.0 / 130);
}

/* Text from outside: printable ASCII stays, the rest becomes '?'. */
static void copy_name(char *to, size_t n, const char *from, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; i < room && from[i] && from[i] != '\n' && used + 1 < n; i++)
        to[used++] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
    to[used] = 0;
}

/* ---- NVIDIA: the functions and structs of nvml.h that are used here, from its documentation ---- */

typedef struct nvml_device *nvml_device;
typedef struct nvml_memory {
    unsigned long long total, free, used;
} nvml_memory;
typedef struct nvml_memory_v2 {
    unsigned version; /* size of the struct, and the number 2 in the highest byte */
    unsigned long long total, reserved, free, used;
} nvml_memory_v2;
enum { NVML_OK = 0, NVML_CLOCK_MEM = 2, NVML_NAME_BYTES = 96, NVML_MEMORY_V2 = 2 << 24 };

/* X(name, result, arguments): optional ones are NULL in drivers that lack them. */
#define NVML_NEEDED(X)                                                                                                 \
    X(nvmlInit_v2, (void))                                                                                             \
    X(nvmlShutdown, (void))                                                                                            \
    X(nvmlDeviceGetCount_v2, (unsigned *count))                                                                        \
    X(nvmlDeviceGetHandleByIndex_v2, (unsigned index, nvml_device *out))                                               \
    X(nvmlDeviceGetName, (nvml_device d, char *name, unsigned length))
#define NVML_OPTIONAL(X)                                                                                               \
    X(nvmlDeviceGetMemoryInfo, (nvml_device d, nvml_memory * out))                                                     \
    X(nvmlDeviceGetMemoryInfo_v2, (nvml_device d, nvml_memory_v2 * out))                                               \
    X(nvmlDeviceGetMaxClockInfo, (nvml_device d, int clock, unsigned *mhz))                                            \
    X(nvmlDeviceGetMemoryBusWidth, (nvml_device d, unsigned *bits))                                                    \
    X(nvmlDeviceGetMaxPcieLinkGeneration, (nvml_device d, unsigned *generation))                                       \
    X(nvmlDeviceGetMaxPcieLinkWidth, (nvml_device d, unsigned *lanes))

typedef struct nvml_api {
    void *library;
#define X(name, arguments) int(*name) arguments;
    NVML_NEEDED(X) NVML_OPTIONAL(X)
#undef X
} nvml_api;

static bool nvml_open(const char *path, nvml_api *n)
{
    *n = (nvml_api){.library = dlopen(path ? path : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)};
    if (!n->library) return false;
    bool complete = true;
    /* dlsym returns a function as an object pointer; POSIX guarantees that both have one size. */
#define X(name, arguments)                                                                                             \
    {                                                                                                                  \
        void *symbol = dlsym(n->library, #name);                                                                       \
        memcpy(&n->name, &symbol, sizeof symbol);                                                                      \
    }
    NVML_NEEDED(X)
    NVML_OPTIONAL(X)
#undef X
#define X(name, arguments) complete = complete && n->name;
    NVML_NEEDED(X)
#undef X
    if (complete && n->nvmlInit_v2() == NVML_OK) return true;
    (void)dlclose(n->library);
    return false;
}

static void nvml_memory_of(const nvml_api *n, nvml_device d, kvasir_machine_gpu *out)
{
    nvml_memory_v2 m2 = {.version = (unsigned)sizeof m2 | NVML_MEMORY_V2};
    nvml_memory m1 = {0};
    if (n->nvmlDeviceGetMemoryInfo_v2 && n->nvmlDeviceGetMemoryInfo_v2(d, &m2) == NVML_OK) {
        out->memory_bytes = m2.total;
        out->free_bytes = m2.free;
    } else if (n->nvmlDeviceGetMemoryInfo && n->nvmlDeviceGetMemoryInfo(d, &m1) == NVML_OK) {
        out->memory_bytes = m1.total;
        out->free_bytes = m1.free;
    }
    if (out->free_bytes > out->memory_bytes) out->free_bytes = 0;
}

/* The memory transfers data on both edges of its clock: GDDR6X at 10501 MHz on 384 bits moves 1008 GB/s. */
static double nvml_bandwidth(const nvml_api *n, nvml_device d)
{
    enum { MAX_MHZ = 100000, MAX_BITS = 65536 };
    unsigned mhz = 0, bits = 0;
    if (!n->nvmlDeviceGetMaxClockInfo || n->nvmlDeviceGetMaxClockInfo(d, NVML_CLOCK_MEM, &mhz) != NVML_OK) return 0;
    if (!n->nvmlDeviceGetMemoryBusWidth || n->nvmlDeviceGetMemoryBusWidth(d, &bits) != NVML_OK) return 0;
    return mhz > MAX_MHZ || bits > MAX_BITS ? 0 : 2e6 * mhz * bits / 8;
}

static double nvml_link(const nvml_api *n, nvml_device d)
{
    static const double transfers[] = {0, 2.5e9, 5e9, 8e9, 16e9, 32e9, 64e9, 128e9}; /* by generation */
    unsigned generation = 0, lanes = 0;
    if (!n->nvmlDeviceGetMaxPcieLinkGeneration || n->nvmlDeviceGetMaxPcieLinkGeneration(d, &generation) != NVML_OK)
        return 0;
    if (!n->nvmlDeviceGetMaxPcieLinkWidth || n->nvmlDeviceGetMaxPcieLinkWidth(d, &lanes) != NVML_OK) return 0;
    return generation < sizeof transfers / sizeof *transfers ? gpu_link_rate(transfers[generation], lanes) : 0;
}

static int list_nvidia(const char *path, kvasir_machine_gpu *out, int most)
{
    nvml_api n;
    unsigned count = 0;
    int found = 0;
    if (!nvml_open(path, &n)) return 0;
    if (n.nvmlDeviceGetCount_v2(&count) != NVML_OK || count > MAX_CARDS) count = 0;
    for (unsigned i = 0; i < count && found < most; i++) {
        char name[NVML_NAME_BYTES] = "";
        nvml_device d = NULL;
        kvasir_machine_gpu g = {0};
        if (n.nvmlDeviceGetHandleByIndex_v2(i, &d) != NVML_OK) continue;
        nvml_memory_of(&n, d, &g);
        if (!g.memory_bytes) continue;
        if (n.nvmlDeviceGetName(d, name, sizeof name) != NVML_OK) name[0] = 0;
        copy_name(g.name, sizeof g.name, name[0] ? name : "NVIDIA GPU", sizeof name);
        g.read_bytes_per_s = nvml_bandwidth(&n, d);
        g.link_bytes_per_s = nvml_link(&n, d);
        out[found++] = g;
    }
    (void)n.nvmlShutdown();
    (void)dlclose(n.library);
    return found;
}

/* ---- AMD: /sys/class/drm/cardN/device ---- */

static bool card_text(const char *root, int card, const char *name, char *to, size_t n)
{
    char path[128];
    (void)snprintf(path, sizeof path, "/sys/class/drm/card%d/device/%s", card, name);
    return small_text(root, path, to, n);
}

static bool card_number(const char *root, int card, const char *name, uint64_t *out)
{
    char path[128];
    (void)snprintf(path, sizeof path, "/sys/class/drm/card%d/device/%s", card, name);
    return small_number(root, path, out);
}

static void amd_name(const char *root, int card, kvasir_machine_gpu *g)
{
    char text[96], name[128];
    if (card_text(root, card, "product_name", text, sizeof text) && isgraph((unsigned char)text[0])) {
        copy_name(g->name, sizeof g->name, text, sizeof text);
        return;
    }
    if (!card_text(root, card, "device", text, sizeof text)) text[0] = 0; /* "0x744c" */
    text[strcspn(text, "\n")] = 0;
    (void)snprintf(name, sizeof name, "AMD GPU %s", text);
    copy_name(g->name, sizeof g->name, name, sizeof name);
}

static bool read_amd(const char *root, int card, kvasir_machine_gpu *g)
{
    char vendor[32], speed[32];
    uint64_t used, lanes;
    unsigned whole, tenths = 0;
    *g = (kvasir_machine_gpu){0};
    if (!card_text(root, card, "vendor", vendor, sizeof vendor) || strncmp(vendor, "0x1002", 6) != 0) return false;
    if (!card_number(root, card, "mem_info_vram_total", &g->memory_bytes) || !g->memory_bytes) return false;
    if (card_number(root, card, "mem_info_vram_used", &used) && used <= g->memory_bytes)
        g->free_bytes = g->memory_bytes - used;
    amd_name(root, card, g);
    /* "16.0 GT/s PCIe"; read as two whole numbers, since a locale may have another decimal point. */
    if (card_text(root, card, "max_link_speed", speed, sizeof speed) &&
        card_number(root, card, "max_link_width", &lanes) && lanes <= MAX_LANES &&
        sscanf(speed, "%3u.%1u", &whole, &tenths) >= 1)
        g->link_bytes_per_s = gpu_link_rate(1e9 * whole + 1e8 * tenths, (unsigned)lanes);
    return true;
}

/* The N of "cardN"; -1 for everything else, such as the connectors ("card0-DP-1"). */
static int card_of(const char *name)
{
    if (strncmp(name, "card", 4) != 0 || !isdigit((unsigned char)name[4])) return -1;
    char *end;
    long n = strtol(name + 4, &end, 10);
    return *end || n >= MAX_CARDS ? -1 : (int)n;
}

static int list_amd(const char *root, kvasir_machine_gpu *out, int most)
{
    bool there[MAX_CARDS] = {false};
    char path[1024];
    int found = 0, length = snprintf(path, sizeof path, "%s/sys/class/drm", root);
    DIR *folder = length > 0 && (size_t)length < sizeof path ? opendir(path) : NULL;
    if (!folder) return 0;
    for (const struct dirent *e; (e = readdir(folder));)
        if (card_of(e->d_name) >= 0) there[card_of(e->d_name)] = true;
    (void)closedir(folder);
    for (int i = 0; i < MAX_CARDS && found < most; i++)
        if (there[i] && read_amd(root, i, &out[found])) found++;
    return found;
}

int gpu_list(const char *nvml, const char *root, kvasir_machine_gpu *out, int most)
{
    int n = list_nvidia(nvml, out, most);
    return n + list_amd(root, out + n, most - n);
}
