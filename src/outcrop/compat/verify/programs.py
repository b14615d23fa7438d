"""Every program of a layer starts, and those that its sets name are there and answer to `--version`.

What does not know `--version` says so, or does something else: that is its own business, as long as it found all that
it needs. Of the programs that sets name more is asked: they end with 0, or as their set says (`answers`).
"""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from outcrop.compat.package_sets import ProgramAnswer
from outcrop.compat.relocate.elf_image import MAGIC
from outcrop.compat.sealed_root import SealedRoot
from outcrop.compat.verify.report import Checked, Finding, checked

DIRECTORIES = ("usr/bin", "usr/sbin")

_STARTS_SECONDS = 60
"""Most take a hundredth of one; under QEMU, on a busy machine, some take many."""

_ENDS_SECONDS = 5
"""From being asked to end until it is killed."""

_TIMED_OUT = 124
_NOT_STARTED = {_TIMED_OUT: f"does not end in {_STARTS_SECONDS} s", 126: "cannot be run", 127: "is not found"}
_SIGNALS = {
    signal.SIGQUIT: "quit",
    signal.SIGILL: "an instruction that this processor does not have",
    signal.SIGTRAP: "a trap",
    signal.SIGABRT: "abort",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "arithmetic",
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "a wrong address",
    signal.SIGXFSZ: "it writes without end",
    signal.SIGSYS: "a system call that is forbidden",
}
"""Others would be taken for exit codes: git's 129 is one."""

_SIGNALLED = 128
_SHOWN = 200
"""So many letters of what a program said are told."""

_WRITES_AT_MOST = 65536
"""In blocks of 1,024 bytes: the root is in memory."""

_MISSES = re.compile(
    r"ImportError|ModuleNotFoundError|Can't locate \S+ in @INC|module '[^']*' not found"
    r"|error while loading shared libraries|symbol lookup error|bad interpreter|cannot execute: required file not found"
    r"|: (?:line )?\d+: [^: ]+: (?:command )?not found$"
)
"""What Python, Perl, Lua, the loader and shells say when something is not there that they need."""

_PYTHON = re.compile(r"python\d+\.\d+|pypy\d*(?:\.\d+)?")
"""Names of interpreters; some are links to others."""

_ERRS = "Traceback (most recent call last)"
_NO_FILE = re.compile(r"(?P<path>/[^\s'\"]+)['\"]?: No such file or directory")
_ASKED = "--version"

_NOT_REACHED = "was not started: what starts the programs ended before"

Expected = Mapping[str, ProgramAnswer]
"""What sets say of the programs that they name: the exit code, or what the program says if it fails."""

LEFT_ALONE = frozenset({"rdma-ndd", "munged", "dbus-daemon", "poweroff", "reboot", "halt"})
"""Programs that stay behind or change the machine when they are started. `dbus-daemon` answers, in a job."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program gave when it was started: its exit code, as a shell tells it, and what it said."""

    code: int
    said: str


def programs_in(tree: Path) -> dict[str, str]:
    """The programs of the layer `tree`, by name: their paths below it."""
    found: dict[str, str] = {}
    for directory in DIRECTORIES:
        place = tree / directory
        if place.is_dir():
            for path in sorted(place.iterdir()):
                if path.is_file() and path.stat().st_mode & 0o111:
                    found.setdefault(path.name, f"{directory}/{path.name}")
    return found


def wanted_programs(tree: Path, names: Iterable[str]) -> Checked:
    """The programs `names`, which sets name, are in the layer; and no more than one Python is."""
    there = programs_in(tree)
    wanted = sorted(set(names))
    findings = [Finding(name, "is named by a set, and is not there") for name in wanted if name not in there]
    named = sorted((path for name, path in there.items() if _PYTHON.fullmatch(name)), key=_cpython_first)
    places: dict[Path, str] = {}
    for path in named:
        places.setdefault((tree / path).resolve(), path)
    pythons = list(places.values())
    findings += [Finding(path, f"is another Python than {pythons[0]}") for path in pythons[1:]]
    return checked(len(wanted), findings)


def _cpython_first(path: str) -> tuple[bool, str]:
    return "/python" not in path, path


def start_script(prefix: str, paths: Iterable[str], timeout: str = "") -> str:
    """A script for the layer's shell that starts each program and prints its exit code, its path and what it said, each
    with a NUL behind it. `timeout` is the program to limit them by, by default the layer's."""
    lines = [f"timeout={shlex.quote(timeout or f'{prefix}/usr/bin/timeout')}", f"ulimit -f {_WRITES_AT_MOST}"]
    for path in paths:
        program = shlex.quote(f"{prefix}/{path}")
        lines.append(
            f'"$timeout" -k {_ENDS_SECONDS} {_STARTS_SECONDS} {program} {_ASKED} </dev/null >said 2>&1; code=$?; '
            f'said=$(<said); printf "%s\\0" "$code" {shlex.quote(path)} "$said"'
        )
    return "\n".join(lines)


