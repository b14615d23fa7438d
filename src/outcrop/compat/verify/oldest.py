"""Programs and jobs on the oldest processor of this machine's own family, which QEMU plays.

Every program that starts in the root is emulated, by the kernel's list of what starts which programs (binfmt_misc),
with all that it starts itself. Bubblewrap must not be, nor QEMU, whose programs are of the same kind: so the list is
filled within the root, by a shell that runs already, and the rule is for programs whose header ends with zeros, where
copies of QEMU and of what only drives the check have another byte that no kernel looks at. All this gives way to other
checks, which are made at the same time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from outcrop.compat.sealed_root import NAMESPACE, QEMU_PLACE, SealedRoot, rule, static_qemu
from outcrop.compat.verify.isolation import Roots, run_jobs
from outcrop.compat.verify.job import Job
from outcrop.compat.verify.jobs import JOBS
from outcrop.compat.verify.programs import Answer, Expected, answers_of, is_program, judged, started_paths
from outcrop.compat.verify.report import Checked, checked

_LIST = PurePosixPath("/proc/sys/fs/binfmt_misc")
_LIST_PLACE = PurePosixPath("/binfmt")
_NATIVE = PurePosixPath("/native")
_DRIVERS = ("bash", "timeout")
_MARKED_BYTE = 15
"""The last of the identification, which is unused."""

_OWN_LIST = f'mount -t binfmt_misc none {_LIST} && exec "$@"'
_REGISTER = f'printf %s "$1" > {_LIST_PLACE}/register && shift && exec "$@"'
_SECONDS_OF_ONE = 30


@dataclass(frozen=True, slots=True)
class EmulatedRoot(SealedRoot):
    """A root in which QEMU runs the programs of this machine's own family."""

    def command_line(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> list[str]:
        shell = [f"{self.layout.prefix}/usr/bin/sh", "-c", _REGISTER, "sh"]
        return [
            *("nice", *NAMESPACE, "sh", "-c", _OWN_LIST, "sh"),
            *SealedRoot.bubblewrap_line(self, environment),
            *("--bind", str(_LIST), str(_LIST_PLACE), "--ro-bind", str(self.qemu), str(QEMU_PLACE)),
            *("--", *shell, rule(self.layout.family, str(QEMU_PLACE)), *command),
        ]


def emulated(
    root: SealedRoot, directory: Path, find_program: Callable[[str], str | None] = shutil.which
) -> EmulatedRoot | str:
    """`root` with the oldest processor, with copies of programs in `directory`; or why that cannot be had."""
    qemu = static_qemu(root.layout.family, find_program)
    if qemu is None:
        return f"the program `{root.layout.family.qemu}-static` is not installed"
    directory.mkdir(exist_ok=True)
    binds = dict(root.binds)
    for name in _DRIVERS:
        program = root.tree / "usr/bin" / name
        if not program.exists():
            return f"the layer has no {name}"
        binds[_NATIVE / name] = _marked(program, directory)
    qemu = _marked(qemu, directory)
    made = EmulatedRoot(root.layout, root.tree, root.bubblewrap, shared=root.shared, binds=binds, qemu=qemu)
    try:
        trial = made.run([f"{root.layout.prefix}/usr/bin/timeout", "--version"], seconds=_SECONDS_OF_ONE)
    except OSError as error:
        return str(error)
    return made if trial.returncode == 0 else "this kernel does not let QEMU run its own family's programs"


def _marked(program: Path, directory: Path) -> Path:
    place = directory / program.name
    shutil.copy(program, place)
    place.chmod(0o755)
    with place.open("r+b") as file:
        file.seek(_MARKED_BYTE)
        file.write(b"\x01")
    return place


def programs_start(root: EmulatedRoot, expected: Expected, workers: int) -> Checked:
    """Every program of the layer starts, as `expected`; scripts are left out, since what runs them is a program."""
    paths = [path for path in started_paths(root.tree) if is_program(root.tree / path)]
    drivers = [str(_NATIVE / name) for name in _DRIVERS]

    def answers(part: Sequence[str]) -> dict[str, Answer]:
        return answers_of(root, part, *drivers)

    found: dict[str, Answer] = {}
    with ThreadPoolExecutor(workers) as pool:
        for part in pool.map(answers, (paths[start::workers] for start in range(workers))):
            found |= part
    return checked(len(paths), judged(root, paths, found, expected))


def jobs_run(roots: Roots, workers: int) -> Checked:
    """Every job gives its answer."""
    root = roots.with_accounts()

    def run(job: Job) -> Checked:
        return run_jobs(root, [job])

    with ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(run, JOBS))
    findings = (finding for one in done for finding in one.findings)
    return checked(sum(one.number for one in done), findings, (left for one in done for left in one.skipped))
