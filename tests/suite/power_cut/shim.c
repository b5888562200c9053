/* Loaded before libc into a process that writes a store. Notes, in order, all that changes files below a directory and
 * all that syncs them, so that a test can tell what a disk may hold after a power cut.
 *
 * The calls are serialised, so the journal's order is the order in which they were made. An entry is
 * operation (1 byte), offset or length (8), length of the path (4), length of the data (4), path, data; little endian
 * as far as the machine is. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;
static const char *watched;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("OPTVIEW_TEST_JOURNAL");
    watched = getenv("OPTVIEW_TEST_WATCHED");
    if (path && watched)
        journal = syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_WRONLY | O_APPEND, 0600);
}

static int is_watched(const char *path) {
    return journal >= 0 && strncmp(path, watched, strlen(watched)) == 0;
}

static int path_of(int fd, char path[4096]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, 4095);
    if (len < 0)
        return 0;
    path[len] = 0;
    return is_watched(path);
}

static void put(const void *bytes, size_t len) {
    const char *at = bytes;
    while (len > 0) {
        ssize_t written = syscall(SYS_write, journal, at, len);
        if (written <= 0)
            abort();
        at += written;
        len -= written;
    }
}

static void note(char operation, uint64_t number, const char *path, const void *data, size_t len) {
    char head[17];
    uint32_t path_len = strlen(path), data_len = len;
    int saved = errno;
    head[0] = operation;
    memcpy(head + 1, &number, 8);
    memcpy(head + 9, &path_len, 4);
    memcpy(head + 13, &data_len, 4);
    put(head, sizeof head);
    put(path, path_len);
    put(data, len);
    errno = saved;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset) {
    char path[4096];
    pthread_mutex_lock(&lock);
    ssize_t written = syscall(SYS_pwrite64, fd, data, len, offset);
    if (written > 0 && path_of(fd, path))
        note('W', offset, path, data, written);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) { return pwrite64(fd, data, len, offset); }

ssize_t write(int fd, const void *data, size_t len) {
    char path[4096];
    pthread_mutex_lock(&lock);
    off_t offset = lseek(fd, 0, SEEK_CUR);
    ssize_t written = syscall(SYS_write, fd, data, len);
    if (written > 0 && path_of(fd, path))
        note('W', offset, path, data, written);
    pthread_mutex_unlock(&lock);
    return written;
}

int ftruncate64(int fd, off64_t len) {
    char path[4096];
    pthread_mutex_lock(&lock);
    int done = syscall(SYS_ftruncate, fd, len);
    if (done == 0 && path_of(fd, path))
        note('T', len, path, "", 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

static int synced(int fd, long call, char operation) {
    char path[4096];
    pthread_mutex_lock(&lock);
    int done = syscall(call, fd);
    if (done == 0 && path_of(fd, path))
        note(operation, 0, path, "", 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int fd) { return synced(fd, SYS_fsync, 'S'); }

int fdatasync(int fd) { return synced(fd, SYS_fdatasync, 'D'); }

/* Starts the writing of pages and waits for it, but neither writes what is needed to find them again nor empties the
 * disk's own cache: for what is there after a power cut it counts as nothing. */
int sync_file_range(int fd, off64_t offset, off64_t len, unsigned int flags) {
    char path[4096];
    pthread_mutex_lock(&lock);
    int done = syscall(SYS_sync_file_range, fd, offset, len, flags);
    if (done == 0 && path_of(fd, path))
        note('F', offset, path, "", 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&lock);
    int done = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (done == 0 && is_watched(from))
        note('R', 0, from, to, strlen(to));
    pthread_mutex_unlock(&lock);
    return done;
}

int unlink(const char *path) {
    pthread_mutex_lock(&lock);
    int done = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (done == 0 && is_watched(path))
        note('U', 0, path, "", 0);
    pthread_mutex_unlock(&lock);
    return done;
}
