/* The loader's side (LD_AUDIT): what the loader looks for below a prefix is found in its view.

   The loader opens libraries by itself, so no replacement of open(3) sees that. It asks this library by which name it
   is to look for one (rtld-audit(7)). Two things are the loader's own:

   - A name with a slash is asked about once, with LA_SER_ORIG, and opened as it is answered.
   - A directory in which the first library is not found is taken for missing if stat(2) says so, and it says so of all
     directories below a prefix. So a name without a slash is looked for here, in the order of ld.so(8); the loader is
     given the whole path where the first that has it lies in a view, and looks for itself where that is not so.

   This library has no other beside it, not even the C library: a loader that lies in a view could not find it. */

#include <elf.h>
#include <link.h>

#include "system.h"
#include "views.h"

enum { MOST_DIRECTORIES = 64, BLOCK_BYTES = 1 << 16 };

/* A library or program that is loaded, and what asked for it. */
struct object {
    const struct link_map *map;
    const struct object *asked_by;
};

/* Directories that the loader looks at by itself, in its order: they are learnt when it does. */
static struct place usual[MOST_DIRECTORIES];
static size_t usual_count;

static char *library_path;
static const struct object *asking, *program;
static uint16_t own_machine;

/* Memory that is never given back. */
static void *taken(size_t bytes)
{
    static char *block;
    static size_t left;
    bytes = (bytes + 15) & ~(size_t)15;
    if (bytes > left) {
        size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        /* PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS */
        long address = ask_kernel(SYS_mmap, 0, (long)size, 3, 0x22, -1, 0);
        if (address < 0 && address > -4096)
            return NULL;
        block = (char *)address;
        left = size;
    }
    left -= bytes;
    block += bytes;
    return block - bytes;
}

/* The environment that this process was started with, each setting behind the other. */
static char *read_environment(void)
{
    size_t room = BLOCK_BYTES, used = 0;
    char *text = taken(room);
    int file = kernel_open("/proc/self/environ");
    if (file < 0)
        return NULL;
    for (long count; text != NULL; used += (size_t)count) {
        if (used + 2 >= room) {
            char *larger = taken(4 * room);
            for (size_t i = 0; larger != NULL && i < used; i++)
                larger[i] = text[i];
            text = larger;
            room *= 4;
            count = 0;
            continue;
        }
        count = kernel_read(file, text + used, room - used - 2, (off_t)used);
        if (count <= 0)
            break;
    }
    kernel_close(file);
    if (text != NULL)
        text[used] = text[used + 1] = '\0';
    return text;
}

EXPORTED unsigned la_version(unsigned version)
{
    char *setting = read_environment();
    for (; setting != NULL && *setting != '\0'; setting += length_of(setting) + 1) {
        if (begins_with(setting, MAP_VARIABLE "="))
            read_views(setting + sizeof MAP_VARIABLE);
        else if (begins_with(setting, "LD_LIBRARY_PATH="))
            library_path = setting + sizeof "LD_LIBRARY_PATH";
    }
    return version;
}

EXPORTED unsigned la_objopen(struct link_map *map, Lmid_t space, uintptr_t *cookie)
{
    (void)space;
    struct object *object = taken(sizeof *object);
    if (object != NULL) {
        object->map = map;
        object->asked_by = program != NULL ? asking : NULL;
        if (program == NULL)
            program = object;
    }
    *cookie = (uintptr_t)object;
    return 0;
}

/* The string of `map` that its dynamic section names with `tag`; NULL where there is none. */
static const char *dynamic_string(const struct link_map *map, ElfW(Sxword) tag)
{
    uintptr_t strings = 0, offset = 0;
    for (const ElfW(Dyn) *entry = map->l_ld; entry != NULL && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_STRTAB)
            strings = entry->d_un.d_ptr;
        else if (entry->d_tag == tag)
            offset = entry->d_un.d_val;
    }
    if (strings == 0 || offset == 0)
        return NULL;
    /* Most loaders have added the address already. */
    return (const char *)((strings < map->l_addr ? strings + map->l_addr : strings) + offset);
}

/* Whether the file at `path` is for this processor. */
static int fits(const char *path)
{
    ElfW(Ehdr) header;
    int file = kernel_open(path);
    if (file < 0)
        return 0;
    long count = kernel_read(file, &header, sizeof header, 0);
    kernel_close(file);
    if (count != (long)sizeof header || !is_same((char *)header.e_ident, ELFMAG, SELFMAG))
        return 0;
    if (own_machine == 0) {
        ElfW(Ehdr) own;
        int running = kernel_open("/proc/self/exe");
        if (running >= 0 && kernel_read(running, &own, sizeof own, 0) == (long)sizeof own)
            own_machine = own.e_machine;
        kernel_close(running);
    }
    return header.e_machine == own_machine && header.e_ident[EI_CLASS] == sizeof(void *) / 4;
}

/* Where the library at `path` really lies, if that is in a view; else NULL. */
static const char *in_view(const char *path, struct place *place)
{
    const char *real = real_path(path, place);
    if (real != path && kernel_access(real, F_OK))
        return real;
    return path_through_links(AT_FDCWD, path, 1, place);
}

