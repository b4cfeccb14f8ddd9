/* The control groups that the process is in: their folders, in which limits are files. */
#ifndef KVASIR_BASE_CGROUP_H
#define KVASIR_BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cgroup {
    int version;        /* 1 or 2: files have other names */
    const char *root;   /* "" for the real system */
    const char *folder; /* below the root */
} cgroup;

typedef void (*cgroup_fn)(void *user, const cgroup *g);

/* Calls fn for every group from the process's own up to the mount: those of version 2, and of version 1 those of a controller
   ("memory", "cpu"); systems have either or both. In a container the path may be the host's, and not be visible here: then
   fn finds nothing there, and the mount itself is the container's own group. */
void cgroup_each(const char *root, const char *controller, cgroup_fn fn, void *user);

/* A file of the group: its text, or the number that it begins with. False where it cannot be read. */
bool cgroup_text(const cgroup *g, const char *name, char *to, size_t n);
bool cgroup_number(const cgroup *g, const char *name, uint64_t *out);

#endif
