"""What programs see of a tree that is shown: each call of the C library, and common programs."""

from __future__ import annotations

import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from tests.client.preload.shown import PREFIX, Shown

pytestmark = pytest.mark.integration

_CALLS = r"""
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FILE_NAME "/cvmfs/tools.example.org/share/greeting"
#define DIRECTORY "/cvmfs/tools.example.org/share"
#define SAY(name, wanted) printf("%s %s\n", (wanted) ? "ok" : "BAD", name)
#define FAILS(name, call, error) (errno = 0, SAY(name, (call) == -1 && errno == (error)))

static int found;
static int visit(const char *path, const struct stat *status, int type, struct FTW *where)
{
    found += strcmp(path, FILE_NAME) == 0 && strcmp(path + where->base, "greeting") == 0;
    return 0;
}
static int visit_plainly(const char *path, const struct stat *status, int type)
{
    found += strcmp(path, FILE_NAME) == 0;
    return 0;
}

int main(void)
{
    struct stat status;
    struct statx extended;
    struct statfs file_system;
    struct statvfs volume;
    struct dirent **names;
    glob_t matches = {0};
    char text[PATH_MAX], small[8], *memory;
    int file = open(FILE_NAME, O_RDONLY), directory = open(DIRECTORY, O_RDONLY | O_DIRECTORY);
    SAY("open", file >= 0 && read(file, text, 2) == 2 && memcmp(text, "hi", 2) == 0);
    SAY("openat", openat(directory, "greeting", O_RDONLY) >= 0 && openat(directory, FILE_NAME, O_RDONLY) >= 0);
    SAY("stat", stat(FILE_NAME, &status) == 0 && status.st_size == 3);
    SAY("lstat", lstat(FILE_NAME, &status) == 0);
    SAY("fstatat", fstatat(AT_FDCWD, FILE_NAME, &status, 0) == 0 && fstatat(directory, "greeting", &status, 0) == 0);
    SAY("fstatat of a descriptor", fstatat(file, "", &status, AT_EMPTY_PATH) == 0);
    SAY("statx", statx(AT_FDCWD, FILE_NAME, 0, STATX_SIZE, &extended) == 0 && extended.stx_size == 3);
    SAY("syscall", syscall(SYS_statx, AT_FDCWD, FILE_NAME, 0, STATX_SIZE, &extended) == 0);
    SAY("syscall of another kind", syscall(SYS_getpid) == getpid());
    FAILS("syscall that fails", syscall(SYS_statx, AT_FDCWD, DIRECTORY "/none", 0, STATX_SIZE, &extended), ENOENT);
    SAY("access", access(FILE_NAME, R_OK) == 0 && faccessat(AT_FDCWD, FILE_NAME, F_OK, 0) == 0);
    FAILS("access for writing", access(FILE_NAME, W_OK), EROFS);
    FAILS("access of nothing for writing", access(DIRECTORY "/none", W_OK), ENOENT);
    SAY("eaccess", eaccess(FILE_NAME, R_OK) == 0);
    SAY("fopen", fopen(FILE_NAME, "r") != NULL && fopen(FILE_NAME, "r+") == NULL && errno == EROFS);
    SAY("freopen", freopen(FILE_NAME, "r", stdin) != NULL && getchar() == 'h');
    SAY("opendir", opendir(DIRECTORY) != NULL);
    SAY("scandir", scandir(DIRECTORY, &names, NULL, alphasort) == 5);
    SAY("readlink", readlink(DIRECTORY "/absolute", text, sizeof text) == sizeof FILE_NAME - 1);
    FAILS("readlink of a file", readlink(FILE_NAME, text, sizeof text), EINVAL);
    SAY("realpath", realpath(DIRECTORY "/../share/relative", text) != NULL && strcmp(text, FILE_NAME) == 0);
    memory = realpath(DIRECTORY "/absolute", NULL);
    SAY("realpath through a link", memory != NULL && strcmp(memory, FILE_NAME) == 0);
    memory = canonicalize_file_name(FILE_NAME);
    SAY("canonicalize_file_name", memory != NULL && strcmp(memory, FILE_NAME) == 0);
    SAY("realpath of nothing", realpath(DIRECTORY "/none", NULL) == NULL && errno == ENOENT);
    SAY("absolute link", stat(DIRECTORY "/absolute", &status) == 0 && status.st_size == 3);
    SAY("through an absolute link", stat("/cvmfs/tools.example.org/linked/greeting", &status) == 0);
    SAY("absolute link itself", lstat(DIRECTORY "/absolute", &status) == 0 && S_ISLNK(status.st_mode));
    SAY("link from outside", open("into", O_RDONLY) >= 0);
    SAY("glob", glob("/cvmfs/tools.example.org/*/greet*", 0, NULL, &matches) == 0 && matches.gl_pathc == 2
        && strcmp(matches.gl_pathv[0], "/cvmfs/tools.example.org/linked/greeting") == 0
        && strcmp(matches.gl_pathv[1], FILE_NAME) == 0);
    SAY("nftw", nftw("/cvmfs/tools.example.org", (void *)visit, 8, FTW_PHYS) == 0 && found == 1);
    SAY("ftw", ftw("/cvmfs/tools.example.org", (void *)visit_plainly, 8) == 0 && found == 2);
    char *roots[] = {"/cvmfs/tools.example.org/share", NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL, NULL);
    int entries = 0;
    while (walk != NULL && fts_read(walk) != NULL)
        entries++;
    SAY("fts", entries == 5);
    SAY("getxattr", getxattr(FILE_NAME, "user.none", text, 9) == -1 && errno != ENOENT);
    SAY("listxattr", listxattr(FILE_NAME, text, sizeof text) >= 0);
    SAY("pathconf", pathconf(DIRECTORY, _PC_NAME_MAX) > 0);
    SAY("statfs", statfs(DIRECTORY, &file_system) == 0 && (file_system.f_flags & ST_RDONLY) != 0);
    SAY("statvfs", statvfs(DIRECTORY, &volume) == 0 && (volume.f_flag & ST_RDONLY) != 0);
    SAY("statvfs elsewhere", statvfs(".", &volume) == 0 && (volume.f_flag & ST_RDONLY) == 0);
    SAY("inotify", inotify_add_watch(inotify_init(), DIRECTORY, IN_OPEN) > 0);

    FAILS("open for writing", open(FILE_NAME, O_RDWR), EROFS);
    FAILS("open of a new file", open(DIRECTORY "/new", O_WRONLY | O_CREAT, 0644), EROFS);
    FAILS("open of nothing for writing", open(DIRECTORY "/none", O_WRONLY), ENOENT);
    FAILS("open that wants to be first", open(FILE_NAME, O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
    FAILS("openat for writing", openat(directory, "new", O_WRONLY | O_CREAT, 0644), EROFS);
    FAILS("open through a link for writing", open(DIRECTORY "/absolute", O_WRONLY), EROFS);
    FAILS("creat", creat(DIRECTORY "/new", 0644), EROFS);
    FAILS("truncate", truncate(FILE_NAME, 0), EROFS);
    FAILS("mkdir", mkdir(DIRECTORY "/new", 0755), EROFS);
    FAILS("mkdir of what is there", mkdir(DIRECTORY, 0755), EEXIST);
    FAILS("mkdir above", mkdir("/cvmfs/other.example.org", 0755), EROFS);
    FAILS("unlink", unlink(FILE_NAME), EROFS);
    FAILS("unlinkat", unlinkat(directory, "greeting", 0), EROFS);
    FAILS("rmdir", rmdir(DIRECTORY), EROFS);
    FAILS("rename", rename(FILE_NAME, DIRECTORY "/new"), EROFS);
    FAILS("rename to elsewhere", rename(FILE_NAME, "new"), EXDEV);
    FAILS("link", link(FILE_NAME, "new"), EXDEV);
    FAILS("symlink", symlink("x", DIRECTORY "/new"), EROFS);
    FAILS("chmod", chmod(FILE_NAME, 0777), EROFS);
    FAILS("chmod of nothing", chmod(DIRECTORY "/none", 0777), ENOENT);
    FAILS("chown", chown(FILE_NAME, 1, 1), EROFS);
    FAILS("utimensat", utimensat(AT_FDCWD, FILE_NAME, NULL, 0), EROFS);
    FAILS("setxattr", setxattr(FILE_NAME, "user.x", "x", 1, 0), EROFS);
    strcpy(text, DIRECTORY "/XXXXXX");
    FAILS("mkstemp", mkstemp(text), EROFS);

    SAY("chdir", chdir(DIRECTORY) == 0 && getcwd(text, sizeof text) != NULL && strcmp(text, DIRECTORY) == 0);
    memory = getcwd(NULL, 0);
    SAY("getcwd in new memory", memory != NULL && strcmp(memory, DIRECTORY) == 0);
    memory = get_current_dir_name();
    SAY("get_current_dir_name", memory != NULL && strcmp(memory, DIRECTORY) == 0);
    SAY("getcwd without room", getcwd(small, sizeof small) == NULL && errno == ERANGE);
    SAY("relative", stat("greeting", &status) == 0 && stat("../bin", &status) == 0);
    SAY("relative through a link", stat("../linked/greeting", &status) == 0);
    FAILS("relative for writing", open("new", O_WRONLY | O_CREAT, 0644), EROFS);
    SAY("kernel's link", readlink("/proc/self/cwd", text, sizeof text) == sizeof DIRECTORY - 1);
    SAY("relative realpath", realpath("greeting", text) != NULL && strcmp(text, FILE_NAME) == 0);
    SAY("out by dots", stat("/cvmfs/tools.example.org/../tools.example.org/bin/../../..", &status) == 0);
    SAY("slashes and dots", stat("//cvmfs/.//tools.example.org///share/./greeting", &status) == 0);
    FAILS("another name", stat("/cvmfs/tools.example.org.uk", &status), ENOENT);
    FAILS("a shorter name", stat("/cvmfs/tools", &status), ENOENT);
    return 0;
}
"""


