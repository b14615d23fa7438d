"""That a layer needs nothing of its host: it works in roots that hold nothing, or something else, and a tracer sees
what it asks for.

- *empty*: nothing but the layer, devices, processes and a directory for temporary files.
- *hostile*: a host whose loader is told to load rubbish before everything else, with other C libraries where ours would
  be found by mistake, settings that break shell, git and Lua, no accounts, and a locale that nobody has.
- *musl*: another C library, shell and tools, as on Alpine Linux; they are on the path behind the layer's.
- *beside*: all files of a system that somebody names.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from outcrop.compat.layout import LayerLayout
from outcrop.compat.sealed_root import SealedRoot
from outcrop.compat.verify.job import Job
from outcrop.compat.verify.jobs import JOBS
from outcrop.compat.verify.musl_root import SEARCHED, make_musl_root
from outcrop.compat.verify.programs import Expected, answers_in, judged, programs_in, start_script, started_paths
from outcrop.compat.verify.report import Checked, Finding, checked
from outcrop.errors import storage_error
from outcrop.process_group import run_group
from outcrop.strace.asked_paths import AccessKind, AskedPath, AskedPaths
from outcrop.strace.lines import LineReader
from outcrop.strace.run import Tracer

_NUMBERS = sorted({0, 4711, os.getuid()})
"""Root's, that of an account which jobs ask for, and that of whoever runs them."""

_ACCOUNTS = {
    "passwd": "".join(
        f"{name}:x:{number}:{number}:{name.title()}:/tmp:/bin/sh\n"
        for number in _NUMBERS
        for name in [{0: "root", 4711: "tester"}.get(number, "runner")]
    ),
    "group": "root:x:0:\ntester:x:4711:\n",
    # As at a site with sssd or nslcd: their libraries are loaded, and find nobody who answers.
    "nsswitch.conf": "passwd: files sss ldap\ngroup: files sss ldap\nhosts: files\n",
    "hosts": "127.0.0.1 localhost\n",
}

_RUBBISH = "this is no library\n"
_HOSTILE = {
    "etc/ld.so.preload": "/lib/evil.so\n",
    "etc/ld.so.cache": _RUBBISH,
    "etc/gitconfig": "[core\n",
    "etc/profile": "echo hostile; exit 1\n",
    "etc/bash.bashrc": "echo hostile; exit 1\n",
    "etc/inputrc": "rubbish\n",
    "etc/ssl/openssl.cnf": "rubbish\n",
    "lib/evil.so": _RUBBISH,
    "lib/libc.so.6": _RUBBISH,
    "lib/{triplet}/libc.so.6": _RUBBISH,
    "lib/{triplet}/libtinfo.so.6": _RUBBISH,
    "usr/lib/{triplet}/libz.so.1": _RUBBISH,
    "lib64/libc.so.6": _RUBBISH,
    "usr/share/lua/5.3/posix.lua": "error('hostile')\n",
    "usr/lib/python3/dist-packages/sitecustomize.py": "raise SystemExit('hostile')\n",
}

_ALLOWED = ("/proc", "/dev", "/sys", "/tmp", "/selinux")
"""What is the kernel's, or for temporary files. SELinux's library still asks for its old place."""

_RUN = "/run/"
"""Hosts have it as `/var/run`, too, by which glibc asks for the name server's cache."""

_OF_QEMU = ("/usr/gnemul", "/etc/qemu-binfmt")
"""Where QEMU itself looks, which plays another family's processor."""

_NO_PATHS = re.compile(rb"/\*std(?:in|out)\*\\|/memfd:.*")
"""Names that zstd gives to standard input and output, and asks the kernel for; and memory that QEMU opens as a file."""

_TRACE_SECONDS = 900
_SLOWER_BY_QEMU = 4
_FAILED = "failed: "


