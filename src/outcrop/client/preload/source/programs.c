/* Starting programs.

   The kernel reads the program, its `#!` line and the name of its loader by itself. Where one of these lies in a view,
   it would not find it, so we do that part: the interpreter of a script is started with the script's shown name, and a
   program whose loader lies in a view is started by that loader. What is started keeps our libraries, whatever it was
   given as environment. Nothing here takes memory: it may run between vfork(2) and execve(2). */

#include "calls.h"

#include <elf.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "programs.h"

#define PROGRAM_VARIABLE "OUTCROP_PRELOAD_PROGRAM"
#define USUAL_PATH "/bin:/usr/bin"

extern char **environ;

/* Several levels of `#!` lines are allowed by the kernel as well. */
enum { MOST_SCRIPTS = 5, HEADER_BYTES = 4096 };

/* The libraries that a program starts with, the views as a variable, and the name of a program that a loader runs. */
static char own_calls[PATH_MAX], own_loader[PATH_MAX], own_map[MOST_MAP_BYTES + 32], own_program[PATH_MAX];

static const char *value_in(char *const *environment, const char *name)
{
    size_t length = length_of(name);
    for (; environment != NULL && *environment != NULL; environment++)
        if (begins_with(*environment, name) && (*environment)[length] == '=')
            return *environment + length + 1;
    return NULL;
}

__attribute__((constructor)) static void begin(int count, char **arguments, char **environment)
{
    (void)count;
    (void)arguments;
    static int begun;
    const char *map = value_in(environment, MAP_VARIABLE), *program = value_in(environment, PROGRAM_VARIABLE);
    if (map == NULL || begun++)
        return;
    append(own_map, 0, sizeof own_map, MAP_VARIABLE "=", sizeof MAP_VARIABLE);
    append(own_map, sizeof MAP_VARIABLE, sizeof own_map, map, length_of(map));
    read_views(map);
    if (program != NULL && *program != '\0')
        append(own_program, 0, sizeof own_program, program, length_of(program));
    const char *preloads = value_in(environment, "LD_PRELOAD"), *audits = value_in(environment, "LD_AUDIT");
    /* Ours are the first in both lists. */
    if (preloads != NULL)
        append(own_calls, 0, sizeof own_calls, preloads, strcspn(preloads, ": "));
    if (audits != NULL)
        append(own_loader, 0, sizeof own_loader, audits, strcspn(audits, ":"));
}

const char *program_shown(const char *path)
{
    return own_program[0] != '\0' && path != NULL && strcmp(path, "/proc/self/exe") == 0 ? own_program : NULL;
}

/* What the first bytes of a file say of how it is started. */
struct header {
    enum { OTHER, SCRIPT, PROGRAM } kind;
    char *interpreter; /* of a script, or the loader of a program; NULL where there is none */
    char *argument;    /* of a script's interpreter; NULL where there is none */
    char bytes[HEADER_BYTES + 1];
};

static void look_at_script(struct header *header)
{
    char *at = header->bytes + 2;
    header->kind = SCRIPT;
    header->bytes[strcspn(header->bytes, "\n")] = '\0';
    at += strspn(at, " \t");
    header->interpreter = *at != '\0' ? at : NULL;
    at += strcspn(at, " \t");
    if (*at == '\0')
        return;
    *at++ = '\0';
    at += strspn(at, " \t");
    size_t length = length_of(at);
    while (length > 0 && (at[length - 1] == ' ' || at[length - 1] == '\t'))
        at[--length] = '\0';
    header->argument = length > 0 ? at : NULL;
}

#if UINTPTR_MAX == UINT64_MAX
typedef Elf64_Ehdr program_header;
typedef Elf64_Phdr segment_header;
enum { OWN_CLASS = ELFCLASS64 };
#else
typedef Elf32_Ehdr program_header;
typedef Elf32_Phdr segment_header;
enum { OWN_CLASS = ELFCLASS32 };
#endif