@pytest.fixture
def tree(shown: Shown) -> Shown:
    """A small tree with links of all kinds."""
    shown.write("share/greeting", "hi\n")
    shown.write("bin/show", "#!/bin/sh\necho shown\n", 0o755)
    (shown.tree / "share" / "relative").symlink_to("greeting")
    (shown.tree / "share" / "absolute").symlink_to(PREFIX / "share" / "greeting")
    (shown.tree / "linked").symlink_to(PREFIX / "share")
    (shown.outside / "into").symlink_to(PREFIX / "share" / "greeting")
    return shown


def contents(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(directory)): (path.lstat().st_mode, path.read_bytes())
        for path in directory.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_every_call_is_answered_from_the_tree(tree: Shown) -> None:
    before = contents(tree.tree)
    program = tree.outside / "calls"
    tree.compile(program, _CALLS)
    lines = tree.good(str(program))
    assert [line for line in lines if not line.startswith("ok ")] == []
    assert len(lines) > 70
    assert contents(tree.tree) == before


def test_the_checked_forms_of_calls_are_answered_too(tree: Shown) -> None:
    program = tree.outside / "calls"
    tree.compile(program, _CALLS, "-O2", "-D_FORTIFY_SOURCE=2")
    assert [line for line in tree.good(str(program)) if not line.startswith("ok ")] == []


