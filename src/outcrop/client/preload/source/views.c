#include "views.h"

#include "system.h"

enum { MOST_VIEWS = 16, MOST_LINKS = 40 };

struct view {
    const char *prefix;
    size_t prefix_length;
    const char *directory;
    size_t directory_length;
};

const size_t place_bytes = sizeof(struct place);

static struct view views[MOST_VIEWS];
static int view_count;
static char map_text[MOST_MAP_BYTES];

void read_views(const char *value)
{
    if (append(map_text, 0, sizeof map_text, value, length_of(value)) == 0)
        return;
    int count = 0;
    for (char *at = map_text; *at != '\0' && count < MOST_VIEWS;) {
        struct view *view = &views[count];
        view->prefix = at;
        while (*at != '\0' && *at != '\t' && *at != '\n')
            at++;
        if (*at != '\t')
            break;
        view->prefix_length = (size_t)(at - view->prefix);
        *at++ = '\0';
        view->directory = at;
        while (*at != '\0' && *at != '\n')
            at++;
        view->directory_length = (size_t)(at - view->directory);
        if (*at == '\n')
            *at++ = '\0';
        count++;
    }
    view_count = count;
}

/* Where the next name of a path begins: slashes and names that are a single dot say nothing. */
static const char *next_name(const char *path)
{
    while (*path == '/' || (*path == '.' && (path[1] == '/' || path[1] == '\0')))
        path++;
    return path;
}

static const char *end_of_name(const char *name)
{
    while (*name != '\0' && *name != '/')
        name++;
    return name;
}

static int is_parent(const char *name)
{
    return name[0] == '.' && name[1] == '.' && (name[2] == '/' || name[2] == '\0');
}

/* What follows in `path` behind `prefix`; NULL if it does not lie there. */
static const char *rest_below(const char *path, const char *prefix)
{
    while (*prefix != '\0') {
        if (*path != '/')
            return NULL;
        path = next_name(path);
        for (prefix++; *prefix != '\0' && *prefix != '/'; prefix++)
            if (*path++ != *prefix)
                return NULL;
        if (*path != '\0' && *path != '/')
            return NULL;
    }
    return path;
}

/* What follows behind the `..` with which `rest` leaves the place that it starts from; NULL if it stays there. */
static const char *rest_outside(const char *rest)
{
    int depth = 0;
    for (const char *name = next_name(rest); *name != '\0'; name = next_name(end_of_name(name))) {
        depth += is_parent(name) ? -1 : 1;
        if (depth < 0)
            return end_of_name(name);
    }
    return NULL;
}

static const struct view *view_of(const char *path, const char **rest)
{
    for (int i = 0; i < view_count; i++) {
        *rest = rest_below(path, views[i].prefix);
        if (*rest != NULL)
            return &views[i];
    }
    return NULL;
}

int is_shown(const char *path)
{
    const char *rest;
    return path != NULL && path[0] == '/' && view_of(path, &rest) != NULL;
}

static const char *joined(struct place *place, const char *first, size_t length, const char *rest)
{
    if (append(place->text, 0, sizeof place->text, first, length) == 0)
        return NULL;
    if (*rest != '\0' && append(place->text, length, sizeof place->text, rest, length_of(rest)) == 0)
        return NULL;
    return place->text;
}

/* Where a path leads that has left `view` by a `..`: `rest` goes on beside the prefix. */
static __attribute__((noinline)) const char *real_path_beside(const struct view *view, const char *rest,
                                                               struct place *place)
{
    struct place outer;
    size_t length = view->prefix_length;
    while (length > 0 && view->prefix[length - 1] != '/')
        length--;
    if (joined(&outer, view->prefix, length > 1 ? length - 1 : 1, rest) == NULL)
        return NULL;
    const char *real = real_path(outer.text, place);
    return real == place->text ? real : joined(place, real, length_of(real), "");
}

const char *real_path(const char *path, struct place *place)
{
    if (path == NULL || path[0] != '/')
        return path;
    const char *rest;
    const struct view *view = view_of(path, &rest);
    if (view == NULL)
        return path;
    const char *outside = rest_outside(rest);
    if (__builtin_expect(outside == NULL, 1)) {
        const char *real = joined(place, view->directory, view->directory_length, rest);
        return real != NULL ? real : path;
    }
    const char *real = real_path_beside(view, outside, place);
    return real != NULL ? real : path;
}

const char *shown_path(const char *path, struct place *place)
{
    for (int i = 0; i < view_count; i++) {
        const struct view *view = &views[i];
        if (!begins_with(path, view->directory))
            continue;
        const char *rest = path + view->directory_length;
        if (*rest != '\0' && *rest != '/')
            continue;
        const char *shown = joined(place, view->prefix, view->prefix_length, rest);
        return shown != NULL ? shown : path;
    }
    return path;
}

