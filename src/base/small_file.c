#include "base/small_file.h"
#include "base/checked.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { PATH_BYTES = 1024 };

bool small_text(const char *root, const char *path, char *to, size_t n)
{
    char whole[PATH_BYTES];
    int length = snprintf(whole, sizeof whole, "%s%s", root, path);
    if (length < 0 || (size_t)length >= sizeof whole) return false;
    int fd = open(whole, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    size_t used = 0;
    ssize_t got = 0;
    while (used + 1 < n && (got = read(fd, to + used, n - 1 - used)) > 0) used += (size_t)got;
    (void)close(fd);
    to[used] = 0;
    return got >= 0;
}

bool small_take_number(const char **s, uint64_t *out)
{
    const char *at = *s;
    uint64_t value = 0;
    if (*at < '0' || *at > '9') return false;
    for (; *at >= '0' && *at <= '9'; at++)
        if (!ck_mul(value, 10, &value) || !ck_add(value, (uint64_t)(*at - '0'), &value)) return false;
    *s = at;
    *out = value;
    return true;
}

bool small_number(const char *root, const char *path, uint64_t *out)
{
    char text[64];
    const char *s = text;
    return small_text(root, path, text, sizeof text) && small_take_number(&s, out);
}