def test_common_programs_see_the_tree(tree: Shown) -> None:
    place = str(PREFIX)
    assert tree.good("cat", f"{place}/share/greeting", f"{place}/linked/greeting") == ["hi", "hi"]
    assert tree.good("ls", "/cvmfs", place) == ["/cvmfs:", PREFIX.name, "", f"{place}:", "bin", "linked", "share"]
    found = tree.good("find", place, "-type", "f")
    assert sorted(found) == [f"{place}/bin/show", f"{place}/share/greeting"]
    assert tree.good("readlink", "-f", f"{place}/linked/absolute") == [f"{place}/share/greeting"]
    assert tree.good("sh", "-c", f"cd {place}/bin && pwd && /bin/pwd && ls") == [f"{place}/bin"] * 2 + ["show"]
    assert tree.good("sh", "-c", f"cd {place}/bin && cd ../.. && pwd && echo */bin") == ["/cvmfs", f"{PREFIX.name}/bin"]
    assert tree.good("grep", "-rl", "hi", f"{place}/share") == [f"{place}/share/greeting"]


def test_the_tree_can_be_copied_and_packed(tree: Shown) -> None:
    tree.good("cp", "-a", str(PREFIX), str(tree.outside / "copied"))
    assert contents(tree.outside / "copied") == contents(tree.tree)
    assert (tree.outside / "copied" / "linked").readlink() == Path(PREFIX / "share")
    tree.good("tar", "-C", str(PREFIX), "-cf", str(tree.outside / "packed.tar"), ".")
    with tarfile.open(tree.outside / "packed.tar") as packed:
        assert "./share/greeting" in packed.getnames()