size_t path_of_open(int file, struct place *place)
{
    char name[32] = "/proc/self/cwd";
    if (file != AT_FDCWD) {
        char digits[12];
        size_t count = 0, used = append(name, 0, sizeof name, "/proc/self/fd/", 14);
        if (file < 0)
            return 0;
        do
            digits[count++] = (char)('0' + file % 10);
        while ((file /= 10) > 0);
        while (count > 0)
            used = append(name, used, sizeof name, &digits[--count], 1);
    }
    long length = kernel_readlink(name, place->text, sizeof place->text - 1);
    if (length <= 0 || place->text[0] != '/')
        return 0;
    place->text[length] = '\0';
    return (size_t)length;
}

/* `path` as it is from the root, in `text`; 0 if that is not known or too long. */
static int from_root(int directory, const char *path, struct place *whole)
{
    size_t used = 0;
    if (path[0] != '/') {
        used = path_of_open(directory, whole);
        if (used == 0)
            return 0;
        struct place shown;
        if (shown_path(whole->text, &shown) != whole->text)
            used = append(whole->text, 0, sizeof whole->text, shown.text, length_of(shown.text));
        used = append(whole->text, used, sizeof whole->text, "/", 1);
        if (used == 0)
            return 0;
    }
    return append(whole->text, used, sizeof whole->text, path, length_of(path)) != 0;
}

/* Whether the real path `path` is that of something in a view. */
static int is_in_view(const char *path)
{
    for (int i = 0; i < view_count; i++) {
        const char *rest = rest_below(path, views[i].directory);
        if (rest != NULL && rest_outside(rest) == NULL)
            return 1;
    }
    return 0;
}

const char *path_in_view(int directory, const char *path, struct place *place)
{
    if (path == NULL || *path == '\0' || view_count == 0)
        return NULL;
    /* Somebody who knows where the copy lies must not change it either. */
    if (path[0] == '/' && !is_shown(path))
        return is_in_view(path) ? joined(place, path, length_of(path), "") : NULL;
    struct place whole;
    if (!from_root(directory, path, &whole))
        return NULL;
    const char *real = real_path(whole.text, place);
    return real == place->text && is_in_view(real) ? real : NULL;
}

static void drop_last_name(char *path)
{
    size_t length = length_of(path);
    while (length > 0 && path[length - 1] != '/')
        length--;
    path[length > 0 ? length - 1 : 0] = '\0';
}

/* Whether `path` (from `directory`) is missing for no other reason than that nothing has its last name: most are. */
static int is_plainly_missing(int directory, const char *path, struct place *place)
{
    const char *real = real_path(path, place);
    size_t length = length_of(real);
    if (real == path && append(place->text, 0, sizeof place->text, path, length) == 0)
        return 0;
    while (length > 1 && place->text[length - 1] == '/')
        place->text[--length] = '\0';
    if (ask_kernel(SYS_readlinkat, directory, (long)place->text, (long)&(char){0}, 1, 0, 0) != -ENOENT)
        return 0;
    while (length > 0 && place->text[length - 1] != '/')
        length--;
    place->text[length] = '\0';
    return length == 0 || ask_kernel(SYS_faccessat, directory, (long)place->text, F_OK, 0, 0, 0) == 0;
}

__attribute__((noinline)) const char *path_through_links(int directory, const char *path, int follow,
                                                          struct place *place)
{
    struct place pending, link;
    int led_in = 0, links = 0;
    if (path == NULL || *path == '\0' || view_count == 0 || is_plainly_missing(directory, path, place)
        || !from_root(directory, path, &pending))
        return NULL;
    const char *rest, *at = pending.text;
    const struct view *view = view_of(at, &rest);
    size_t done = 0;
    place->text[0] = '\0';
    if (view != NULL && rest_outside(rest) == NULL) {
        done = append(place->text, 0, sizeof place->text, view->directory, view->directory_length);
        at = rest;
    }
    for (at = next_name(at); *at != '\0'; at = next_name(at)) {
        const char *end = end_of_name(at);
        if (is_parent(at)) {
            drop_last_name(place->text);
            at = end;
            continue;
        }
        done = append(place->text, length_of(place->text), sizeof place->text, "/", 1);
        done = done ? append(place->text, done, sizeof place->text, at, (size_t)(end - at)) : 0;
        if (done == 0)
            return NULL;
        at = end;
        if (*next_name(at) == '\0' && *at == '\0' && !follow)
            break;
        long length = kernel_readlink(place->text, link.text, sizeof link.text - 1);
        if (length == -EINVAL)
            continue;
        if (length <= 0 || ++links > MOST_LINKS)
            return NULL;
        if (append(link.text, (size_t)length, sizeof link.text, at, length_of(at)) == 0 && *at != '\0')
            return NULL;
        if (*at == '\0')
            link.text[length] = '\0';
        append(pending.text, 0, sizeof pending.text, link.text, length_of(link.text));
        at = pending.text;
        if (link.text[0] != '/') {
            drop_last_name(place->text);
            continue;
        }
        place->text[0] = '\0';
        view = view_of(at, &rest);
        if (view != NULL && rest_outside(rest) == NULL) {
            led_in = 1;
            append(place->text, 0, sizeof place->text, view->directory, view->directory_length);
            at = rest;
        }
    }
    if (!led_in || (!kernel_access(place->text, F_OK) && kernel_readlink(place->text, link.text, 1) < 0))
        return NULL;
    return place->text;
}
