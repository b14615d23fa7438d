/* syscall(2): some programs ask the kernel by number, above all for statx(2). */

#include "calls.h"

enum { NONE = -2 };

/* Where a system call has its path: `path` and `directory` are places of arguments, NONE where there is no such. */
struct shape {
    long number;
    int directory, path, changes;
};

static const struct shape shapes[] = {
#ifdef SYS_open
    {SYS_open, NONE, 0, 0},
    {SYS_stat, NONE, 0, 0},
    {SYS_lstat, NONE, 0, 0},
    {SYS_access, NONE, 0, 0},
    {SYS_readlink, NONE, 0, 0},
    {SYS_chdir, NONE, 0, 0},
    {SYS_mkdir, NONE, 0, 1},
    {SYS_unlink, NONE, 0, 1},
#endif
    {SYS_openat, 0, 1, 0},
#ifdef SYS_openat2
    {SYS_openat2, 0, 1, 0},
#endif
#ifdef SYS_newfstatat
    {SYS_newfstatat, 0, 1, 0},
#endif
    {SYS_statx, 0, 1, 0},
    {SYS_faccessat, 0, 1, 0},
#ifdef SYS_faccessat2
    {SYS_faccessat2, 0, 1, 0},
#endif
    {SYS_readlinkat, 0, 1, 0},
    {SYS_mkdirat, 0, 1, 1},
    {SYS_unlinkat, 0, 1, 1},
    {SYS_renameat2, 2, 3, 1},
};

#define SYSCALL_PARAMETERS (long number, long a, long b, long c, long d, long e, long f)

static const struct shape *shape_of(long number)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i].number == number)
            return &shapes[i];
    return NULL;
}

static __attribute__((noinline)) long ask_with_path(const struct shape *shape, long *arguments)
{
    struct place place;
    int directory = shape->directory == NONE ? AT_FDCWD : (int)arguments[shape->directory];
    const char *given = (const char *)arguments[shape->path];
    if (shape->changes && refusal(directory, given, TAKES) != 0)
        return -EROFS;
    const char *path = real_path(given, &place);
    for (;;) {
        arguments[shape->path] = (long)path;
        long result = ask_kernel(shape->number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                                 arguments[5]);
        if (result != -ENOENT || given == NULL)
            return result;
        path = path_through_links(directory, given, 1, &place);
        if (path == NULL)
            return result;
        given = NULL;
    }
}

CALL(long, syscall, SYSCALL_PARAMETERS)
{
    NEXT(long, syscall, SYSCALL_PARAMETERS);
    const struct shape *shape = shape_of(number);
    if (shape == NULL)
        return next(number, a, b, c, d, e, f);
    long result = ask_with_path(shape, (long[]){a, b, c, d, e, f});
    if (result >= 0 || result < -4095)
        return result;
    errno = (int)-result;
    return -1;
}
