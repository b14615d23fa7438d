/* Views: a directory that is shown at a prefix where nothing is.

   `OUTCROP_PRELOAD_MAP` has a line for each: the prefix, a tab, the directory (canonical, as the kernel tells it). The
   longest prefix comes first. */

#pragma once

#include <limits.h>
#include <stddef.h>

#define MAP_VARIABLE "OUTCROP_PRELOAD_MAP"

enum { MOST_MAP_BYTES = 65536 };

/* Room for a translated path. */
struct place {
    char text[PATH_MAX];
};

extern const size_t place_bytes;

/* Takes the views from the value of the variable. To be called once. */
void read_views(const char *value);

/* Where `path` really lies: in `place`, or `path` itself if it is below no prefix. */
const char *real_path(const char *path, struct place *place);

/* Whether `path` is below a prefix. */
int is_shown(const char *path);

/* By which name what lies at the real path `path` is shown: in `place`, or `path` itself if it is in no view. */
const char *shown_path(const char *path, struct place *place);

/* Where `path` (from `directory`) really lies, if a symbolic link on the way leads below a prefix: the kernel cannot
   follow such a link. NULL where there is none, or nothing at its end. `follow`: whether a link at the very end
   counts. */
const char *path_through_links(int directory, const char *path, int follow, struct place *place);

/* Where `path` (from `directory`) really lies, in `place`, if that is in a view and must not be changed; else NULL. */
const char *path_in_view(int directory, const char *path, struct place *place);

/* The real path of what is open as `file` (AT_FDCWD: of the directory that this process is in), in `place`; its length,
   0 where that is not known. */
size_t path_of_open(int file, struct place *place);
