/* Makes one call to the file system fail, or write only part of what it was given: the disk of a bad day.

   Preloaded in front of libc (`LD_PRELOAD`). `fault_arm` chooses which calls count, by a letter each, and where the
   file must lie; the n-th of them fails with the given error. With the error 0 it is a write that takes one byte less
   than it was given, or half; without a rest to shorten it is an ordinary one. Calls of all threads are counted
   together.

     o  opening a file            c  opening one that is made or emptied by it
     r  reading                   w  writing                s  fsync, fdatasync, syncfs
     d  making a directory        n  renaming or linking    u  unlinking       t  truncating or allocating
*/

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char below[PATH_MAX];
static char letters[16];
static int injected;
static long due_call;
static long met;

void fault_arm(const char *directory, const char *calls, int error, int nth) {
  snprintf(below, sizeof below, "%s", directory);
  snprintf(letters, sizeof letters, "%s", calls);
  injected = error;
  met = 0;
  due_call = nth;
}

/* How many calls there were that count. */
int fault_disarm(void) {
  due_call = 0;
  return met;
}

static int lies_below(const char *path) {
  size_t length = strlen(below);
  return strncmp(path, below, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* Whether this call is the one that is to fail. `path` counts from `directory`, as in openat(2). */
static int is_due(char letter, int directory, const char *path) {
  char place[PATH_MAX], link[64];
  int saved = errno, due = 0;
  if (due_call <= 0 || strchr(letters, letter) == NULL)
    return 0;
  if (path == NULL || path[0] != '/') {
    if (path != NULL && directory == AT_FDCWD)
      snprintf(link, sizeof link, "/proc/self/cwd");
    else
      snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t size = readlink(link, place, sizeof place - 1);
    place[size > 0 ? size : 0] = 0;
    path = place;
  }
  if (lies_below(path)) {
    pthread_mutex_lock(&lock);
    due = ++met == due_call;
    pthread_mutex_unlock(&lock);
  }
  errno = saved;
  return due;
}

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
  return dlsym(RTLD_NEXT, name);
}

#define FAIL return (errno = injected, -1)

static size_t shortened(size_t size) {
  return size > 4096 ? size / 2 : size > 1 ? size - 1 : size;
}

ssize_t write(int file, const void *data, size_t size) {
  if (is_due('w', file, NULL)) {
    if (injected)
      FAIL;
    size = shortened(size);
  }
  return REAL(write)(file, data, size);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t place) {
  if (is_due('w', file, NULL)) {
    if (injected)
      FAIL;
    size = shortened(size);
  }
  return REAL(pwrite64)(file, data, size, place);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t place) {
  return pwrite64(file, data, size, place);
}

ssize_t read(int file, void *data, size_t size) {
  if (is_due('r', file, NULL))
    FAIL;
  return REAL(read)(file, data, size);
}

ssize_t pread64(int file, void *data, size_t size, off64_t place) {
  if (is_due('r', file, NULL))
    FAIL;
  return REAL(pread64)(file, data, size, place);
}

ssize_t pread(int file, void *data, size_t size, off_t place) {
  return pread64(file, data, size, place);
}

static int refuses_to_open(int directory, const char *path, int flags) {
  int makes = (flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE;
  return is_due('o', directory, path) || (makes && is_due('c', directory, path));
}

#define MODE(flags)                                                                                                    \
  mode_t mode = 0;                                                                                                     \
  if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {                                                         \
    va_list rest;                                                                                                      \
    va_start(rest, flags);                                                                                             \
    mode = va_arg(rest, mode_t);                                                                                       \
    va_end(rest);                                                                                                      \
  }

int open64(const char *path, int flags, ...) {
  MODE(flags)
  if (refuses_to_open(AT_FDCWD, path, flags))
    FAIL;
  return REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  MODE(flags)
  return open64(path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...) {
  MODE(flags)
  if (refuses_to_open(directory, path, flags))
    FAIL;
  return REAL(openat64)(directory, path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...) {
  MODE(flags)
  return openat64(directory, path, flags, mode);
}

int mkdir(const char *path, mode_t mode) {
  if (is_due('d', AT_FDCWD, path))
    FAIL;
  return REAL(mkdir)(path, mode);
}

int rename(const char *from, const char *to) {
  if (is_due('n', AT_FDCWD, to))
    FAIL;
  return REAL(rename)(from, to);
}

int link(const char *from, const char *to) {
  if (is_due('n', AT_FDCWD, to))
    FAIL;
  return REAL(link)(from, to);
}

int unlink(const char *path) {
  if (is_due('u', AT_FDCWD, path))
    FAIL;
  return REAL(unlink)(path);
}

int ftruncate64(int file, off64_t size) {
  if (is_due('t', file, NULL))
    FAIL;
  return REAL(ftruncate64)(file, size);
}

int ftruncate(int file, off_t size) {
  return ftruncate64(file, size);
}

int fsync(int file) {
  if (is_due('s', file, NULL))
    FAIL;
  return REAL(fsync)(file);
}

int fdatasync(int file) {
  if (is_due('s', file, NULL))
    FAIL;
  return REAL(fdatasync)(file);
}

int syncfs(int file) {
  if (is_due('s', file, NULL))
    FAIL;
  return REAL(syncfs)(file);
}