def test_nothing_is_changed_by_programs_that_try(tree: Shown) -> None:
    before = contents(tree.tree)
    place = str(PREFIX)
    for line in (
        f"touch {place}/share/new",
        f"echo x >> {place}/share/greeting",
        f"rm -rf {place}/share",
        f"mv {place}/share/greeting .",
        f"sed -i s/h/j/ {place}/share/greeting",
        f"cd {place}/share && echo x > new",
        f"cd {place} && chmod 777 share/greeting",
    ):
        ended = tree.run("sh", "-c", line)
        assert ended.code != 0, line
        assert "Read-only file system" in ended.complaint, line
    assert contents(tree.tree) == before


def test_what_lies_elsewhere_is_read_and_written_as_ever(tree: Shown) -> None:
    assert tree.good("sh", "-c", "mkdir a && echo x > a/b && mv a/b c && rm -r a && cat c") == ["x"]
    assert tree.good("sh", "-c", f"cp {PREFIX}/share/greeting d && chmod 600 d && cat d") == ["hi"]


def test_python_sees_modules_where_they_are_shown(tree: Shown) -> None:
    tree.write("lib/rhyme/__init__.py", "from rhyme.words import WORD\n")
    tree.write("lib/rhyme/words.py", "WORD = 'shown'\n")
    line = (
        "import glob, os, pathlib, rhyme; print(rhyme.WORD, rhyme.__file__);"
        f"os.chdir('{PREFIX}/lib'); print(os.getcwd(), os.path.realpath('rhyme'));"
        f"print(sorted(glob.glob('{PREFIX}/*/*/w*.py')), pathlib.Path('{PREFIX}/linked').resolve());"
        f"print(sum(1 for _ in os.walk('{PREFIX}')))"
    )
    assert tree.good(sys.executable, "-B", "-c", line, environment={"PYTHONPATH": f"{PREFIX}/lib"}) == [
        f"shown {PREFIX}/lib/rhyme/__init__.py",
        f"{PREFIX}/lib {PREFIX}/lib/rhyme",
        f"['{PREFIX}/lib/rhyme/words.py'] {PREFIX}/share",
        "5",
    ]


@pytest.mark.skipif(shutil.which("perl") is None, reason="perl is not installed")
def test_perl_sees_the_tree(tree: Shown) -> None:
    line = f'use Cwd "abs_path"; print abs_path("{PREFIX}/linked"), " ", join(",", <{PREFIX}/b*>), "\\n"'
    assert tree.good("perl", "-e", line) == [f"{PREFIX}/share {PREFIX}/bin"]


def test_a_compiler_takes_headers_from_the_tree(tree: Shown) -> None:
    tree.write("include/rhyme.h", "#define RHYME 5\n")
    (tree.outside / "x.c").write_text("#include <rhyme.h>\nint main(void) { return RHYME; }\n")
    tree.good("cc", "-o", "x", "x.c", f"-I{PREFIX}/include")
    assert tree.run("./x").code == 5
    assert f"{PREFIX}/include/rhyme.h" in "".join(tree.good("cc", "-M", "x.c", f"-I{PREFIX}/include"))
