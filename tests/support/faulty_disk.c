/* A disk and a clock that fail as a test sets them to, preloaded into the server's process.

   FAULTY_DISK names a file that is shared with the test and holds the faults. They apply to the
   call log's files alone: those whose path contains "calls.db". */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct faults {
    int64_t sync_takes_us; /* added to each sync */
    int64_t sync_errno;    /* the error of each sync, 0 for none */
    int64_t write_errno;
    int64_t open_errno;    /* of opening for writing */
    int64_t clock_ahead_s; /* by how much the wall clock is ahead */
    int64_t syncs;         /* counted here */
    int64_t writes;
};

enum { MAX_FILES = 65536 };
static char is_log_file[MAX_FILES];

static volatile struct faults *faults(void)
{
    static volatile struct faults none, *shared;
    if (shared == NULL) {
        const char *path = getenv("FAULTY_DISK");
        static int (*real_open)(const char *, int, ...);
        real_open = dlsym(RTLD_NEXT, "open");
        int fd = path ? real_open(path, O_RDWR | O_CLOEXEC) : -1;
        void *map = fd < 0 ? MAP_FAILED
                           : mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        shared = map == MAP_FAILED ? &none : map;
        if (fd >= 0)
            close(fd);
    }
    return shared;
}

static int fails(int64_t error)
{
    if (error != 0)
        errno = (int)error;
    return error != 0;
}

static int is_log(const char *path) { return strstr(path, "calls.db") != NULL; }

static int opened(int fd, const char *path)
{
    if (fd >= 0 && fd < MAX_FILES)
        is_log_file[fd] = is_log(path);
    return fd;
}

#define OPEN(name)                                                                   \
    int name(const char *path, int flags, ...)                                       \
    {                                                                                \
        static int (*real)(const char *, int, ...);                                  \
        va_list rest;                                                                \
        va_start(rest, flags);                                                       \
        mode_t mode = va_arg(rest, mode_t);                                          \
        va_end(rest);                                                                \
        if (real == NULL)                                                            \
            real = dlsym(RTLD_NEXT, #name);                                          \
        if (is_log(path) && (flags & O_ACCMODE) != O_RDONLY && fails(faults()->open_errno)) \
            return -1;                                                               \
        return opened(real(path, flags, mode), path);                                \
    }
OPEN(open)
OPEN(open64)

#define SYNC(name)                                                                   \
    int name(int fd)                                                                 \
    {                                                                                \
        static int (*real)(int);                                                     \
        if (real == NULL)                                                            \
            real = dlsym(RTLD_NEXT, #name);                                          \
        if (fd < 0 || fd >= MAX_FILES || !is_log_file[fd])                            \
            return real(fd);                                                         \
        __sync_fetch_and_add(&faults()->syncs, 1);                                   \
        if (faults()->sync_takes_us > 0)                                             \
            usleep((useconds_t)faults()->sync_takes_us);                             \
        return fails(faults()->sync_errno) ? -1 : real(fd);                          \
    }
SYNC(fsync)
SYNC(fdatasync)

#define WRITE(name, ...)                                                             \
    {                                                                                \
        if (real == NULL)                                                            \
            real = dlsym(RTLD_NEXT, #name);                                          \
        if (fd >= 0 && fd < MAX_FILES && is_log_file[fd]) {                           \
            __sync_fetch_and_add(&faults()->writes, 1);                              \
            if (fails(faults()->write_errno))                                        \
                return -1;                                                           \
        }                                                                            \
        return real(__VA_ARGS__);                                                    \
    }
ssize_t write(int fd, const void *data, size_t size)
{
    static ssize_t (*real)(int, const void *, size_t);
    WRITE(write, fd, data, size)
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    static ssize_t (*real)(int, const void *, size_t, off_t);
    WRITE(pwrite, fd, data, size, at)
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    WRITE(pwrite64, fd, data, size, at)
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL)
        real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME)
        now->tv_sec += faults()->clock_ahead_s;
    return result;
}
