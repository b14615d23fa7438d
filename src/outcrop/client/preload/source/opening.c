/* Calls that open, for reading or for writing. */

#include "calls.h"

#include <stdio.h>

#ifndef O_LARGEFILE
#define O_LARGEFILE 0
#endif

#define MAY_WRITE(flags) (((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0)

/* What open(2) says on a file system that is read-only; 0 where nothing hinders it. */
static __attribute__((noinline)) int open_refusal(int directory, const char *path, int flags)
{
    struct place place;
    if (path_in_view(directory, path, &place) == NULL)
        return 0;
    int exists = is_there(directory, path, place.text);
    if (!exists)
        return (flags & O_CREAT) != 0 ? EROFS : ENOENT;
    if ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0)
        return EEXIST;
    return (flags & (O_WRONLY | O_RDWR | O_TRUNC)) != 0 ? EROFS : 0;
}

#define OPENS_AT(name, directory, parameters, arguments)                                             \
    CALL(int, name, parameters)                                                                      \
    {                                                                                                \
        NEXT(int, name, parameters);                                                                 \
        const char *const given = path;                                                              \
        struct place *place = ROOM_FOR(given);                                                       \
        int refused = MAY_WRITE(flags) ? open_refusal(directory, given, flags) : 0;                  \
        if (refused != 0) {                                                                          \
            errno = refused;                                                                         \
            return -1;                                                                               \
        }                                                                                            \
        if (place != NULL)                                                                           \
            path = real_path(given, place);                                                          \
        int result = next arguments;                                                                 \
        if (__builtin_expect(result == -1 && errno == ENOENT, 0)) {                                  \
            path = path_through_links(directory, given, (flags & O_NOFOLLOW) == 0,                   \
                                      place != NULL ? place : ROOM());                               \
            if (path != NULL) {                                                                      \
                if ((flags & (O_WRONLY | O_RDWR | O_TRUNC)) != 0) {                                  \
                    errno = EROFS;                                                                   \
                    return -1;                                                                       \
                }                                                                                    \
                result = next arguments;                                                             \
            }                                                                                        \
        }                                                                                            \
        return result;                                                                               \
    }

#define OPENS(name) OPENS_AT(name, AT_FDCWD, (const char *path, int flags, unsigned mode), (path, flags, mode))
#define OPENS_CHECKED(name) OPENS_AT(name, AT_FDCWD, (const char *path, int flags), (path, flags))
#define OPENS_FROM(name)                                                                    \
    OPENS_AT(name, directory, (int directory, const char *path, int flags, unsigned mode),  \
             (directory, path, flags, mode))
#define OPENS_FROM_CHECKED(name) \
    OPENS_AT(name, directory, (int directory, const char *path, int flags), (directory, path, flags))

OPENS(open)
OPENS(open64)
OPENS(__open)
OPENS(__open64)
OPENS_CHECKED(__open_2)
OPENS_CHECKED(__open64_2)
OPENS_FROM(openat)
OPENS_FROM(openat64)
OPENS_FROM_CHECKED(__openat_2)
OPENS_FROM_CHECKED(__openat64_2)

CHANGES(creat, TAKES, (const char *path, unsigned mode), (path, mode))
CHANGES(creat64, TAKES, (const char *path, unsigned mode), (path, mode))

/* The flags of open(2) that a mode of fopen(3) stands for, as far as they say whether something is written. */
static int flags_of(const char *mode)
{
    int flags = contains(mode, "+") ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY;
    return flags | (*mode == 'r' ? 0 : O_CREAT) | (contains(mode, "x") ? O_EXCL : 0);
}

#define OPENS_STREAM(name, parameters, arguments)                                              \
    CALL(FILE *, name, parameters)                                                             \
    {                                                                                          \
        NEXT(FILE *, name, parameters);                                                        \
        const char *const given = path;                                                        \
        struct place place;                                                                    \
        int refused = MAY_WRITE(flags_of(mode)) ? open_refusal(AT_FDCWD, path, flags_of(mode)) : 0; \
        if (refused != 0) {                                                                    \
            errno = refused;                                                                   \
            return NULL;                                                                       \
        }                                                                                      \
        path = real_path(given, &place);                                                       \
        FILE *result = next arguments;                                                         \
        if (result == NULL && errno == ENOENT && *mode == 'r' && !contains(mode, "+")          \
            && (path = path_through_links(AT_FDCWD, given, 1, &place)) != NULL)                \
            result = next arguments;                                                           \
        return result;                                                                         \
    }

OPENS_STREAM(fopen, (const char *path, const char *mode), (path, mode))
OPENS_STREAM(fopen64, (const char *path, const char *mode), (path, mode))

/* freopen(3) closes its stream when it fails, so it is not tried twice: the path is known before. */
#define REOPENS_STREAM(name)                                                                   \
    CALL(FILE *, name, (const char *path, const char *mode, FILE *stream))                     \
    {                                                                                          \
        NEXT(FILE *, name, (const char *path, const char *mode, FILE *stream));                \
        struct place place;                                                                    \
        int refused = MAY_WRITE(flags_of(mode)) ? open_refusal(AT_FDCWD, path, flags_of(mode)) : 0; \
        if (refused != 0) {                                                                    \
            fclose(stream);                                                                    \
            errno = refused;                                                                   \
            return NULL;                                                                       \
        }                                                                                      \
        const char *real = real_path(path, &place);                                            \
        if (path != NULL && flags_of(mode) == O_RDONLY && !kernel_access(real, F_OK)) {        \
            const char *led = path_through_links(AT_FDCWD, path, 1, &place);                   \
            real = led != NULL ? led : real_path(path, &place);                                \
        }                                                                                      \
        return next(real, mode, stream);                                                       \
    }

REOPENS_STREAM(freopen)
REOPENS_STREAM(freopen64)