@dataclass(frozen=True, slots=True)
class Roots:
    """The roots to try, made below `directory`. Declared paths of the host are `linked`, to which links of the layer
    lead, or asked for as they are (`host_paths`)."""

    root: SealedRoot
    directory: Path
    host_paths: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()

    def with_accounts(self) -> SealedRoot:
        """A root with a few accounts, and nothing else."""
        return self._with(self._files("accounts", {f"etc/{name}": text for name, text in _ACCOUNTS.items()}))

    def hostile(self) -> SealedRoot:
        """A root whose files do harm if they are read."""
        triplet = self.root.layout.family.triplet
        return self._with(
            self._files("hostile", {path.format(triplet=triplet): text for path, text in _HOSTILE.items()})
        )

    def with_musl(self) -> SealedRoot:
        """A root with musl and BusyBox. MissingCapability where this machine has none; StorageError."""
        place = self.directory / "musl"
        if not place.is_dir():
            accounts = {f"etc/{name}": text for name, text in _ACCOUNTS.items() if name != "nsswitch.conf"}
            make_musl_root(place, self.root.layout.family, accounts)
        return self._on_path(self._with({PurePosixPath("/", entry.name): entry for entry in sorted(place.iterdir())}))

    def beside(self, system: Path) -> SealedRoot:
        """A root with the files of another system, whose root is the directory `system`; but it has our accounts. What
        belongs to the kernel, and where repositories are, is left out. StorageError where it cannot be read."""
        texts = {f"etc/{name}": text for name, text in _ACCOUNTS.items() if name != "nsswitch.conf"}
        accounts = self._files("accounts beside", texts)
        left_out = {PurePosixPath("/", name) for name in ("dev", "etc", "proc", "sys", "tmp")}
        left_out |= {*accounts, *self.root.layout.mount_point.parents}
        try:
            entries = sorted(system.iterdir())
            entries += sorted((system / "etc").iterdir()) if (system / "etc").is_dir() else []
        except OSError as error:
            raise storage_error(error) from error
        places = {PurePosixPath("/", entry.relative_to(system)): entry for entry in entries}
        shown = {place: entry for place, entry in places.items() if place not in left_out}
        return self._on_path(self._with(shown | accounts))

    def _files(self, name: str, texts: Mapping[str, str]) -> dict[PurePosixPath, Path]:
        binds = {}
        for path, text in texts.items():
            place = self.directory / name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
            binds[PurePosixPath("/", path)] = place
        return binds

    def _with(self, binds: Mapping[PurePosixPath, Path]) -> SealedRoot:
        return replace(self.root, binds={**self.root.binds, **binds})

    def _on_path(self, root: SealedRoot) -> SealedRoot:
        """`root` with its own programs on the path, behind the layer's."""
        path = ":".join((self.root.environment()["PATH"], *SEARCHED))
        return replace(root, extra_environment={**root.extra_environment, "PATH": path})


def run_jobs(root: SealedRoot, jobs: Sequence[Job] = JOBS, extra: Mapping[str, str] | None = None) -> Checked:
    """Every job that the layer has the programs for gives its answer in `root`, with `extra` in its environment. `root`
    must be one in which also what a program starts runs."""
    there = programs_in(root.tree)
    findings, skipped, number = [], [], 0
    for job in jobs:
        missing = job.missing(root.tree, there)
        if missing:
            skipped.append(Finding(job.name, f"the layer has no {missing}"))
            continue
        number += 1
        finding = _wrong(root, job, extra or {})
        if finding is not None:
            findings.append(finding)
    return checked(number, findings, skipped)


def job_script(job: Job) -> str:
    """The whole script of a job, for the layer's shell."""
    return f"set -e; mkdir /tmp/job.$BASHPID; cd /tmp/job.$BASHPID\n{job.script}\n"


def _wrong(root: SealedRoot, job: Job, extra: Mapping[str, str]) -> Finding | None:
    prefix = str(root.layout.prefix)
    environment = root.environment() | {"EPREFIX": prefix} | dict(extra)
    ended = root.run([f"{prefix}/usr/bin/bash", "-c", job_script(job)], environment, seconds=300)
    if ended.returncode == 0 and ended.stdout == job.answer:
        return None
    said = (ended.stderr.strip().splitlines() or ended.stdout.strip().splitlines() or ["nothing"])[-1]
    return Finding(job.name, f"answers wrongly (exit code {ended.returncode}): {said}")