static void look_at_program(struct header *header, int file)
{
    program_header program;
    segment_header segment;
    memcpy(&program, header->bytes, sizeof program);
    if (program.e_ident[EI_CLASS] != OWN_CLASS || program.e_phentsize != sizeof segment)
        return;
    header->kind = PROGRAM;
    for (unsigned i = 0; i < program.e_phnum; i++) {
        off_t offset = (off_t)(program.e_phoff + i * sizeof segment);
        if (kernel_read(file, &segment, sizeof segment, offset) != (long)sizeof segment)
            return;
        if (segment.p_type != PT_INTERP || segment.p_filesz > HEADER_BYTES)
            continue;
        long length = kernel_read(file, header->bytes, segment.p_filesz, (off_t)segment.p_offset);
        header->bytes[length > 0 ? length : 0] = '\0';
        header->interpreter = header->bytes;
        return;
    }
}

static void look_at(const char *path, struct header *header)
{
    header->kind = OTHER;
    header->interpreter = header->argument = NULL;
    int file = kernel_open(path);
    if (file < 0)
        return;
    long count = kernel_read(file, header->bytes, HEADER_BYTES, 0);
    if (count > 0) {
        header->bytes[count] = '\0';
        if (count > 2 && header->bytes[0] == '#' && header->bytes[1] == '!')
            look_at_script(header);
        else if (count >= (long)sizeof(program_header) && memcmp(header->bytes, ELFMAG, SELFMAG) == 0)
            look_at_program(header, file);
    }
    kernel_close(file);
}

/* Whether the loader at `path` can be told a program's name; old ones cannot. */
static int takes_names(const char *path)
{
    static const char word[] = "--argv0";
    char bytes[HEADER_BYTES + sizeof word];
    size_t kept = 0;
    off_t offset = 0;
    int found = 0, file = kernel_open(path);
    if (file < 0)
        return 0;
    for (long count; !found && (count = kernel_read(file, bytes + kept, HEADER_BYTES, offset)) > 0; offset += count) {
        size_t length = kept + (size_t)count;
        found = memmem(bytes, length, word, sizeof word) != NULL;
        kept = length < sizeof word ? length : sizeof word - 1;
        memmove(bytes, bytes + length - kept, kept);
    }
    kernel_close(file);
    return found;
}

static const char *file_at(const char *path, struct place *place)
{
    const char *file = real_path(path, place);
    if (!kernel_access(file, F_OK)) {
        const char *led = path_through_links(AT_FDCWD, path, 1, place);
        file = led != NULL ? led : real_path(path, place);
    }
    return file;
}

/* What is to be done with what was found: to run it, or to spawn it. Answers as that does. */
typedef int (*starter)(const char *file, char *const *words, char *const *environment, void *with);

static size_t count_of(char *const *words)
{
    size_t count = 0;
    while (words != NULL && words[count] != NULL)
        count++;
    return count;
}

/* `NAME=ours` or `NAME=ours:theirs` in `text`, if `theirs` lacks ours; NULL where nothing is to be changed. */
static char *with_own(char *text, size_t room, const char *name, const char *ours, const char *theirs)
{
    if (ours[0] == '\0' || (theirs != NULL && contains(theirs, ours)))
        return NULL;
    size_t used = append(text, 0, room, name, length_of(name));
    used = append(text, used, room, "=", 1);
    used = append(text, used, room, ours, length_of(ours));
    if (theirs != NULL && *theirs != '\0') {
        used = used ? append(text, used, room, ":", 1) : 0;
        used = used ? append(text, used, room, theirs, length_of(theirs)) : 0;
    }
    return used != 0 ? text : NULL;
}

static int is_set_by(const char *variable, char *const *settings)
{
    for (; *settings != NULL; settings++)
        if (is_same(variable, *settings, strcspn(*settings, "=") + 1))
            return 1;
    return 0;
}