/* The directory that `map` lies in: what $ORIGIN stands for. */
static size_t origin_of(const struct link_map *map, struct place *place)
{
    size_t length = length_of(map->l_name);
    if (length > 0)
        append(place->text, 0, sizeof place->text, map->l_name, length);
    else {
        long count = kernel_readlink("/proc/self/exe", place->text, sizeof place->text - 1);
        length = count > 0 ? (size_t)count : 0;
    }
    while (length > 1 && place->text[length - 1] != '/')
        length--;
    place->text[length > 1 ? length - 1 : length] = '\0';
    return length > 1 ? length - 1 : length;
}

enum found { NOWHERE, IN_A_VIEW, ELSEWHERE };

/* Whether the directory `entry` (of `length` characters, as `map` names it) has the library `name`. */
static enum found look_in(const char *entry, size_t length, const struct link_map *map, const char *name,
                          struct place *place)
{
    struct place path;
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        size_t word = begins_with(entry + i, "$ORIGIN") ? 7 : begins_with(entry + i, "${ORIGIN}") ? 9 : 0;
        if (word != 0 && map != NULL && used == 0) {
            used = origin_of(map, &path);
            i += word - 1;
        } else if (entry[i] == '$')
            return NOWHERE;
        else if ((used = append(path.text, used, sizeof path.text, entry + i, 1)) == 0)
            return NOWHERE;
    }
    used = used ? append(path.text, used, sizeof path.text, "/", 1) : 0;
    if (used == 0 || append(path.text, used, sizeof path.text, name, length_of(name)) == 0)
        return NOWHERE;
    const char *real = in_view(path.text, place);
    if (real != NULL)
        return fits(real) ? IN_A_VIEW : NOWHERE;
    return fits(path.text) ? ELSEWHERE : NOWHERE;
}

static enum found look_in_list(const char *list, const struct link_map *map, const char *name, struct place *place)
{
    for (; list != NULL && *list != '\0';) {
        size_t length = 0;
        while (list[length] != '\0' && list[length] != ':' && (map != NULL || list[length] != ';'))
            length++;
        enum found found = look_in(list, length, map, name, place);
        if (found != NOWHERE)
            return found;
        list += length + (list[length] != '\0');
    }
    return NOWHERE;
}

/* Looks for `name` as ld.so(8) says: DT_RPATH of what asks and of what asked for that, unless there is a DT_RUNPATH;
   LD_LIBRARY_PATH; DT_RUNPATH; the usual directories. */
static enum found look_for(const char *name, const struct object *object, struct place *place)
{
    enum found found = NOWHERE;
    const char *run_path = object != NULL ? dynamic_string(object->map, DT_RUNPATH) : NULL;
    if (run_path == NULL) {
        for (const struct object *each = object; each != NULL && found == NOWHERE; each = each->asked_by)
            if (dynamic_string(each->map, DT_RUNPATH) == NULL)
                found = look_in_list(dynamic_string(each->map, DT_RPATH), each->map, name, place);
        if (found == NOWHERE && program != NULL && dynamic_string(program->map, DT_RUNPATH) == NULL)
            found = look_in_list(dynamic_string(program->map, DT_RPATH), program->map, name, place);
    }
    if (found == NOWHERE)
        found = look_in_list(library_path, NULL, name, place);
    if (found == NOWHERE && run_path != NULL)
        found = look_in_list(run_path, object->map, name, place);
    for (size_t i = 0; i < usual_count && found == NOWHERE; i++)
        found = look_in(usual[i].text, length_of(usual[i].text), NULL, name, place);
    return found;
}

/* Notes the directory of `path`, at which the loader looks without having been told. */
static void learn(const char *path)
{
    size_t length = length_of(path);
    while (length > 0 && path[length - 1] != '/')
        length--;
    if (length < 2 || usual_count == MOST_DIRECTORIES)
        return;
    for (size_t i = 0; i < usual_count; i++)
        if (is_same(usual[i].text, path, length - 1) && usual[i].text[length - 1] == '\0')
            return;
    append(usual[usual_count].text, 0, sizeof usual->text, path, length - 1);
    usual_count++;
}

static char *kept(const char *text)
{
    char *copy = taken(length_of(text) + 1);
    if (copy != NULL)
        append(copy, 0, length_of(text) + 1, text, length_of(text));
    return copy;
}

EXPORTED char *la_objsearch(const char *name, uintptr_t *cookie, unsigned kind)
{
    struct place place;
    const struct object *object = cookie != NULL ? (const struct object *)*cookie : NULL;
    int has_slash = contains(name, "/");
    if (kind == LA_SER_ORIG)
        asking = object;
    if (kind == LA_SER_ORIG && !has_slash)
        return look_for(name, object, &place) == IN_A_VIEW ? kept(place.text) : (char *)name;
    const char *real = in_view(name, &place);
    if (kind == LA_SER_DEFAULT && is_shown(name))
        learn(name);
    return real != NULL ? kept(real) : (char *)name;
}
