/* Loaded before libc into the program: while the file that OPTVIEW_BENCH_HOLD names is there, no write and no sync of a file
 * at an offset returns, as with a disk that does not answer. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_while_held(void) {
    const char *hold = getenv("OPTVIEW_BENCH_HOLD");
    while (hold && access(hold, F_OK) == 0)
        usleep(10000);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    wait_while_held();
    return syscall(SYS_pwrite64, fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return pwrite64(fd, bytes, count, offset);
}

int fsync(int fd) {
    wait_while_held();
    return syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    wait_while_held();
    return syscall(SYS_fdatasync, fd);
}
