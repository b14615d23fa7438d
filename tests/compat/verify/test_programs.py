"""What a program's answer to `--version` says against it."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.compat.family import family_named
from outcrop.compat.layout import LayerLayout
from outcrop.compat.sealed_root import SealedRoot
from outcrop.compat.verify.programs import Answer, answers_in, judged, start_script, wanted_programs
from outcrop.cvmfs.names import repository_name

LAYOUT = LayerLayout(repository_name("software.example.org"), "2026.06", family_named("x86_64"))
ROOT = SealedRoot(LAYOUT, Path("/layer"), "bwrap")
HERE = f"{LAYOUT.prefix}/usr/bin/a"
EXPECTED: dict[str, int | str] = {"named": 0, "false": 1, "usage": "usage:|No user"}


def problems(code: int, said: str = "", name: str = "a") -> list[str]:
    path = f"usr/bin/{name}"
    return [one.problem for one in judged(ROOT, [path], {path: Answer(code, said)}, EXPECTED)]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "a 1.0"),
        (1, f"{HERE}: invalid option -- '-'"),
        (129, "usage: git"),
        (255, "usage: a"),
        (1, "a: cannot open '--version': No such file or directory"),
        (2, f"{HERE}: --version: No such file or directory"),
        (2, f"Cannot open :No such file or directory at {HERE} line 226."),
        (0, f"{HERE}: Cannot set LC_CTYPE to default locale: No such file or directory"),
        (1, f"{HERE}: No such file or directory"),
        (1, "/etc/a.conf: No such file or directory"),
        (1, "Fatal error: sys files not found (/sys/class)"),
        (1, "Traceback (most recent call last)\n  File\ngetopt.GetoptError: option --version not recognized"),
    ],
)
def test_what_does_not_know_the_word_may_end_in_any_way(code: int, said: str) -> None:
    assert problems(code, said) == []


@pytest.mark.parametrize(
    ("code", "said", "problem"),
    [
        (124, "", "does not end in 60 s (exit code 124)"),
        (126, f"{HERE}: cannot execute", f"cannot be run (exit code 126): {HERE}: cannot execute"),
        (127, "", "is not found (exit code 127)"),
        (132, "", "is ended by a signal: an instruction that this processor does not have (exit code 132)"),
        (133, "", "is ended by a signal: a trap (exit code 133)"),
        (137, "", "is ended by a signal: killed (exit code 137)"),
        (139, "", "is ended by a signal: a wrong address (exit code 139)"),
    ],
)
def test_what_did_not_start_is_told(code: int, said: str, problem: str) -> None:
    assert problems(code, said) == [problem]


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (0, "a: error while loading shared libraries: libz.so.1: cannot open shared object file"),
        (1, "ModuleNotFoundError: No module named 'gone'"),
        (1, "ImportError: libz.so.1: cannot open shared object file"),
        (2, "Can't locate Debian/Debhelper.pm in @INC (you may need to install it)"),
        (1, "lua: a.lua:1: module 'posix' not found:"),
        (1, f"cp: cannot stat '{LAYOUT.prefix}/etc/skel/.cshrc': No such file or directory"),
        (0, f"{HERE}: line 3: gone: command not found"),
        (0, f"{HERE}: 3: gone: not found"),
        (1, f"{HERE}: /usr/bin/python3: bad interpreter: No such file or directory"),
        (1, "Traceback (most recent call last):\nKeyError: 'HOME'"),
    ],
)
def test_what_it_does_not_find_is_told(code: int, line: str) -> None:
    said = line.splitlines()[-1]
    assert problems(code, f"first\n{line}") == [f"does not find what it needs (exit code {code}): {said}"]


@pytest.mark.parametrize(
    ("name", "code", "said", "problem"),
    [
        ("named", 1, "unknown option", ["ends with 1 and not with 0: unknown option"]),
        ("named", 0, "", []),
        ("false", 1, "", []),
        ("false", 0, "", ["ends with 0 and not with 1"]),
        ("usage", 2, "usage: usage FILE", []),
        ("usage", 255, "No user exists", []),
        ("usage", 0, "1.0", []),
        ("usage", 2, "it crashed", ["does not say 'usage:|No user' (exit code 2): it crashed"]),
    ],
)
def test_a_program_that_a_set_names_answers_as_the_set_says(
    name: str, code: int, said: str, problem: list[str]
) -> None:
    assert problems(code, said, name) == problem


def test_a_program_that_was_not_reached_is_told() -> None:
    assert [one.subject for one in judged(ROOT, ["usr/bin/a"], {}, {})] == ["usr/bin/a"]


def test_answers_come_back_whatever_they_are() -> None:
    output = "0\0usr/bin/a\0a 1.0\nmore\0" + "1\0usr/bin/b\0\0" + "failed: job\n"
    answers, rest = answers_in(output)
    assert answers == {"usr/bin/a": Answer(0, "a 1.0\nmore"), "usr/bin/b": Answer(1, "")}
    assert rest == "failed: job\n"


def test_what_does_not_end_is_ended() -> None:
    assert '"$timeout" -k 5 60 /p/usr/bin/a --version </dev/null' in start_script("/p", ["usr/bin/a"])


def test_two_pythons_are_one_too_many_whoever_made_them(tmp_path: Path) -> None:
    programs = tmp_path / "usr/bin"
    programs.mkdir(parents=True)
    for name in ("python3.11", "pypy3"):
        (programs / name).touch(0o755)
    for name, target in (("python3", "python3.11"), ("pypy3.9", "pypy3")):
        (programs / name).symlink_to(target)
    found = wanted_programs(tmp_path, ["python3"]).findings
    assert [(one.subject, one.problem) for one in found] == [
        ("usr/bin/pypy3", "is another Python than usr/bin/python3.11")
    ]
    (programs / "python3.11").unlink()
    (programs / "python3").unlink()
    assert wanted_programs(tmp_path, ["pypy3"]).findings == ()
