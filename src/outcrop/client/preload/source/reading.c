/* Calls that read: they get the real path. */

#include "calls.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#define FOLLOWS(flags) (((flags) & AT_SYMLINK_NOFOLLOW) == 0)

/* stat(2) and its kin, by the names of old and new C libraries. */
READS(int, -1, stat, 1, (const char *path, void *status), (path, status))
READS(int, -1, stat64, 1, (const char *path, void *status), (path, status))
READS(int, -1, lstat, 0, (const char *path, void *status), (path, status))
READS(int, -1, lstat64, 0, (const char *path, void *status), (path, status))
READS(int, -1, __xstat, 1, (int version, const char *path, void *status), (version, path, status))
READS(int, -1, __xstat64, 1, (int version, const char *path, void *status), (version, path, status))
READS(int, -1, __lxstat, 0, (int version, const char *path, void *status), (version, path, status))
READS(int, -1, __lxstat64, 0, (int version, const char *path, void *status), (version, path, status))
READS_AT(int, -1, fstatat, directory, FOLLOWS(flags), (int directory, const char *path, void *status, int flags),
         (directory, path, status, flags))
READS_AT(int, -1, fstatat64, directory, FOLLOWS(flags), (int directory, const char *path, void *status, int flags),
         (directory, path, status, flags))
READS_AT(int, -1, __fxstatat, directory, FOLLOWS(flags),
         (int version, int directory, const char *path, void *status, int flags),
         (version, directory, path, status, flags))
READS_AT(int, -1, __fxstatat64, directory, FOLLOWS(flags),
         (int version, int directory, const char *path, void *status, int flags),
         (version, directory, path, status, flags))
READS_AT(int, -1, statx, directory, FOLLOWS(flags),
         (int directory, const char *path, int flags, unsigned mask, void *status),
         (directory, path, flags, mask, status))

/* Directories. */
READS(int, -1, chdir, 1, (const char *path), (path))
READS(DIR *, NULL, opendir, 1, (const char *path), (path))
READS(int, -1, scandir, 1, (const char *path, void *names, void *wanted, void *order), (path, names, wanted, order))
READS(int, -1, scandir64, 1, (const char *path, void *names, void *wanted, void *order), (path, names, wanted, order))
READS_AT(int, -1, scandirat, directory, 1,
         (int directory, const char *path, void *names, void *wanted, void *order),
         (directory, path, names, wanted, order))
READS_AT(int, -1, scandirat64, directory, 1,
         (int directory, const char *path, void *names, void *wanted, void *order),
         (directory, path, names, wanted, order))

/* Attributes, limits, news, and where messages are. */
READS(ssize_t, -1, getxattr, 1, (const char *path, const char *name, void *value, size_t size),
      (path, name, value, size))
READS(ssize_t, -1, lgetxattr, 0, (const char *path, const char *name, void *value, size_t size),
      (path, name, value, size))
READS(ssize_t, -1, listxattr, 1, (const char *path, char *names, size_t size), (path, names, size))
READS(ssize_t, -1, llistxattr, 0, (const char *path, char *names, size_t size), (path, names, size))
READS(long, -1, pathconf, 1, (const char *path, int name), (path, name))
READS(int, -1, inotify_add_watch, 1, (int queue, const char *path, uint32_t mask), (queue, path, mask))
READS(char *, NULL, bindtextdomain, 1, (const char *domain, const char *path), (domain, path))

/* Whether something may be read or run is asked of the copy; nothing in a view may be written. */
static int may(int (*next)(int, const char *, int, int), int directory, const char *path, int mode, int flags)
{
    struct place place;
    if ((mode & W_OK) != 0 && path_in_view(directory, path, &place) != NULL) {
        errno = is_there(directory, path, place.text) ? EROFS : ENOENT;
        return -1;
    }
    int result = next(directory, real_path(path, &place), mode, flags);
    if (result == -1 && errno == ENOENT) {
        const char *other = path_through_links(directory, path, FOLLOWS(flags), &place);
        if (other != NULL)
            result = next(directory, other, mode, flags);
    }
    return result;
}

CALL(int, faccessat, (int directory, const char *path, int mode, int flags))
{
    NEXT(int, faccessat, (int directory, const char *path, int mode, int flags));
    return may(next, directory, path, mode, flags);
}

static int (*next_faccessat(void))(int, const char *, int, int)
{
    NEXT(int, faccessat, (int directory, const char *path, int mode, int flags));
    return next;
}

CALL(int, access, (const char *path, int mode))
{
    return may(next_faccessat(), AT_FDCWD, path, mode, 0);
}

CALL(int, eaccess, (const char *path, int mode))
{
    return may(next_faccessat(), AT_FDCWD, path, mode, AT_EACCESS);
}

CALL(int, euidaccess, (const char *path, int mode))
{
    return may(next_faccessat(), AT_FDCWD, path, mode, AT_EACCESS);
}

/* A view is read-only, whatever the file system is that it is kept on. */
#define READ_ONLY_STATUS(name, kind, flags)                                                      \
    CALL(int, name, (const char *path, struct kind *status))                                     \
    {                                                                                            \
        NEXT(int, name, (const char *path, struct kind *status));                                \
        struct place place, real;                                                                \
        const char *there = path_in_view(AT_FDCWD, path, &place);                                \
        if (there == NULL)                                                                       \
            there = path;                                                                        \
        int result = next(there, status);                                                        \
        if (result == -1 && errno == ENOENT                                                      \
            && (there = path_through_links(AT_FDCWD, path, 1, &real)) != NULL)                   \
            result = next(there, status);                                                        \
        if (result == 0 && there != path)                                                        \
            status->flags |= ST_RDONLY;                                                          \
        return result;                                                                           \
    }

READ_ONLY_STATUS(statfs, statfs, f_flags)
READ_ONLY_STATUS(statfs64, statfs64, f_flags)
READ_ONLY_STATUS(statvfs, statvfs, f_flag)
READ_ONLY_STATUS(statvfs64, statvfs64, f_flag)
