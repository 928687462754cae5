/* A disk and a clock that do as a test tells them, preloaded into the server's process.

   The file that FAULTY_DISK names is shared with the test and holds what is to go wrong. Only the
   call log's files are concerned: those whose path contains "calls.db". */

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

struct orders {
    int64_t sync_takes_us; /* how long each sync takes longer */
    int64_t sync_errno;    /* with what each sync fails, 0 if it does not */
    int64_t write_errno;
    int64_t open_errno;    /* of opening to write */
    int64_t clock_ahead_s; /* how far the wall clock is off */
    int64_t syncs;         /* counted here: how many there were */
    int64_t writes;
};

enum { MOST_FILES = 65536 };
static char concerned[MOST_FILES];

static volatile struct orders *orders(void)
{
    static volatile struct orders none, *shared;
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
    if (fd >= 0 && fd < MOST_FILES)
        concerned[fd] = is_log(path);
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
        if (is_log(path) && (flags & O_ACCMODE) != O_RDONLY && fails(orders()->open_errno)) \
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
        if (fd < 0 || fd >= MOST_FILES || !concerned[fd])                            \
            return real(fd);                                                         \
        __sync_fetch_and_add(&orders()->syncs, 1);                                   \
        if (orders()->sync_takes_us > 0)                                             \
            usleep((useconds_t)orders()->sync_takes_us);                             \
        return fails(orders()->sync_errno) ? -1 : real(fd);                          \
    }
SYNC(fsync)
SYNC(fdatasync)

#define WRITE(name, ...)                                                             \
    {                                                                                \
        if (real == NULL)                                                            \
            real = dlsym(RTLD_NEXT, #name);                                          \
        if (fd >= 0 && fd < MOST_FILES && concerned[fd]) {                           \
            __sync_fetch_and_add(&orders()->writes, 1);                              \
            if (fails(orders()->write_errno))                                        \
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
        now->tv_sec += orders()->clock_ahead_s;
    return result;
}
