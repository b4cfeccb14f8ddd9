/* system/system, gpu, disk: what the system says, read from made-up trees of files and a made-up driver. */
#include "test.h"

#include "system/disk.h"
#include "system/gpu.h"
#include "base/mem.h"
#include "base/cores.h"
#include "system/system.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#define GIB ((uint64_t)1 << 30)

/* ---- a tree of files ---- */

static char root[64];

static int make_root(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/kvasir-system-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st, (void)type, (void)walk;
    return remove(path);
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file below the root, with its folders. */
static void put(const char *path, const char *text)
{
    char whole[512];
    (void)snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *s = whole + strlen(root) + 1; (s = strchr(s, '/')); s++) {
        *s = 0;
        (void)mkdir(whole, 0700);
        *s = '/';
    }
    FILE *f = fopen(whole, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* ---- memory ---- */

static const char meminfo[] = "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\n"
                              "Cached:          2097152 kB\nSwapCached:            0 kB\nSwapTotal:       4194304 kB\n"
                              "SwapFree:        3145728 kB\n";

static void test_meminfo(void **state)
{
    (void)state;
    system_memory m;
    system_meminfo_parse(meminfo, &m);
    assert_int_equal(m.total, 16 * GIB);
    assert_int_equal(m.available, 8 * GIB);
    assert_int_equal(m.limit, 0);
    assert_int_equal(m.swap, 4 * GIB);
    assert_int_equal(m.swap_free, 3 * GIB);
    system_meminfo_parse("MemTotal: 4194304 kB\nMemFree: 1048576 kB\nCached: 2097152 kB", &m); /* an old kernel */
    assert_int_equal(m.available, 3 * GIB);
    system_meminfo_parse("MemTotal: 4194304 kB\nMemFree: 1048576 kB\nCached: 2 kB\nMemAvailable: 0 kB\n", &m);
    assert_int_equal(m.available, 0);
}

static void test_hostile_meminfo(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "\n\n\n",
                                        "MemTotal:",
                                        "MemTotal:\nMemAvailable:\n",
                                        "MemTotal: 99999999999999999999999999999 kB\nMemAvailable: 5 kB",
                                        "MemTotal: 18446744073709551615 kB\n",
                                        "MemTotal: -5 kB\n",
                                        "MemTotal: many kB\n",
                                        "xMemTotal: 7 kB\n",
                                        "memtotal: 7 kB\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        system_memory m;
        memset(&m, 0xff, sizeof m);
        system_meminfo_parse(texts[i], &m);
        assert_int_equal(m.total, 0);
        assert_int_equal(m.limit, 0);
        assert_int_equal(m.swap, 0);
    }
    system_memory m;
    system_meminfo_parse("MemTotal: 1024 kB\nMemAvailable: 4096 kB\nSwapTotal: 1 kB\nSwapFree: 9 kB\n", &m);
    assert_int_equal(m.available, 1024 << 10); /* no more than there is */
    assert_int_equal(m.swap_free, 1024);
    system_meminfo_parse("MemTotal: 1024 kB\nMemFree: 18014398509481983 kB\nCached: 18014398509481983 kB\n", &m);
    assert_int_equal(m.available, 0);
}

static void test_no_files(void **state)
{
    (void)state;
    system_memory m;
    system_memory_read(root, &m);
    assert_int_equal(m.total, 0);
    assert_int_equal(m.available, 0);
    assert_int_equal(system_numa_nodes(root), 1);
    assert_int_equal(system_last_cache(root), 0);
}

/* The least of all limits on the way up, and the least room. */
static void test_groups_v2(void **state)
{
    (void)state;
    system_memory m;
    put("/proc/meminfo", meminfo);
    put("/proc/self/cgroup", "0::/user/session/app\n");
    put("/sys/fs/cgroup/user/session/app/memory.max", "max\n");
    put("/sys/fs/cgroup/user/session/memory.max", "6442450944\n"); /* 6 GiB, 5 used, 2 of them can be given back */
    put("/sys/fs/cgroup/user/session/memory.current", "5368709120\n");
    put("/sys/fs/cgroup/user/session/memory.stat", "anon 7\ninactive_file 2147483648\nactive_file 9\n");
    put("/sys/fs/cgroup/user/memory.max", "12884901888"); /* 12 GiB, 10 used: less room, no newline */
    put("/sys/fs/cgroup/user/memory.current", "10737418240");
    system_memory_read(root, &m);
    assert_int_equal(m.total, 16 * GIB);
    assert_int_equal(m.limit, 6 * GIB);
    assert_int_equal(m.available, 2 * GIB);
    put("/sys/fs/cgroup/user/memory.current", "1073741824");
    system_memory_read(root, &m);
    assert_int_equal(m.available, 3 * GIB);
    put("/sys/fs/cgroup/user/session/memory.current", "99999999999"); /* over the limit */
    system_memory_read(root, &m);
    assert_int_equal(m.available, 0);
    assert_int_equal(m.limit, 6 * GIB);
}

/* In a container the group's path may be one that only the host sees; the mount is the container's group. */
static void test_groups_of_a_container(void **state)
{
    (void)state;
    system_memory m;
    put("/proc/meminfo", meminfo);
    put("/sys/fs/cgroup/memory.max", "2147483648\n");
    static const char *const lines[] = {"0::/\n", "0::/system.slice/docker-123.scope\n", "0::/../../other\n", "0::/"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        put("/proc/self/cgroup", lines[i]);
        system_memory_read(root, &m);
        assert_int_equal(m.limit, 2 * GIB);
        assert_int_equal(m.available, 2 * GIB);
    }
}

static void test_groups_v1(void **state)
{
    (void)state;
    system_memory m;
    put("/proc/meminfo", meminfo);
    put("/proc/self/cgroup", "9:name=systemd:/\n5:cpu,memory,pids:/job/7\n0::/\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
    put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "4294967296\n");
    put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "3221225472\n");
    put("/sys/fs/cgroup/memory/job/memory.stat", "inactive_file 77\ntotal_inactive_file 1073741824\n");
    put("/sys/fs/cgroup/memory/job/7/memory.limit_in_bytes", "9223372036854771712\n");
    system_memory_read(root, &m);
    assert_int_equal(m.limit, 4 * GIB);
    assert_int_equal(m.available, 2 * GIB);
    put("/proc/self/cgroup", "5:cpu,memoryless,pids:/job/7\n"); /* the word as a whole */
    system_memory_read(root, &m);
    assert_int_equal(m.limit, 0);
    put("/proc/self/cgroup", "5:memory:/job/7"); /* no newline */
    system_memory_read(root, &m);
    assert_int_equal(m.limit, 4 * GIB);
}

