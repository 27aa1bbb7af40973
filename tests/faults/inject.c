/* Faults of a disk, and deaths at a chosen system call, for a process that runs with this library in LD_PRELOAD.

   It counts the listed calls on files whose path contains a fragment, and acts at the n-th of them. Python arms it
   through ctypes, so one process that has imported everything can fork a child for each n. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { NOTHING, KILL, TORN, FAIL, SHORT };

static int action = NOTHING, number, lasting, armed, log_to = -1;
static long nth, count, hits;
static char calls[256], fragment[PATH_MAX];

/* From now on act at the `at`-th of the calls `names`, given as "write,fsync," with a comma after each; 0: never. With
   `on` also at all that follow. */
void fault_arm(const char *names, const char *path, long at, int what, int error, int on) {
    snprintf(calls, sizeof calls, ",%s", names);
    snprintf(fragment, sizeof fragment, "%s", path);
    nth = at, action = what, number = error, lasting = on, count = hits = 0, armed = 1;
}

void fault_disarm(void) { armed = 0; }

/* Calls that were met since it was armed, and those among them that it acted at. */
long fault_count(void) { return count; }
long fault_hits(void) { return hits; }

/* Write a line for each call that is met to a file descriptor; -1: no more. */
void fault_log(int descriptor) { log_to = descriptor; }
void fault_mark(const char *words) {
    if (log_to >= 0) dprintf(log_to, "%s\n", words);
}

__attribute__((noreturn)) static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause(); /* the signal is on its way */
}

/* What is to be done at this call on these paths; does not return where that is to die before it. */
static int met(const char *call, const char *path, const char *other) {
    char listed[64];
    if (!armed) return NOTHING;
    snprintf(listed, sizeof listed, ",%s,", call);
    if (!strstr(calls, listed) || !(strstr(path, fragment) || (other && strstr(other, fragment)))) return NOTHING;
    if (log_to >= 0) dprintf(log_to, "%s\t%s%s%s\n", call, path, other ? "\t" : "", other ? other : "");
    long now = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (!nth || now < nth || (now > nth && !lasting)) return NOTHING;
    __atomic_add_fetch(&hits, 1, __ATOMIC_SEQ_CST);
    if (action == KILL) die();
    return action;
}

static int met_open(const char *call, int descriptor) {
    char link[64], path[PATH_MAX];
    if (!armed) return NOTHING;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return NOTHING;
    path[length] = 0;
    return met(call, path, NULL);
}

#define NEXT(name)                                     \
    static __typeof__(&name) next;                     \
    if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* A call that a part of can be done: write the first half of the bytes. */
#define PARTLY(call, ...)                                                     \
    switch (met_open(call, descriptor)) {                                     \
        case FAIL: errno = number; return -1;                                 \
        case TORN: next(descriptor, data, size / 2 __VA_ARGS__); die();       \
        case SHORT: return next(descriptor, data, (size + 1) / 2 __VA_ARGS__); \
    }                                                                         \
    return next(descriptor, data, size __VA_ARGS__)

/* A call that happens or does not. */
#define WHOLE(what, ...)                        \
    int what_to_do = what;                      \
    if (what_to_do == FAIL) {                   \
        errno = number;                         \
        return -1;                              \
    }                                           \
    int done = next(__VA_ARGS__);               \
    if (what_to_do == TORN) die();              \
    return done

ssize_t write(int descriptor, const void *data, size_t size) { NEXT(write); PARTLY("write", ); }
ssize_t pwrite(int descriptor, const void *data, size_t size, off_t at) { NEXT(pwrite); PARTLY("write", , at); }
ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t at) { NEXT(pwrite64); PARTLY("write", , at); }
ssize_t read(int descriptor, void *data, size_t size) { NEXT(read); PARTLY("read", ); }
ssize_t pread(int descriptor, void *data, size_t size, off_t at) { NEXT(pread); PARTLY("read", , at); }
ssize_t pread64(int descriptor, void *data, size_t size, off64_t at) { NEXT(pread64); PARTLY("read", , at); }

/* Counted, and not done: what a process has written outlives it anyway, and a disk takes its time. */
static int synced(int descriptor) {
    (void)descriptor;
    return 0;
}
int fsync(int descriptor) {
    int (*next)(int) = synced;
    WHOLE(met_open("fsync", descriptor), descriptor);
}
int fdatasync(int descriptor) { return fsync(descriptor); }
int ftruncate(int descriptor, off_t size) { NEXT(ftruncate); WHOLE(met_open("truncate", descriptor), descriptor, size); }
int ftruncate64(int descriptor, off64_t size) {
    NEXT(ftruncate64);
    WHOLE(met_open("truncate", descriptor), descriptor, size);
}

int unlink(const char *path) { NEXT(unlink); WHOLE(met("unlink", path, NULL), path); }
int rename(const char *from, const char *to) { NEXT(rename); WHOLE(met("rename", from, to), from, to); }
int link(const char *from, const char *to) { NEXT(link); WHOLE(met("link", from, to), from, to); }
int mkdir(const char *path, mode_t mode) {
    NEXT(mkdir);
    WHOLE(access(path, F_OK) ? met("mkdir", path, NULL) : NOTHING, path, mode);
}

/* Only where it makes a file. */
int open(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    NEXT(open);
    WHOLE(flags & O_CREAT && access(path, F_OK) ? met("create", path, NULL) : NOTHING, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    NEXT(open64);
    WHOLE(flags & O_CREAT && access(path, F_OK) ? met("create", path, NULL) : NOTHING, path, flags, mode);
}