def answers_in(output: str) -> tuple[dict[str, Answer], str]:
    """What such a script printed, by the programs' paths; and what comes behind it."""
    *fields, rest = output.split("\0")
    triples = zip(fields[0::3], fields[1::3], fields[2::3], strict=False)
    return {path: Answer(int(code), said) for code, path, said in triples if code.isdigit()}, rest


def all_start(root: SealedRoot, expected: Expected) -> Checked:
    """Every program of the layer starts in `root` and ends by itself, as `expected`."""
    paths = started_paths(root.tree)
    if root.children_too:
        return checked(len(paths), judged(root, paths, answers_of(root, paths), expected))
    scripts = {path for path in paths if not is_program(root.tree / path)}
    skipped = [Finding(path, "is a script: this kernel does not let QEMU start one") for path in sorted(scripts)]
    paths = [path for path in paths if path not in scripts]
    return checked(len(paths), judged(root, paths, _answers_one_by_one(root, paths), expected), skipped)


def started_paths(tree: Path) -> list[str]:
    """The programs of the layer `tree` that are started."""
    return [path for name, path in programs_in(tree).items() if name not in LEFT_ALONE]


def answers_of(root: SealedRoot, paths: Sequence[str], shell: str = "", timeout: str = "") -> dict[str, Answer]:
    """What the programs `paths` give, started in `root` by `shell` and limited by `timeout`, by default the layer's."""
    command = [shell or f"{root.layout.prefix}/usr/bin/bash"]
    script = start_script(str(root.layout.prefix), paths, timeout)
    return answers_in(root.run(command, stdin=script, seconds=max(1, len(paths)) * _STARTS_SECONDS).stdout)[0]


def _answers_one_by_one(root: SealedRoot, paths: Sequence[str]) -> dict[str, Answer]:
    """What programs give that QEMU runs without what they start."""
    answers = {}
    for path in paths:
        ended = root.run([f"{root.layout.prefix}/{path}", _ASKED], seconds=_STARTS_SECONDS)
        code = ended.returncode
        answers[path] = Answer(code if code >= 0 else _SIGNALLED - code, ended.stdout + ended.stderr)
    return answers


def is_program(path: Path) -> bool:
    """Whether the file is an ELF file, and no script."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def judged(
    root: SealedRoot, paths: Iterable[str], answers: Mapping[str, Answer], expected: Expected
) -> Iterator[Finding]:
    """What speaks against the programs `paths`, which gave `answers` in `root`."""
    for path in paths:
        answer = answers.get(path)
        problem = _NOT_REACHED if answer is None else _problem(path, answer, expected, str(root.layout.prefix))
        if problem:
            yield Finding(path, problem)


def _problem(path: str, answer: Answer, expected: Expected, prefix: str) -> str:
    code, lines = answer.code, answer.said.splitlines()
    if code in _NOT_STARTED:
        return f"{_NOT_STARTED[code]} (exit code {code}){_last(lines)}"
    if code - _SIGNALLED in _SIGNALS:
        return f"is ended by a signal: {_SIGNALS[signal.Signals(code - _SIGNALLED)]} (exit code {code})"
    if (line := _missing(lines, prefix, path)) is not None:
        return f"does not find what it needs (exit code {code}): {line.strip()[:_SHOWN]}"
    name = path.rpartition("/")[2]
    if name not in expected:
        return ""
    wanted = expected[name]
    if isinstance(wanted, str):
        right = code == 0 or re.search(wanted, answer.said)
        return "" if right else f"does not say {wanted!r} (exit code {code}){_last(lines)}"
    return "" if code == wanted else f"ends with {code} and not with {wanted}{_last(lines)}"


def _missing(lines: Sequence[str], prefix: str, path: str) -> str | None:
    """The line that says what the program `path` did not find: a part of the layer. Programs that do not know the word
    that they are asked by may end in any way."""
    own = f"{prefix}/{path}"
    for line in lines:
        named = _NO_FILE.search(line)
        if _MISSES.search(line) or (named and named["path"].startswith(prefix) and named["path"] != own):
            return line
    return lines[-1] if any(_ERRS in line for line in lines) and _ASKED not in lines[-1] else None


def _last(lines: Sequence[str]) -> str:
    said = [line.strip() for line in lines if line.strip()]
    return f": {said[-1][:_SHOWN]}" if said else ""
