"""Programs that are started: from the tree, with a loader or an interpreter in it, and by programs that forget."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from outcrop.client.preload.reach import why_not_reached
from tests.client.preload.shown import PREFIX, Shown

pytestmark = pytest.mark.integration

_WHO = r"""
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **words)
{
    char text[PATH_MAX] = "", *real = realpath("/proc/self/exe", NULL);
    text[readlink("/proc/self/exe", text, sizeof text - 1)] = 0;
    printf("%s is %s is %s", words[0], text, real);
    for (int i = 1; i < count; i++)
        printf(" [%s]", words[i]);
    printf("%s\n", access("/cvmfs/tools.example.org/bin", F_OK) == 0 ? "" : " BLIND");
    return 7;
}
"""
_START = r"""
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#define WHO "/cvmfs/tools.example.org/bin/who"
int main(int count, char **words)
{
    char *line[] = {"who", "x", NULL}, *none[] = {NULL}, *way = words[1];
    pid_t child;
    int state = 0;
    setenv("PATH", "/nowhere:/cvmfs/tools.example.org/bin:/usr/bin:/bin", 1);
    if (strcmp(way, "execv") == 0) execv(WHO, line);
    if (strcmp(way, "execve") == 0) execve(WHO, line, none);
    if (strcmp(way, "execvp") == 0) execvp("who", line);
    if (strcmp(way, "execvpe") == 0) execvpe("who", line, none);
    if (strcmp(way, "execl") == 0) execl(WHO, "who", "x", NULL);
    if (strcmp(way, "execle") == 0) execle(WHO, "who", "x", NULL, none);
    if (strcmp(way, "execlp") == 0) execlp("who", "who", "x", NULL);
    if (strcmp(way, "posix_spawn") == 0) state = posix_spawn(&child, WHO, NULL, NULL, line, none);
    if (strcmp(way, "posix_spawnp") == 0) state = posix_spawnp(&child, "who", NULL, NULL, line, none);
    if (strcmp(way, "system") == 0) { clearenv(); return WEXITSTATUS(system(WHO " x")); }
    if (strcmp(way, "popen") == 0) return WEXITSTATUS(pclose(popen(WHO " x", "w")));
    if (strcmp(way, "vfork") == 0 && (child = vfork()) == 0) { execv(WHO, line); _exit(1); }
    if (state != 0) return 99;
    wait(&state);
    return WEXITSTATUS(state);
}
"""
_WAYS = (
    "execv", "execve", "execvp", "execvpe", "execl", "execle", "execlp", "posix_spawn", "posix_spawnp", "system",
    "popen", "vfork",
)  # fmt: skip


def loader() -> Path:
    """The loader of this machine's programs."""
    listed = subprocess.run(["ldd", os.path.realpath("/bin/ls")], capture_output=True, text=True, check=True).stdout
    return Path(next(line.split()[0] for line in listed.splitlines() if "ld-linux" in line))


def c_library() -> Path:
    listed = subprocess.run(["ldd", os.path.realpath("/bin/ls")], capture_output=True, text=True, check=True).stdout
    return Path(next(line.split()[2] for line in listed.splitlines() if "libc.so" in line))


@pytest.fixture(params=["the machine's loader", "a loader in the tree"])
def who(shown: Shown, request: pytest.FixtureRequest) -> str:
    """A program of the tree that says who it is."""
    options = []
    if request.param == "a loader in the tree":
        (shown.tree / "lib").mkdir()
        shutil.copy(loader(), shown.tree / "lib" / "ld.so")
        shutil.copy(c_library(), shown.tree / "lib" / "libc.so.6")
        options = [f"-Wl,--dynamic-linker={PREFIX}/lib/ld.so", f"-Wl,-rpath,{PREFIX}/none:{PREFIX}/lib"]
    shown.compile(shown.tree / "bin" / "who", _WHO, *options)
    return str(PREFIX / "bin" / "who")


def said(name: str, who: str, *words: str) -> str:
    return " ".join([f"{name} is {who} is {who}", *(f"[{word}]" for word in words)])


def test_a_program_of_the_tree_runs_under_its_name(shown: Shown, who: str) -> None:
    ended = shown.run(who, "a", "b c")
    assert (ended.code, ended.lines, ended.complaint) == (7, [said(who, who, "a", "b c")], "")


def test_it_runs_by_any_path_that_leads_to_it(shown: Shown, who: str) -> None:
    (shown.tree / "absolute").symlink_to(who)
    (shown.tree / "bin" / "relative").symlink_to("../bin/who")
    (shown.outside / "outside").symlink_to(who)
    for path in (f"{PREFIX}/absolute", f"{PREFIX}/bin/relative", str(shown.outside / "outside"), "./outside"):
        assert shown.run(path).lines == [said(path, who)]
    assert shown.run("sh", "-c", f"cd {PREFIX}/bin && ./who").lines == [said("./who", who)]
    assert shown.run("who", environment={"PATH": f"{PREFIX}/bin:/usr/bin:/bin"}).lines == [said("who", who)]