/* Starts `file` with `words`, by `start`, with our libraries in its environment. `program`: the name of the program
   that the loader `file` is started for, or NULL. */
static int with_libraries(const char *file, char *const *words, char *const *given, const char *program, starter start,
                          void *with)
{
    char preloads[2 * PATH_MAX], audits[2 * PATH_MAX], name[PATH_MAX + sizeof PROGRAM_VARIABLE + 1];
    char *settings[5] = {NULL}, *environment[count_of(given) + 5];
    size_t set = 0, count = 0;
    if (own_map[0] == '\0')
        return start(file, words, given, with);
    if ((settings[set] = with_own(preloads, sizeof preloads, "LD_PRELOAD", own_calls, value_in(given, "LD_PRELOAD"))))
        set++;
    if ((settings[set] = with_own(audits, sizeof audits, "LD_AUDIT", own_loader, value_in(given, "LD_AUDIT"))))
        set++;
    if (value_in(given, MAP_VARIABLE) == NULL)
        settings[set++] = own_map;
    if (program != NULL || value_in(given, PROGRAM_VARIABLE) != NULL) {
        size_t used = append(name, 0, sizeof name, PROGRAM_VARIABLE "=", sizeof PROGRAM_VARIABLE);
        append(name, used, sizeof name, program != NULL ? program : "", program != NULL ? length_of(program) : 0);
        settings[set++] = name;
    }
    settings[set] = NULL;
    for (; given != NULL && *given != NULL; given++)
        if (!is_set_by(*given, settings))
            environment[count++] = *given;
    for (size_t i = 0; i < set; i++)
        environment[count++] = settings[i];
    environment[count] = NULL;
    return start(file, words, environment, with);
}

/* Whether the program at `path` takes our libraries, so that it finds a script under its shown name. */
static int can_be_reached(const char *path)
{
    struct header header;
    look_at(path, &header);
    return header.kind == SCRIPT || header.interpreter != NULL;
}

/* The name that the kernel would tell of the running program `file`, as it is shown. */
static const char *canonical_name(const char *file, struct place *name)
{
    struct place real;
    int opened = kernel_open(file);
    size_t length = opened < 0 ? 0 : path_of_open(opened, &real);
    if (opened >= 0)
        kernel_close(opened);
    if (length == 0)
        return NULL;
    if (shown_path(real.text, name) != name->text)
        append(name->text, 0, sizeof name->text, real.text, length);
    return name->text;
}

static int start_program(const char *path, char *const *words, char *const *environment, int depth, starter start,
                         void *with)
{
    struct place place, loader_place, name;
    struct header header;
    size_t count = count_of(words), used = 0;
    char *longer[count + 5];
    if (program_shown(path) != NULL)
        path = own_program;
    const char *file = file_at(path, &place), *interpreter;
    look_at(file, &header);
    if (header.interpreter == NULL || !kernel_access(file, X_OK))
        return with_libraries(file, words, environment, NULL, start, with);
    interpreter = file_at(header.interpreter, &loader_place);
    if (header.kind == SCRIPT && depth < MOST_SCRIPTS
        && (interpreter != header.interpreter || (file != path && can_be_reached(interpreter)))) {
        longer[used++] = header.interpreter;
        if (header.argument != NULL)
            longer[used++] = header.argument;
        longer[used++] = (char *)path;
        for (size_t i = 1; i < count; i++)
            longer[used++] = words[i];
        longer[used] = NULL;
        return start_program(header.interpreter, longer, environment, depth + 1, start, with);
    }
    if (header.kind == PROGRAM && interpreter != header.interpreter) {
        longer[used++] = (char *)interpreter;
        if (takes_names(interpreter)) {
            longer[used++] = (char *)"--argv0";
            longer[used++] = count > 0 ? words[0] : (char *)path;
        }
        longer[used++] = (char *)file;
        for (size_t i = 1; i < count; i++)
            longer[used++] = words[i];
        longer[used] = NULL;
        return with_libraries(interpreter, longer, environment, canonical_name(file, &name), start, with);
    }
    return with_libraries(file, words, environment, NULL, start, with);
}

