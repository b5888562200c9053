/* Loaded before libc into the program: while the file that OPTVIEW_TEST_HOLD names is there, no sync of any file returns,
 * as with a disk that does not answer. Compiled with HOLD_WRITES, no write to a file at an offset returns either. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_while_held(void) {
    const char *hold = getenv("OPTVIEW_TEST_HOLD");
    while (hold && access(hold, F_OK) == 0)
        usleep(10000);
}

int fsync(int fd) {
    wait_while_held();
    return syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    wait_while_held();
    return syscall(SYS_fdatasync, fd);
}

#ifdef HOLD_WRITES
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    wait_while_held();
    return syscall(SYS_pwrite64, fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return pwrite64(fd, bytes, count, offset);
}
#endif