@pytest.mark.parametrize("way", _WAYS)
def test_every_call_that_starts_a_program_finds_it(way: str, shown: Shown, who: str) -> None:
    shown.compile(shown.outside / "start", _START)
    ended = shown.run("./start", way)
    name = who if way in ("system", "popen") else "who"
    assert (ended.code, ended.lines) == (7, [said(name, who, "x")])


def test_scripts_have_their_interpreter_in_the_tree(shown: Shown, who: str) -> None:
    script = shown.write("bin/script", f"#!{who} -o p \n", 0o755)
    assert shown.run(script, "x").lines == [said(who, who, "-o p", script, "x")]
    second = shown.write("bin/second", f"#! {script}\n", 0o755)
    assert shown.run(second, "x").lines == [said(who, who, "-o p", script, second, "x")]
    mine = shown.outside / "mine"
    mine.write_text(f"#!{who}\n")
    mine.chmod(0o755)
    assert shown.run("./mine", "x").lines == [said(who, who, "./mine", "x")]


def test_a_script_is_told_its_shown_name(shown: Shown) -> None:
    script = shown.write("bin/script", '#!/bin/sh\necho "$0" "$@"; cat "$0" | wc -l\n', 0o755)
    assert shown.good(script, "x y") == [f"{script} x y", "2"]
    bare = shown.write("bin/bare", "echo bare $0\n", 0o755)
    assert shown.good(bare) == [f"bare {bare}"]
    assert shown.good("env", "script", environment={"PATH": f"{PREFIX}/bin:/usr/bin:/bin"})[0].startswith(script)


def test_what_may_not_be_run_is_refused_as_ever(shown: Shown) -> None:
    plain = shown.write("bin/plain", "#!/bin/sh\necho no\n")
    assert shown.run("sh", "-c", plain).code == 126
    assert shown.run("sh", "-c", f"{PREFIX}/none").code == 127
    assert shown.run(f"{PREFIX}/none").code == 127
    assert shown.run(str(PREFIX)).code == 126


def test_a_static_interpreter_gets_the_real_script(shown: Shown) -> None:
    source = "#include <fcntl.h>\nint main(int c, char **v) { return open(v[1], O_RDONLY) >= 0 ? 9 : 1; }\n"
    program = shown.outside / "static"
    try:
        shown.compile(program, source, "-static")
    except subprocess.CalledProcessError:
        pytest.skip("there is no static C library")
    assert why_not_reached(str(program), os.environ, ()).endswith("is linked statically")
    assert shown.run(shown.write("bin/script", f"#!{program}\n", 0o755)).code == 9


def test_programs_that_clear_their_environment_start_others_that_see_the_tree(shown: Shown, who: str) -> None:
    shown.write("greeting", "hi\n")
    assert shown.good(
        "env", "-i", "/bin/sh", "-c", f"cat {PREFIX}/greeting; env -u LD_PRELOAD cat {PREFIX}/greeting"
    ) == [
        "hi",
        "hi",
    ]
    line = f"import subprocess as s; print(s.run(['{who}'], env={{}}, capture_output=True, text=True).stdout, end='')"
    assert shown.good(sys.executable, "-c", line) == [said(who, who)]


def test_other_libraries_in_front_stay(shown: Shown) -> None:
    shown.compile(shown.tree / "lib" / "first.so", "int getpid(void) { return 1; }\n", "-shared", "-fPIC")
    line = ["-c", "import os; print(os.getpid())"]
    environment = {"LD_PRELOAD": f"{PREFIX}/lib/first.so"}
    assert shown.good(sys.executable, *line, environment=environment) == ["1"]
    shown.write("greeting", "hi\n")
    lost = f"LD_PRELOAD={PREFIX}/lib/first.so cat {PREFIX}/greeting"
    assert shown.good("sh", "-c", lost) == ["hi"]


def test_a_program_with_an_equals_sign_is_no_variable(shown: Shown) -> None:
    assert shown.good(shown.write("a=b/run", "#!/bin/sh\necho $0\n", 0o755)) == [f"{PREFIX}/a=b/run"]


def test_signals_end_a_program_as_ever(shown: Shown) -> None:
    assert shown.run("sh", "-c", "kill -TERM $$").code == -signal.SIGTERM


def test_a_virtual_environment_of_python_works(shown: Shown) -> None:
    real = Path(os.path.realpath(sys.executable)).parent.parent
    for name in ("bin", "lib"):
        (shown.tree / name).symlink_to(real / name)
    python = f"{PREFIX}/bin/{Path(os.path.realpath(sys.executable)).name}"
    ended = shown.run(python, "-m", "venv", "--without-pip", "--symlinks", str(shown.outside / "venv"))
    assert ended.code == 0, ended.complaint
    line = "import sys; print(sys.prefix)"
    assert shown.good("./venv/bin/python", "-c", line) == [str(shown.outside / "venv")]
