/* Calls that change: in a view they fail as on a file system that is read-only. */

#include "calls.h"

#include <sys/time.h>
#include <time.h>

int is_there(int directory, const char *path, const char *real)
{
    struct place place;
    return kernel_access(real, F_OK) || path_through_links(directory, path, 1, &place) != NULL;
}

int refusal(int directory, const char *path, enum change change)
{
    struct place place;
    if (path_in_view(directory, path, &place) == NULL)
        return 0;
    if (change == TAKES)
        return EROFS;
    int exists = is_there(directory, path, place.text);
    if (change == MAKES)
        return exists ? EEXIST : EROFS;
    return exists ? EROFS : ENOENT;
}

CHANGES(mkdir, MAKES, (const char *path, unsigned mode), (path, mode))
CHANGES(mkfifo, MAKES, (const char *path, unsigned mode), (path, mode))
CHANGES(mknod, MAKES, (const char *path, unsigned mode, unsigned long device), (path, mode, device))
CHANGES(__xmknod, MAKES, (int version, const char *path, unsigned mode, void *device), (version, path, mode, device))
CHANGES_AT(int, -1, mkdirat, directory, MAKES, (int directory, const char *path, unsigned mode),
           (directory, path, mode))
CHANGES_AT(int, -1, mkfifoat, directory, MAKES, (int directory, const char *path, unsigned mode),
           (directory, path, mode))
CHANGES_AT(int, -1, mknodat, directory, MAKES,
           (int directory, const char *path, unsigned mode, unsigned long device), (directory, path, mode, device))
CHANGES(symlink, MAKES, (const char *target, const char *path), (target, path))
CHANGES_AT(int, -1, symlinkat, directory, MAKES, (const char *target, int directory, const char *path),
           (target, directory, path))

CHANGES(unlink, TAKES, (const char *path), (path))
CHANGES(rmdir, TAKES, (const char *path), (path))
CHANGES(remove, TAKES, (const char *path), (path))
CHANGES_AT(int, -1, unlinkat, directory, TAKES, (int directory, const char *path, int flags),
           (directory, path, flags))

CHANGES(truncate, ALTERS, (const char *path, off_t length), (path, length))
CHANGES(truncate64, ALTERS, (const char *path, off_t length), (path, length))
CHANGES(chmod, ALTERS, (const char *path, unsigned mode), (path, mode))
CHANGES(lchmod, ALTERS, (const char *path, unsigned mode), (path, mode))
CHANGES_AT(int, -1, fchmodat, directory, ALTERS, (int directory, const char *path, unsigned mode, int flags),
           (directory, path, mode, flags))
CHANGES(chown, ALTERS, (const char *path, unsigned user, unsigned group), (path, user, group))
CHANGES(lchown, ALTERS, (const char *path, unsigned user, unsigned group), (path, user, group))
CHANGES_AT(int, -1, fchownat, directory, ALTERS,
           (int directory, const char *path, unsigned user, unsigned group, int flags),
           (directory, path, user, group, flags))
CHANGES(utime, ALTERS, (const char *path, const void *times), (path, times))
CHANGES(utimes, ALTERS, (const char *path, const void *times), (path, times))
CHANGES(lutimes, ALTERS, (const char *path, const void *times), (path, times))
CHANGES_AT(int, -1, futimesat, directory, ALTERS, (int directory, const char *path, const void *times),
           (directory, path, times))
CHANGES_AT(int, -1, utimensat, directory, ALTERS, (int directory, const char *path, const void *times, int flags),
           (directory, path, times, flags))
CHANGES(setxattr, ALTERS, (const char *path, const char *name, const void *value, size_t size, int flags),
        (path, name, value, size, flags))
CHANGES(lsetxattr, ALTERS, (const char *path, const char *name, const void *value, size_t size, int flags),
        (path, name, value, size, flags))
CHANGES(removexattr, ALTERS, (const char *path, const char *name), (path, name))
CHANGES(lremovexattr, ALTERS, (const char *path, const char *name), (path, name))

/* Temporary files: a template is a name that is not there. */
CHANGES(mkstemp, TAKES, (char *path), (path))
CHANGES(mkstemp64, TAKES, (char *path), (path))
CHANGES(mkostemp, TAKES, (char *path, int flags), (path, flags))
CHANGES(mkostemp64, TAKES, (char *path, int flags), (path, flags))
CHANGES(mkstemps, TAKES, (char *path, int suffix), (path, suffix))
CHANGES(mkstemps64, TAKES, (char *path, int suffix), (path, suffix))
CHANGES(mkostemps, TAKES, (char *path, int suffix, int flags), (path, suffix, flags))
CHANGES(mkostemps64, TAKES, (char *path, int suffix, int flags), (path, suffix, flags))
CHANGES_AT(char *, NULL, mkdtemp, AT_FDCWD, TAKES, (char *path), (path))

/* Calls with two names: nothing goes from a view to elsewhere or back. */
static int moves(int from, const char *old, int to, const char *path)
{
    struct place place;
    if (path_in_view(from, old, &place) == NULL)
        return path_in_view(to, path, &place) == NULL ? 0 : EXDEV;
    if (!is_there(from, old, place.text))
        return ENOENT;
    return path_in_view(to, path, &place) == NULL ? EXDEV : EROFS;
}

#define MOVES(name, from, to, parameters, arguments) \
    CALL(int, name, parameters)                      \
    {                                                \
        NEXT(int, name, parameters);                 \
        int refused = moves(from, old, to, path);    \
        if (refused != 0) {                          \
            errno = refused;                         \
            return -1;                               \
        }                                            \
        return next arguments;                       \
    }

MOVES(rename, AT_FDCWD, AT_FDCWD, (const char *old, const char *path), (old, path))
MOVES(renameat, from, to, (int from, const char *old, int to, const char *path), (from, old, to, path))
MOVES(renameat2, from, to, (int from, const char *old, int to, const char *path, unsigned flags),
      (from, old, to, path, flags))
MOVES(link, AT_FDCWD, AT_FDCWD, (const char *old, const char *path), (old, path))
MOVES(linkat, from, to, (int from, const char *old, int to, const char *path, int flags), (from, old, to, path, flags))