def nothing_of_the_host(roots: Roots, tracer: Tracer, expected: Expected) -> Checked:
    """A tracer sees all programs start, as `expected`, and all jobs run, and no path of the host asked for but the
    declared ones."""
    root = roots.with_accounts()
    prefix = str(root.layout.prefix)
    paths = started_paths(root.tree)
    there = programs_in(root.tree)
    scripts = [
        f'({job_script(job)}) >/dev/null 2>&1\n[ $? = 0 ] || echo "{_FAILED}{job.name}"'
        for job in JOBS
        if not job.missing(root.tree, there)
    ]
    script = roots.directory / "traced.sh"
    script.write_text(
        f"export EPREFIX={prefix}\ncd /tmp\n({start_script(prefix, paths)})\n" + "\n".join(scripts) + "\n",
        encoding="utf-8",
    )
    place = PurePosixPath("/tmp/traced.sh")
    root = replace(root, binds={**root.binds, place: script})
    trace = roots.directory / "trace"
    command = root.command_line([f"{prefix}/usr/bin/bash", str(place)])
    tracing = [tracer.program, *tracer.options, "-o", str(trace), "--", *command]
    seconds = _TRACE_SECONDS * (1 if root.qemu is None else _SLOWER_BY_QEMU)
    try:
        ended = run_group(tracing, seconds=seconds)
    except subprocess.TimeoutExpired:
        return checked(0, [Finding("all programs and jobs", f"have not ended under the tracer after {seconds} s")])
    # strace itself sees where files really are.
    sources = (root.tree, *filter(None, [root.shared]), *root.binds.values())
    real = (str(place), *(os.path.realpath(source) for source in sources))
    emulator = _OF_QEMU if root.qemu is not None else ()
    host_paths = (*roots.host_paths, *(f"/var{path}" for path in roots.host_paths if path.startswith(_RUN)))
    # Lmod asks the kernel which program its shell is, and hears of QEMU.
    to_qemu = map(str, root.qemu.parents) if root.qemu is not None else ()
    seen = Seen(root.layout, (*_ALLOWED, *emulator, *host_paths, *real), roots.linked, to_qemu)
    reader, asked = LineReader(), AskedPaths(b"/tmp")
    with trace.open("rb") as lines:
        for text in lines:
            line = reader.read(text)
            if line is not None:
                seen.take(asked.read(line))
    answers, rest = answers_in(ended.stdout)
    failed = [*judged(root, paths, answers, expected)]
    failed += [Finding(line.removeprefix(_FAILED), "fails") for line in rest.splitlines() if line.startswith(_FAILED)]
    unseen = "under the tracer, which so cannot see all that it would ask for"
    findings = [Finding(one.subject, f"{one.problem}, {unseen}") for one in failed]
    foreign = sorted(seen.foreign.items())
    findings += [Finding(os.fsdecode(path), f"is asked for {count} times") for path, count in foreign]
    return checked(seen.number, findings)


class Seen:
    """Sorts the paths that a run asks for, once the layer's first program is started. Its own are those below the
    layer's prefix, and the directories on the way there, but not what else is in these. A path that is `linked` must be
    asked for by the layer's link, which a site can redirect. Of `directories` only they themselves are allowed."""

    def __init__(
        self, layout: LayerLayout, allowed: Iterable[str], linked: Iterable[str] = (), directories: Iterable[str] = ()
    ) -> None:
        self.number = 0
        self.foreign: Counter[bytes] = Counter()
        self._prefix = os.fsencode(layout.prefix)
        whole = [os.fsencode(path) for path in (*allowed, str(layout.prefix))]
        alone = (*map(str, layout.prefix.parents), *directories)
        self._allowed = frozenset((*whole, *map(os.fsencode, alone)))
        self._below_allowed = tuple(path + b"/" for path in whole)
        self._linked = frozenset(map(os.fsencode, linked))
        self._below_linked = tuple(path + b"/" for path in self._linked)
        self._started = False

    def take(self, asked: Iterable[AskedPath]) -> None:
        for one in asked:
            path = os.path.normpath(one.path)
            self._started |= one.kind is AccessKind.EXEC and path.startswith(self._prefix)
            if not self._started:
                continue
            self.number += 1
            by_link = not one.is_named and (path in self._linked or path.startswith(self._below_linked))
            if not (_NO_PATHS.fullmatch(one.path) or by_link or self._is_allowed(path)):
                self.foreign[path] += 1

    def _is_allowed(self, path: bytes) -> bool:
        return path in self._allowed or path.startswith(self._below_allowed)