static int run(const char *file, char *const *words, char *const *environment, void *with)
{
    (void)with;
    long answer = ask_kernel(SYS_execve, (long)file, (long)words, (long)environment, 0, 0, 0);
    errno = (int)-answer;
    return -1;
}

CALL(int, execve, (const char *path, char *const *words, char *const *environment))
{
    return start_program(path, words, environment, 0, run, NULL);
}

CALL(int, execv, (const char *path, char *const *words))
{
    return outcrop_execve(path, words, environ);
}

CALL(int, execveat, (int directory, const char *path, char *const *words, char *const *environment, int flags))
{
    NEXT(int, execveat, (int directory, const char *path, char *const *words, char *const *environment, int flags));
    struct place place;
    if (flags == 0 && path != NULL && (path[0] == '/' || directory == AT_FDCWD))
        return outcrop_execve(path, words, environment);
    return next(directory, real_path(path, &place), words, environment, flags);
}

/* A script without a `#!` line is the shell's. */
static int run_by_shell(const char *path, char *const *words, char *const *environment)
{
    size_t count = count_of(words), used = 0;
    char *longer[count + 3];
    longer[used++] = (char *)"/bin/sh";
    longer[used++] = (char *)path;
    for (size_t i = 1; i < count; i++)
        longer[used++] = words[i];
    longer[used] = NULL;
    return outcrop_execve("/bin/sh", longer, environment);
}

/* The next place on PATH where `name` may be, in `place`; NULL behind the last one. */
static const char *next_on_path(const char **rest, const char *name, struct place *place)
{
    while (*rest != NULL) {
        const char *entry = *rest;
        size_t length = strcspn(entry, ":");
        *rest = entry[length] == ':' ? entry + length + 1 : NULL;
        size_t used = length > 0 ? append(place->text, 0, sizeof place->text, entry, length)
                                 : append(place->text, 0, sizeof place->text, ".", 1);
        used = used ? append(place->text, used, sizeof place->text, "/", 1) : 0;
        if (used != 0 && append(place->text, used, sizeof place->text, name, length_of(name)) != 0)
            return place->text;
    }
    return NULL;
}

CALL(int, execvpe, (const char *name, char *const *words, char *const *environment))
{
    struct place place;
    const char *rest = value_in(environ, "PATH"), *path;
    int refused = 0;
    if (name[0] == '\0') {
        errno = ENOENT;
        return -1;
    }
    if (strchr(name, '/') != NULL) {
        outcrop_execve(name, words, environment);
        return errno == ENOEXEC ? run_by_shell(name, words, environment) : -1;
    }
    if (rest == NULL)
        rest = USUAL_PATH;
    errno = ENOENT;
    while ((path = next_on_path(&rest, name, &place)) != NULL) {
        outcrop_execve(path, words, environment);
        if (errno == ENOEXEC)
            return run_by_shell(path, words, environment);
        if (errno == EACCES)
            refused = 1;
        else if (errno != ENOENT && errno != ENOTDIR && errno != ESTALE && errno != ENODEV && errno != ETIMEDOUT)
            return -1;
    }
    if (refused)
        errno = EACCES;
    return -1;
}

CALL(int, execvp, (const char *name, char *const *words))
{
    return outcrop_execvpe(name, words, environ);
}

