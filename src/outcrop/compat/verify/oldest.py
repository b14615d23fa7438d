"""Programs and jobs on the oldest processor of this machine's own family, which QEMU plays.

Every program that starts in the root is emulated, by the kernel's list of what starts which programs (binfmt_misc),
with all that it starts itself. Bubblewrap must not be, nor QEMU, whose programs are of the same kind: so the rule is
for programs whose header ends with zeros, where copies of these, and of what only drives the check, have another byte
that no kernel looks at. All this gives way to other checks, which are made at the same time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from outcrop.compat.sealed_root import SealedRoot, can_enter, static_qemu
from outcrop.compat.verify.isolation import Roots, run_jobs
from outcrop.compat.verify.job import Job
from outcrop.compat.verify.jobs import JOBS
from outcrop.compat.verify.programs import Answer, Expected, answers_of, is_program, judged, started_paths
from outcrop.compat.verify.report import Checked, checked

_NATIVE = PurePosixPath("/native")
_DRIVERS = ("bash", "timeout")
_MARKED_BYTE = 15
"""The last of the identification, which is unused."""
_PROGRAM = b"\x7fELF"

_SECONDS_OF_ONE = 30


@dataclass(frozen=True, slots=True)
class EmulatedRoot(SealedRoot):
    """A root in which QEMU runs the programs of this machine's own family."""

    def command_line(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> list[str]:
        return ["nice", *SealedRoot.command_line(self, command, environment)]


def emulated(
    root: SealedRoot, directory: Path, find_program: Callable[[str], str | None] = shutil.which
) -> EmulatedRoot | str:
    """`root` with the oldest processor, with copies of programs in `directory`; or why that cannot be had."""
    qemu = static_qemu(root.layout.family, find_program)
    if qemu is None:
        return f"the program `{root.layout.family.qemu}-static` is not installed"
    drivers = {name: root.tree / "usr/bin" / name for name in _DRIVERS}
    for name, program in drivers.items():
        if not program.exists():
            return f"the layer has no {name}"
    try:
        directory.mkdir(exist_ok=True)
        native = {_NATIVE / name: _marked(program, directory) for name, program in drivers.items()}
        marked, bubblewrap = _marked(qemu, directory), str(_marked(Path(root.bubblewrap), directory))
        if not can_enter(root.layout.family, marked):
            return "this kernel does not let QEMU run its own family's programs"
        made = EmulatedRoot(
            root.layout, root.tree, bubblewrap, shared=root.shared, binds={**root.binds, **native}, qemu=marked
        )
        trial = made.run([f"{root.layout.prefix}/usr/bin/timeout", "--version"], seconds=_SECONDS_OF_ONE)
    except OSError as error:
        return str(error)
    if trial.returncode == 0:
        return made
    words = trial.stderr.strip().splitlines() or [f"exit code {trial.returncode}"]
    return f"it does not run the layer's programs: {words[-1]}"


def _marked(program: Path, directory: Path) -> Path:
    place = directory / program.name
    shutil.copy(program, place)
    place.chmod(0o755)
    with place.open("r+b") as file:
        if file.read(len(_PROGRAM)) == _PROGRAM:
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
