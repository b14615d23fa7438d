/* Calls that tell names: where they would tell the copy's, they tell the one that is shown. */

#include "calls.h"

#include <dirent.h>
#include <dlfcn.h>
#include <ftw.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "programs.h"

/* `text` in `buffer`, or in new memory where that is NULL. */
static char *given_out(const char *text, char *buffer, size_t room)
{
    size_t length = length_of(text) + 1;
    if (buffer == NULL) {
        buffer = malloc(room > length ? room : length);
        if (buffer == NULL)
            return NULL;
    } else if (room < length) {
        errno = ERANGE;
        return NULL;
    }
    memcpy(buffer, text, length);
    return buffer;
}

/* The directory that this process is in, if that is in a view; else NULL. */
static const char *shown_directory(struct place *shown)
{
    struct place real;
    if (ask_kernel(SYS_getcwd, (long)real.text, sizeof real.text, 0, 0, 0, 0) <= 0)
        return NULL;
    return shown_path(real.text, shown) == shown->text ? shown->text : NULL;
}

CALL(char *, getcwd, (char *buffer, size_t room))
{
    NEXT(char *, getcwd, (char *buffer, size_t room));
    struct place shown;
    if (shown_directory(&shown) == NULL)
        return next(buffer, room);
    if (buffer == NULL && room != 0 && room <= length_of(shown.text)) {
        errno = ERANGE;
        return NULL;
    }
    return given_out(shown.text, buffer, room);
}

CALL(char *, __getcwd_chk, (char *buffer, size_t room, size_t size))
{
    NEXT(char *, __getcwd_chk, (char *buffer, size_t room, size_t size));
    struct place shown;
    if (room > size || shown_directory(&shown) == NULL)
        return next(buffer, room, size);
    return given_out(shown.text, buffer, room);
}

CALL(char *, getwd, (char *buffer))
{
    NEXT(char *, getwd, (char *buffer));
    struct place shown;
    return shown_directory(&shown) != NULL ? given_out(shown.text, buffer, PATH_MAX) : next(buffer);
}

CALL(char *, get_current_dir_name, (void))
{
    NEXT(char *, get_current_dir_name, (void));
    struct place shown;
    return shown_directory(&shown) != NULL ? given_out(shown.text, NULL, 0) : next();
}

/* Where a symbolic link leads is told as it stands; only the kernel's own links name the copy. */
static ssize_t link_shown(int directory, const char *path, ssize_t length, char *text, size_t room)
{
    struct place real, shown;
    const char *told = program_shown(path);
    if (told == NULL) {
        if (length <= 0 || text[0] != '/')
            return length;
        if ((size_t)length == room) {
            struct place there;
            length = ask_kernel(SYS_readlinkat, directory, (long)real_path(path, &there), (long)real.text,
                                sizeof real.text - 1, 0, 0);
        } else
            memcpy(real.text, text, (size_t)length);
        if (length <= 0)
            return -1;
        real.text[length] = '\0';
        told = shown_path(real.text, &shown);
    }
    size_t told_length = length_of(told);
    length = (ssize_t)(told_length < room ? told_length : room);
    memcpy(text, told, (size_t)length);
    return length;
}

#define TELLS_LINK(name, directory, parameters, arguments)                                         \
    CALL(ssize_t, name, parameters)                                                                \
    {                                                                                              \
        NEXT(ssize_t, name, parameters);                                                           \
        const char *const given = path;                                                            \
        struct place place;                                                                        \
        path = real_path(given, &place);                                                           \
        ssize_t length = next arguments;                                                           \
        if (length == -1 && errno == ENOENT                                                        \
            && (path = path_through_links(directory, given, 0, &place)) != NULL)                   \
            length = next arguments;                                                               \
        return length < 0 ? length : link_shown(directory, given, length, text, room);             \
    }

TELLS_LINK(readlink, AT_FDCWD, (const char *path, char *text, size_t room), (path, text, room))
TELLS_LINK(__readlink_chk, AT_FDCWD, (const char *path, char *text, size_t room, size_t size),
           (path, text, room, size))
TELLS_LINK(readlinkat, directory, (int directory, const char *path, char *text, size_t room),
           (directory, path, text, room))
TELLS_LINK(__readlinkat_chk, directory, (int directory, const char *path, char *text, size_t room, size_t size),
           (directory, path, text, room, size))

/* The canonical name of `path`: what `next` says of the real one, turned back. */
static char *canonical(char *(*next)(const char *, char *), const char *path, char *buffer)
{
    struct place real, place;
    char *found = next(real_path(path, &place), real.text);
    if (found == NULL && errno == ENOENT) {
        const char *led = path_through_links(AT_FDCWD, path, 1, &place);
        found = led != NULL ? next(led, real.text) : NULL;
    }
    if (found == NULL)
        return NULL;
    const char *told = program_shown(path);
    return given_out(told != NULL ? told : shown_path(real.text, &place), buffer, PATH_MAX);
}

CALL(char *, realpath, (const char *path, char *buffer))
{
    NEXT(char *, realpath, (const char *path, char *buffer));
    return canonical(next, path, buffer);
}

CALL(char *, __realpath_chk, (const char *path, char *buffer, size_t size))
{
    (void)size;
    return outcrop_realpath(path, buffer);
}

CALL(char *, canonicalize_file_name, (const char *path))
{
    return outcrop_realpath(path, NULL);
}