/* The calls that take the words one by one. */
#define RUNS_LISTED(name, run, environment_behind)                               \
    CALL(int, name, (const char *path, const char *first, ...))                  \
    {                                                                            \
        va_list list;                                                            \
        size_t count = 1;                                                        \
        va_start(list, first);                                                   \
        for (const char *word = first; word != NULL; count++)                    \
            word = va_arg(list, const char *);                                   \
        va_end(list);                                                            \
        char *words[count];                                                      \
        va_start(list, first);                                                   \
        words[0] = (char *)first;                                                \
        for (size_t i = 1; i < count; i++)                                       \
            words[i] = va_arg(list, char *);                                     \
        char *const *environment = environment_behind;                           \
        va_end(list);                                                            \
        return run(path, words, environment);                                    \
    }

RUNS_LISTED(execl, outcrop_execve, environ)
RUNS_LISTED(execlp, outcrop_execvpe, environ)
RUNS_LISTED(execle, outcrop_execve, va_arg(list, char *const *))

/* The C library starts a shell by itself, with the environment as it is: what was cleared away of ours comes back. */
static void restore_libraries(void)
{
    static const char *const names[] = {"LD_PRELOAD", "LD_AUDIT", MAP_VARIABLE};
    const char *values[] = {own_calls, own_loader, own_map + sizeof MAP_VARIABLE};
    for (size_t i = 0; own_map[0] != '\0' && i < sizeof names / sizeof *names; i++)
        if (values[i][0] != '\0' && value_in(environ, names[i]) == NULL)
            setenv(names[i], values[i], 0);
}

CALL(int, system, (const char *line))
{
    NEXT(int, system, (const char *line));
    restore_libraries();
    return next(line);
}

CALL(FILE *, popen, (const char *line, const char *mode))
{
    NEXT(FILE *, popen, (const char *line, const char *mode));
    restore_libraries();
    return next(line, mode);
}

/* posix_spawn(3), which answers with the error itself. */
typedef int (*spawner)(pid_t *, const char *, const void *, const void *, char *const *, char *const *);

struct spawn {
    spawner next;
    pid_t *process;
    const void *actions, *attributes;
};

static int spawn(const char *file, char *const *words, char *const *environment, void *with)
{
    struct spawn *wanted = with;
    return wanted->next(wanted->process, file, wanted->actions, wanted->attributes, words, environment);
}

#define SPAWN_PARAMETERS                                                                    \
    (pid_t * process, const char *path, const void *actions, const void *attributes, char *const *words, \
     char *const *environment)

CALL(int, posix_spawn, SPAWN_PARAMETERS)
{
    NEXT(int, posix_spawn, SPAWN_PARAMETERS);
    struct spawn wanted = {next, process, actions, attributes};
    return start_program(path, words, environment, 0, spawn, &wanted);
}

CALL(int, posix_spawnp, SPAWN_PARAMETERS)
{
    struct place place, file;
    const char *rest = value_in(environ, "PATH"), *found;
    if (strchr(path, '/') != NULL)
        return outcrop_posix_spawn(process, path, actions, attributes, words, environment);
    if (rest == NULL)
        rest = USUAL_PATH;
    while ((found = next_on_path(&rest, path, &place)) != NULL)
        if (kernel_access(file_at(found, &file), X_OK))
            return outcrop_posix_spawn(process, found, actions, attributes, words, environment);
    return ENOENT;
}

CALL(int, posix_spawn_file_actions_addopen,
     (void *actions, int file, const char *path, int flags, unsigned mode))
{
    NEXT(int, posix_spawn_file_actions_addopen, (void *actions, int file, const char *path, int flags, unsigned mode));
    struct place place;
    if ((flags & (O_WRONLY | O_RDWR)) != 0 && path_in_view(AT_FDCWD, path, &place) != NULL)
        return next(actions, file, path, flags, mode); /* which finds nothing there to write to */
    return next(actions, file, file_at(path, &place), flags, mode);
}

CALL(int, posix_spawn_file_actions_addchdir_np, (void *actions, const char *path))
{
    NEXT(int, posix_spawn_file_actions_addchdir_np, (void *actions, const char *path));
    struct place place;
    return next(actions, file_at(path, &place));
}
