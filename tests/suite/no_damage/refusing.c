/* Has the operating system refuse something to the program that this is preloaded into:
 *
 *   REFUSE_CALL    open, stat, read, or thread
 *   REFUSE_PATH    a part of the path of the file; for `thread`: nothing is refused before a file of such a path was opened,
 *                  and nothing waits for that where it is empty
 *   REFUSE_ERRNO   the error's number
 *   REFUSE_FROM    the first of these calls that is refused, from 1
 *   REFUSE_COUNT   how many are
 *   REFUSE_WHILE   a file: calls count only while it is there; where this is not set, all do
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int calls;
static atomic_int seen;

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

static int is_meant(const char *path) {
    const char *part = getenv("REFUSE_PATH");
    return part && path && strstr(path, part) != NULL;
}

static int is_refused(const char *call) {
    const char *wanted = getenv("REFUSE_CALL");
    const char *file = getenv("REFUSE_WHILE");
    if (!wanted || strcmp(wanted, call) != 0) return 0;
    if (file && syscall(SYS_faccessat, AT_FDCWD, file, F_OK) != 0) return 0;
    long nth = atomic_fetch_add(&calls, 1) + 1, from = number("REFUSE_FROM", 1);
    return nth >= from && nth - from < number("REFUSE_COUNT", 1000000);
}

static int refused(void) {
    errno = (int)number("REFUSE_ERRNO", EIO);
    return -1;
}

static int opened(const char *path) {
    if (!is_meant(path)) return 0;
    atomic_store(&seen, 1);
    return is_refused("open");
}

#define OPEN(NAME)                                                             \
    int NAME(const char *path, int flags, ...) {                               \
        va_list rest;                                                          \
        va_start(rest, flags);                                                 \
        mode_t mode = va_arg(rest, mode_t);                                    \
        va_end(rest);                                                          \
        if (opened(path)) return refused();                                    \
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);          \
    }

OPEN(open)
OPEN(open64)

int statx(int directory, const char *restrict path, int flags, unsigned mask, struct statx *restrict found) {
    if (is_meant(path) && is_refused("stat")) return refused();
    return (int)syscall(SYS_statx, directory, path, flags, mask, found);
}

static int is_read_refused(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0) return 0;
    path[len] = 0;
    return is_meant(path) && is_refused("read");
}

ssize_t read(int file, void *buffer, size_t len) {
    if (is_read_refused(file)) return refused();
    return syscall(SYS_read, file, buffer, len);
}

ssize_t pread64(int file, void *buffer, size_t len, off64_t offset) {
    if (is_read_refused(file)) return refused();
    return syscall(SYS_pread64, file, buffer, len, offset);
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes, void *(*run)(void *),
                   void *restrict argument) {
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real) real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create");
    const char *part = getenv("REFUSE_PATH");
    if ((atomic_load(&seen) || (part && !*part)) && is_refused("thread")) return (int)number("REFUSE_ERRNO", EAGAIN);
    return real(thread, attributes, run, argument);
}