/* `path` under the name that is shown, in memory that stays: a library's name is told for as long as it is loaded. */
static const char *lasting(const char *path)
{
    static const char *known[256];
    struct place shown;
    if (path == NULL || shown_path(path, &shown) == path)
        return path;
    size_t slot = 0;
    for (const char *at = shown.text; *at != '\0'; at++)
        slot = (slot * 31 + (unsigned char)*at) % (sizeof known / sizeof *known);
    const char *found = __atomic_load_n(&known[slot], __ATOMIC_ACQUIRE);
    if (found == NULL || strcmp(found, shown.text) != 0) {
        found = given_out(shown.text, NULL, 0);
        if (found == NULL)
            return path;
        __atomic_store_n(&known[slot], found, __ATOMIC_RELEASE);
    }
    return found;
}

CALL(int, dladdr, (const void *address, Dl_info *information))
{
    NEXT(int, dladdr, (const void *address, Dl_info *information));
    int result = next(address, information);
    if (result != 0)
        information->dli_fname = lasting(information->dli_fname);
    return result;
}

CALL(int, dladdr1, (const void *address, Dl_info *information, void **extra, int flags))
{
    NEXT(int, dladdr1, (const void *address, Dl_info *information, void **extra, int flags));
    int result = next(address, information, extra, flags);
    if (result != 0)
        information->dli_fname = lasting(information->dli_fname);
    return result;
}

/* glob(3) can be told how to read directories; it is told to do it by our calls, so no name has to be turned. */
#define MATCHES(name)                                                                                            \
    CALL(int, name, (const char *pattern, int flags, int (*failed)(const char *, int), glob_t *found))           \
    {                                                                                                            \
        NEXT(int, name, (const char *pattern, int flags, int (*failed)(const char *, int), glob_t *found));      \
        if ((flags & GLOB_ALTDIRFUNC) != 0)                                                                      \
            return next(pattern, flags, failed, found);                                                          \
        found->gl_opendir = (void *)opendir;                                                                     \
        found->gl_readdir = (void *)readdir;                                                                     \
        found->gl_closedir = (void *)closedir;                                                                   \
        found->gl_stat = (void *)stat;                                                                           \
        found->gl_lstat = (void *)lstat;                                                                         \
        int result = next(pattern, flags | GLOB_ALTDIRFUNC, failed, found);                                      \
        found->gl_flags &= ~GLOB_ALTDIRFUNC;                                                                     \
        return result;                                                                                           \
    }

MATCHES(glob)
MATCHES(glob64)

/* Walks over a tree call back with names, which are turned. */
typedef int (*visitor)(const char *, const void *, int, struct FTW *);

static __thread visitor visit __attribute__((tls_model("initial-exec")));

static int visit_shown(const char *path, const void *status, int type, struct FTW *where)
{
    struct place shown;
    const char *told = shown_path(path, &shown);
    struct FTW moved = {0};
    if (where != NULL) {
        moved = *where;
        moved.base += (int)length_of(told) - (int)length_of(path);
    }
    return visit(told, status, type, where != NULL ? &moved : NULL);
}

#define WALKS(name, parameters, arguments)                      \
    CALL(int, name, parameters)                                 \
    {                                                           \
        NEXT(int, name, parameters);                            \
        struct place place;                                     \
        const char *const given = path;                         \
        path = real_path(given, &place);                        \
        if (path == given)                                      \
            return next arguments;                              \
        visitor outer = visit;                                  \
        visit = visited;                                        \
        visited = visit_shown;                                  \
        int result = next arguments;                            \
        visit = outer;                                          \
        return result;                                          \
    }

WALKS(nftw, (const char *path, visitor visited, int files, int flags), (path, visited, files, flags))
WALKS(nftw64, (const char *path, visitor visited, int files, int flags), (path, visited, files, flags))

/* ftw(3) calls with three arguments only. */
static __thread int (*visit_plainly)(const char *, const void *, int) __attribute__((tls_model("initial-exec")));

static int visit_shown_plainly(const char *path, const void *status, int type)
{
    struct place shown;
    return visit_plainly(shown_path(path, &shown), status, type);
}

#define WALKS_PLAINLY(name)                                                                          \
    CALL(int, name, (const char *path, int (*visited)(const char *, const void *, int), int files))  \
    {                                                                                                \
        NEXT(int, name, (const char *path, int (*visited)(const char *, const void *, int), int));   \
        struct place place;                                                                          \
        const char *real = real_path(path, &place);                                                  \
        if (real == path)                                                                            \
            return next(path, visited, files);                                                       \
        int (*outer)(const char *, const void *, int) = visit_plainly;                               \
        visit_plainly = visited;                                                                     \
        int result = next(real, visit_shown_plainly, files);                                         \
        visit_plainly = outer;                                                                       \
        return result;                                                                               \
    }

WALKS_PLAINLY(ftw)
WALKS_PLAINLY(ftw64)

/* The C library's fts(3) keeps the paths that it was given and goes on from them, so its entries name the copy. */
#define WALKS_BY_ENTRIES(name)                                                                      \
    CALL(void *, name, (char *const *paths, int options, void *order))                              \
    {                                                                                               \
        NEXT(void *, name, (char *const *paths, int options, void *order));                         \
        size_t count = 0;                                                                           \
        while (paths[count] != NULL)                                                                \
            count++;                                                                                \
        struct place *places = malloc((count + 1) * sizeof *places);                                \
        const char **real = malloc((count + 1) * sizeof *real);                                     \
        void *walk = NULL;                                                                          \
        if (places != NULL && real != NULL) {                                                       \
            for (size_t i = 0; i < count; i++)                                                      \
                real[i] = real_path(paths[i], &places[i]);                                          \
            real[count] = NULL;                                                                     \
            walk = next((char *const *)real, options, order);                                       \
        }                                                                                           \
        free(places);                                                                               \
        free(real);                                                                                 \
        return walk;                                                                                \
    }

WALKS_BY_ENTRIES(fts_open)
WALKS_BY_ENTRIES(fts64_open)