/* Threads that a quota pays for, of 64 cores. */
static void test_quotas(void **state)
{
    (void)state;
    static const struct {
        const char *groups, *file, *text;
        int threads;
    } cases[] = {{"0::/\n", "/sys/fs/cgroup/cpu.max", "100000 100000\n", 1}, /* a container's own */
                 {"0::/\n", "/sys/fs/cgroup/cpu.max", "max 100000\n", 64},
                 {"0::/app.scope\n", "/sys/fs/cgroup/app.scope/cpu.max", "150000 100000\n", 1}, /* a half is none */
                 {"0::/a.slice/b.scope\n", "/sys/fs/cgroup/a.slice/cpu.max", "399999 100000\n", 3},
                 {"0::/a.slice/b.scope\n", "/sys/fs/cgroup/a.slice/b.scope/cpu.max", "200000 100000\n", 2},
                 {"0::/a.slice/b.scope\n", "/sys/fs/cgroup/a.slice/b.scope/cpu.max", "20000 100000\n", 1},
                 {"0::/x\n", "/sys/fs/cgroup/x/cpu.max", "9900000 100000\n", 64}, /* more than there are */
                 {"0::/x\n", "/sys/fs/cgroup/x/cpu.max", "18446744073709551615 1\n", 64},
                 {"0::/x\n", "/sys/fs/cgroup/x/cpu.max", "100000 0\n", 64},
                 {"0::/x\n", "/sys/fs/cgroup/x/cpu.max", "100000\n", 64},
                 {"0::/x\n", "/sys/fs/cgroup/x/cpu.max", "", 64},
                 {"0::/x\n", "/sys/fs/cgroup/x/cpu.max", "-5 100000", 64},
                 {"0::/../../other\n", "/sys/fs/cgroup/cpu.max", "300000 100000\n", 3}, /* outside of this namespace */
                 {"4:cpu:/\n", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n", 2},
                 {"4:cpu:/job/7\n", "/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "500000\n", 5},
                 {"4:cpu,cpuacct:/job\n0::/x\n", "/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "500000\n", 5},
                 {"4:cpu:/job\n", "/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n", 64},
                 {"4:cpuset:/job\n", "/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "100000\n", 64},
                 {"", "/sys/fs/cgroup/cpu.max", "100000 100000\n", 64}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static const char *const periods[] = {"/sys/fs/cgroup/cpu/cpu.cfs_period_us",
                                              "/sys/fs/cgroup/cpu/job/cpu.cfs_period_us",
                                              "/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us"};
        for (size_t p = 0; p < sizeof periods / sizeof *periods; p++) put(periods[p], "100000\n");
        put("/proc/self/cgroup", cases[i].groups);
        put(cases[i].file, cases[i].text);
        if (cpu_count_below(root, 64) != cases[i].threads) print_error("case %zu\n", i);
        assert_int_equal(cpu_count_below(root, 64), cases[i].threads);
        put(cases[i].file, "max");
    }
}

static void test_hostile_groups(void **state)
{
    (void)state;
    system_memory m;
    static char longer[8000];
    put("/proc/meminfo", meminfo);
    memset(longer, 'a', sizeof longer - 1);
    memcpy(longer, "0::/", 4);
    const char *const texts[] = {"", "::", "0:", "0::", "garbage", "\n\n", ":::::", "0::/a/b\n0::/a/b", longer};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put("/proc/self/cgroup", texts[i]);
        system_memory_read(root, &m);
        assert_int_equal(m.limit, 0);
        assert_int_equal(m.available, 8 * GIB);
    }
    put("/proc/self/cgroup", "0::/a\n");
    static const char *const limits[] = {"", "-1", "99999999999999999999999", "maximum", " 5"};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        put("/sys/fs/cgroup/a/memory.max", limits[i]);
        system_memory_read(root, &m);
        assert_int_equal(m.limit, 0);
        assert_int_equal(m.available, 8 * GIB);
    }
}

/* ---- the processor ---- */

static void test_numa(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int nodes;
    } cases[] = {{"0\n", 1},
                 {"0-1\n", 2},
                 {"0-3,8,10-11", 7},
                 {"", 1},
                 {"5-2\n", 1},
                 {"0-\n", 1},
                 {"0,\n", 1},
                 {"a\n", 1},
                 {"0-1 2\n", 1},
                 {"0-4294967295", 1},
                 {"99999999999999999999999", 1},
                 {"0-1023", 1024},
                 {"0-1023,2000", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("/sys/devices/system/node/online", cases[i].text);
        assert_int_equal(system_numa_nodes(root), cases[i].nodes);
    }
}

static void test_caches(void **state)
{
    (void)state;
    put("/sys/devices/system/cpu/cpu0/cache/index0/size", "48K\n");
    put("/sys/devices/system/cpu/cpu0/cache/index2/size", "1024K\n");
    put("/sys/devices/system/cpu/cpu0/cache/index3/size", "32M");
    put("/sys/devices/system/cpu/cpu0/cache/index4/size", "99999999999999999G\n");
    put("/sys/devices/system/cpu/cpu0/cache/index5/size", "big\n");
    assert_int_equal(system_last_cache(root), 32 << 20);
}

static void test_this_system(void **state)
{
    (void)state;
    system_memory m;
    system_memory_read("", &m);
    assert_true(m.total > 0 && m.available <= m.total);
    assert_true(system_numa_nodes("") >= 1);
    assert_true(system_available() <= m.total);
}

/* ---- GPUs ---- */

static const char *fake(int number)
{
    static char path[1024];
    (void)snprintf(path, sizeof path, "%s/libfake_nvml%d.so", getenv("KVASIR_FAKES"), number);
    assert_int_equal(access(path, R_OK), 0);
    return path;
}

static void test_nvidia(void **state)
{
    (void)state;
    kvasir_machine_gpu g[4] = {0};
    assert_int_equal(gpu_list(fake(1), root, g, 4), 2);
    assert_string_equal(g[0].name, "Fake RTX 4090");
    assert_int_equal(g[0].memory_bytes, 24 * GIB);
    assert_int_equal(g[0].free_bytes, 23 * GIB);
    assert_true(fabs(g[0].read_bytes_per_s - 1008.096e9) < 1);
    assert_true(fabs(g[0].link_bytes_per_s - 31.508e9) < 1e6);
    assert_string_equal(g[1].name, "Fake RTX 4070?[2J");
    assert_true(fabs(g[1].read_bytes_per_s - 256.032e9) < 1);
    assert_true(fabs(g[1].link_bytes_per_s - 15.754e9) < 1e6);
    assert_int_equal(gpu_list(fake(1), root, g, 1), 1);
    assert_int_equal(gpu_list(fake(1), root, g, 0), 0);
}

static void test_old_driver(void **state)
{
    (void)state;
    kvasir_machine_gpu g[4] = {0};
    assert_int_equal(gpu_list(fake(2), root, g, 4), 1);
    assert_int_equal(g[0].memory_bytes, 8 * GIB);
    assert_int_equal(g[0].free_bytes, 7 * GIB);
    assert_true(g[0].read_bytes_per_s == 0 && g[0].link_bytes_per_s == 0);
}

static void test_bad_drivers(void **state)
{
    (void)state;
    kvasir_machine_gpu g[4] = {0};
    assert_int_equal(gpu_list("/nonexistent/library.so", root, g, 4), 0);
    assert_int_equal(gpu_list("/proc/self/exe", root, g, 4), 0);
    assert_int_equal(gpu_list(fake(3), root, g, 4), 0);
    assert_int_equal(gpu_list(fake(4), root, g, 4), 0);
    assert_int_equal(gpu_list(fake(6), root, g, 4), 0);
    assert_int_equal(gpu_list(fake(5), root, g, 4), 2);
    assert_int_equal(strlen(g[0].name), sizeof g[0].name - 1);
    assert_string_equal(g[1].name, "");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(g[i].free_bytes, 0);
        assert_true(g[i].read_bytes_per_s == 0 && g[i].link_bytes_per_s == 0);
    }
}

static void test_amd(void **state)
{
    (void)state;
    kvasir_machine_gpu g[4] = {0};
    put("/sys/class/drm/card0-DP-1/status", "connected\n");
    put("/sys/class/drm/card0/device/vendor", "0x8086\n"); /* another maker's */
    put("/sys/class/drm/card0/device/mem_info_vram_total", "1073741824\n");
    put("/sys/class/drm/card1/device/vendor", "0x1002\n");
    put("/sys/class/drm/card1/device/device", "0x744c\n");
    put("/sys/class/drm/card1/device/mem_info_vram_total", "25753026560\n");
    put("/sys/class/drm/card1/device/mem_info_vram_used", "1073741824");
    put("/sys/class/drm/card1/device/max_link_speed", "16.0 GT/s PCIe\n");
    put("/sys/class/drm/card1/device/max_link_width", "16\n");
    put("/sys/class/drm/card2/device/vendor", "0x1002\n");
    put("/sys/class/drm/card2/device/product_name", "Radeon \x01 PRO\n");
    put("/sys/class/drm/card2/device/mem_info_vram_total", "1000\n");
    put("/sys/class/drm/card2/device/mem_info_vram_used", "5000\n");
    put("/sys/class/drm/card2/device/max_link_speed", "2.5 GT/s PCIe\n");
    put("/sys/class/drm/card2/device/max_link_width", "4000000000\n");
    put("/sys/class/drm/card3/device/vendor", "0x1002\n");
    put("/sys/class/drm/card3/device/mem_info_vram_total", "99999999999999999999999999\n");
    put("/sys/class/drm/card99999999999/device/vendor", "0x1002\n");
    put("/sys/class/drm/renderD128/device/vendor", "0x1002\n");
    assert_int_equal(gpu_list("/nonexistent/library.so", root, g, 4), 2);
    assert_string_equal(g[0].name, "AMD GPU 0x744c");
    assert_int_equal(g[0].memory_bytes, 25753026560);
    assert_int_equal(g[0].free_bytes, 25753026560 - GIB);
    assert_true(fabs(g[0].link_bytes_per_s - 31.508e9) < 1e6 && g[0].read_bytes_per_s == 0);
    assert_string_equal(g[1].name, "Radeon ? PRO");
    assert_true(g[1].free_bytes == 0 && g[1].link_bytes_per_s == 0);
    assert_int_equal(gpu_list(fake(1), root, g, 3), 3); /* one after the other, no more than fit */
    assert_string_equal(g[2].name, "AMD GPU 0x744c");
}

static void test_links(void **state)
{
    (void)state;
    assert_true(fabs(gpu_link_rate(2.5e9, 1) - 0.25e9) < 1); /* 250 MB/s a lane in the first generation */
    assert_true(fabs(gpu_link_rate(8e9, 16) - 15.754e9) < 1e6);
    assert_true(gpu_link_rate(8e9, 0) == 0 && gpu_link_rate(8e9, 33) == 0 && gpu_link_rate(-8e9, 4) == 0);
    assert_true(gpu_link_rate((double)NAN, 4) == 0 && gpu_link_rate((double)INFINITY, 4) == 0);
}

/* ---- the disk ---- */

static int count_files(const char *path)
{
    int n = 0;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (const struct dirent *e; (e = readdir(folder));) n += e->d_name[0] != '.';
    (void)closedir(folder);
    return n;
}

static int never(void *user)
{
    ++*(int *)user;
    return count_files(root) != 0; /* nothing to see while it runs, either */
}

static int at_once(void *user)
{
    ++*(int *)user;
    return 1;
}

static void test_disk(void **state)
{
    (void)state;
    disk_speed s;
    int asked = 0;
    assert_ok(disk_measure(root, 24 << 20, 0.2, never, &asked, &s));
    assert_true(asked > 2 && isfinite(s.page_cache) && s.page_cache > 1e6);
    assert_true(isfinite(s.disk) && (s.disk > 0) == (s.why == NULL));
    assert_int_equal(count_files(root), 0);
    asked = 0;
    assert_int_equal(disk_measure(root, 24 << 20, 0.2, at_once, &asked, &s), KVASIR_E_CANCELLED);
    assert_int_equal(asked, 1);
    assert_int_equal(count_files(root), 0);
}

static void test_memory_is_no_disk(void **state)
{
    (void)state;
    disk_speed s;
    if (access("/dev/shm", W_OK) != 0) skip();
    kvasir_status status = disk_measure("/dev/shm", 8 << 20, 0.05, NULL, NULL, &s);
    if (status == KVASIR_E_IO) skip(); /* a container's is often small */
    assert_ok(status);
    assert_true(s.page_cache > 0 && s.disk == 0);
    assert_non_null(strstr(s.why, "in memory"));
}

static void test_no_disk(void **state)
{
    (void)state;
    disk_speed s;
    assert_int_equal(disk_measure("/nonexistent/folder", 8 << 20, 0.1, NULL, NULL, &s), KVASIR_E_IO);
    assert_non_null(strstr(kvasir_message(), "/nonexistent/folder"));
    assert_int_equal(disk_measure(root, 100, 0.1, NULL, NULL, &s), KVASIR_E_IO); /* no room for a piece */
    assert_non_null(strstr(kvasir_message(), "too little"));
    assert_int_equal(count_files(root), 0);
}

#define ON_TREE(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meminfo),
        cmocka_unit_test(test_hostile_meminfo),
        ON_TREE(test_no_files),
        ON_TREE(test_groups_v2),
        ON_TREE(test_groups_v1),
        ON_TREE(test_groups_of_a_container),
        ON_TREE(test_quotas),
        ON_TREE(test_hostile_groups),
        ON_TREE(test_numa),
        ON_TREE(test_caches),
        cmocka_unit_test(test_this_system),
        ON_TREE(test_nvidia),
        ON_TREE(test_old_driver),
        ON_TREE(test_bad_drivers),
        ON_TREE(test_amd),
        cmocka_unit_test(test_links),
        ON_TREE(test_disk),
        ON_TREE(test_no_disk),
        cmocka_unit_test(test_memory_is_no_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
