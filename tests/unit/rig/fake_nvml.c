/* A fake driver library, for tests of system/gpu.c. It is built several times: FAKE says how it behaves. 1: two
   GPUs that say everything. 2: an old driver (no _v2 memory, no bus width, no link). 3: init fails. 4: lies: four
   billion GPUs. 5: a GPU that fails, one whose name has no end, one with absurd numbers. 6: a function that is
   needed is missing. */
#include <string.h>

typedef struct device {
    int index;
} device;
static device devices[3] = {{0}, {1}, {2}};

__attribute__((visibility("default"))) int nvmlInit_v2(void);
__attribute__((visibility("default"))) int nvmlShutdown(void);
__attribute__((visibility("default"))) int nvmlDeviceGetCount_v2(unsigned *count);
__attribute__((visibility("default"))) int nvmlDeviceGetHandleByIndex_v2(unsigned index, device **out);
__attribute__((visibility("default"))) int nvmlDeviceGetName(device *d, char *name, unsigned length);
__attribute__((visibility("default"))) int nvmlDeviceGetMemoryInfo(device *d, unsigned long long *out);
__attribute__((visibility("default"))) int nvmlDeviceGetMemoryInfo_v2(device *d, unsigned *out);
__attribute__((visibility("default"))) int nvmlDeviceGetMaxClockInfo(device *d, int clock, unsigned *mhz);
__attribute__((visibility("default"))) int nvmlDeviceGetMemoryBusWidth(device *d, unsigned *bits);
__attribute__((visibility("default"))) int nvmlDeviceGetMaxPcieLinkGeneration(device *d, unsigned *generation);
__attribute__((visibility("default"))) int nvmlDeviceGetMaxPcieLinkWidth(device *d, unsigned *lanes);

enum { OK = 0, UNINITIALIZED = 1, NOT_FOUND = 6, UNKNOWN = 999 };
static int running;

int nvmlInit_v2(void)
{
    if (FAKE == 3) return UNKNOWN;
    running = 1;
    return OK;
}

int nvmlShutdown(void)
{
    running = 0;
    return OK;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = FAKE == 4 ? 4000000000u : FAKE == 5 ? 3 : FAKE == 2 ? 1 : 2;
    return running ? OK : UNINITIALIZED;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device **out)
{
    if (index > 2 || (FAKE == 5 && index == 0)) return NOT_FOUND;
    *out = &devices[index];
    return OK;
}

#if FAKE != 6
int nvmlDeviceGetName(device *d, char *name, unsigned length)
{
    if (FAKE == 5)
        memset(name, d->index == 1 ? 'x' : '\n', length);
    else
        strncpy(name, d->index ? "Fake RTX 4070\033[2J" : "Fake RTX 4090", length);
    return OK;
}
#endif

int nvmlDeviceGetMemoryInfo(device *d, unsigned long long *out)
{
    out[0] = FAKE == 5 ? 0 : 8ull << 30;
    out[1] = FAKE == 5 ? 0 : 7ull << 30;
    return OK;
}

#if FAKE != 2
int nvmlDeviceGetMemoryInfo_v2(device *d, unsigned *out)
{
    struct {
        unsigned version;
        unsigned long long total, reserved, free, used;
    } m = {0};
    if (*out != (sizeof m | 2u << 24)) return UNKNOWN; /* what a driver answers when it does not know the struct */
    m.version = *out;
    m.total = (d->index ? 8ull : 24ull) << 30;
    m.free = FAKE == 5 ? 1ull << 62 : m.total - (1ull << 30);
    memcpy(out, &m, sizeof m);
    return OK;
}

int nvmlDeviceGetMaxClockInfo(device *d, int clock, unsigned *mhz)
{
    *mhz = FAKE == 5 ? 4000000000u : d->index ? 8001 : 10501;
    return clock == 2 ? OK : UNKNOWN;
}

int nvmlDeviceGetMemoryBusWidth(device *d, unsigned *bits)
{
    *bits = d->index ? 128 : 384;
    return OK;
}

int nvmlDeviceGetMaxPcieLinkGeneration(device *d, unsigned *generation)
{
    *generation = FAKE == 5 ? 77 : 4;
    return OK;
}

int nvmlDeviceGetMaxPcieLinkWidth(device *d, unsigned *lanes)
{
    *lanes = d->index ? 8 : 16;
    return OK;
}
#endif
