/* How a call of the C library is put in front of.

   A replacement has a name of its own here and the call's name in the library, so no header's declaration or macro is
   in its way, and it exists whether or not the C library of the compiling machine has the call. */

#pragma once

#include <errno.h>
#include <stddef.h>

#include "system.h"
#include "views.h"

/* The call of that name behind ours; one that fails with ENOSYS where there is none. */
void *next_call(const char *name);

#define CALL(type, name, parameters)                            \
    EXPORTED type outcrop_##name parameters __asm__(#name);     \
    EXPORTED type outcrop_##name parameters

#define NEXT(type, name, parameters)                            \
    static type(*next) parameters;                              \
    if (__builtin_expect(next == NULL, 0))                      \
        next = (type(*) parameters)next_call(#name)

/* Room for the real path of `path`, if it is not `path` itself. Handlers of signals have small stacks, so those who do
   not need it do not take it (a size that the compiler knows would be taken by every call). */
#define ROOM() __builtin_alloca(place_bytes)
#define ROOM_FOR(path) (is_shown(path) ? ROOM() : NULL)

/* A call that reads what is at `path` (from `directory`): it gets the real path. Only where it finds nothing are the
   links on the way looked at. */
#define READS_AT(type, failed, name, directory, follow, parameters, arguments)                     \
    CALL(type, name, parameters)                                                                   \
    {                                                                                              \
        NEXT(type, name, parameters);                                                              \
        const char *const given = path;                                                            \
        struct place *place = ROOM_FOR(given);                                                     \
        if (place != NULL)                                                                         \
            path = real_path(given, place);                                                        \
        type result = next arguments;                                                              \
        if (__builtin_expect(result == (failed) && errno == ENOENT, 0)) {                          \
            path = path_through_links(directory, given, follow, place != NULL ? place : ROOM());   \
            if (path != NULL)                                                                      \
                result = next arguments;                                                           \
        }                                                                                          \
        return result;                                                                             \
    }

#define READS(type, failed, name, follow, parameters, arguments) \
    READS_AT(type, failed, name, AT_FDCWD, follow, parameters, arguments)

/* A change makes a new name, alters what is there, or takes it away: the kernel says different things of these on a
   file system that is read-only. */
enum change { MAKES, ALTERS, TAKES };

/* Whether something is at `path` (from `directory`), which really is at `real` unless a link leads elsewhere. */
int is_there(int directory, const char *path, const char *real);

/* The error of a change to `path`; 0 if that is in no view. */
int refusal(int directory, const char *path, enum change change);

#define CHANGES_AT(type, failed, name, directory, change, parameters, arguments) \
    CALL(type, name, parameters)                                                 \
    {                                                                            \
        NEXT(type, name, parameters);                                            \
        int refused = refusal(directory, path, change);                          \
        if (refused != 0) {                                                      \
            errno = refused;                                                     \
            return failed;                                                       \
        }                                                                        \
        return next arguments;                                                   \
    }

#define CHANGES(name, change, parameters, arguments) \
    CHANGES_AT(int, -1, name, AT_FDCWD, change, parameters, arguments)
