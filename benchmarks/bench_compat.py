"""What a compatibility layer costs: to build, to keep, to start programs from, to verify and to audit; with the limits.

Method: the default set for this machine's family. It is built once from nothing, over the network, which fills a mirror
of its own, then from that mirror in rounds, then once with the compilers. A build is all that `outcrop compat build`
does: it reads the release's signed metadata over the network each time, resolves, fetches, verifies, unpacks, moves,
finishes and records, and takes the layer before away. What 20 MB/s would give is the median from the mirror plus all
that was fetched at that rate. Sizes are those of the files' contents, hard links once, as a repository keeps them: in
the finished layer with its record, and of the packages that ship as they are unpacked, without what a layer leaves out;
for information also with a copy for each name. The layer is put at its prefix, as a client shows it, in one root
together with the host's own system; there one process starts programs of both in turns, with the same words and
environment, so that making the root is in no number. `verify` and `audit` are whole commands. The advisories are made
up, about as large as the tracker's document and as OSV's archive of all of Debian, with far more about the layer's
packages; all that can be mended must be found. A limit is held where the median holds it.

What it leaves out: a layer that is read through CernVM-FS, whose first starts fetch and whose later ones ask FUSE; a
cold disk (files are in the page cache after the first round); that the host may have other versions of the programs,
and packages that its Python imports at every start (versions are printed); other families, which QEMU runs. From
nothing is once, since the network decides it, and so is the build with compilers, for which no limit is asked.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks import starts
from benchmarks.advisories import SEED, write_advisories, write_records
from benchmarks.repositories import NAME
from benchmarks.timing import Timings, print_circumstances, take_turns
from outcrop.cli.compat_options import chosen_archive, chosen_packages
from outcrop.compat.build import BuildPlace, build_layer, fetch_packages
from outcrop.compat.debian.archive import archive_addresses
from outcrop.compat.family import this_family
from outcrop.compat.layout import LayerLayout
from outcrop.compat.package_sets import read_description
from outcrop.compat.plan import plan_layer
from outcrop.compat.record import recorded_lock
from outcrop.compat.sealed_root import SealedRoot, sealed_root
from outcrop.compat.unpack import PackageFile, unpack
from outcrop.compat.verify.shown import show_as_client
from outcrop.errors import MissingCapability

ROUNDS = 5
VERIFICATIONS = 3
"""Each takes more than a minute, and there are two layers."""

STARTS = 400
ADVISORIES_BYTES = 60_000_000
OSV_RECORDS = 75_000
"""About what the security tracker gives."""

NETWORK_RATE = 20
"""MB/s, at which a build from nothing has its limit."""

FROM_MIRROR_SECONDS = 300
FROM_NOTHING_SECONDS = 480
MEGABYTES = 250
MEGABYTES_WITH_COMPILERS = 900
START_RATIO = 1.2
VERIFY_SECONDS = 180
AUDIT_SECONDS = 10

COMPILERS = "compilers"
_PROGRAMS = {
    "bash -c true": ("bash", "-c", "true"),
    "python3 -c pass": ("python3", "-c", "pass"),
    "git --version": ("git", "--version"),
}
_HOST_SYSTEM = ("bin", "etc", "lib", "lib64", "sbin", "usr")
_HOST_PATH = "/usr/bin:/bin"
_ENVIRONMENT = {"HOME": "/tmp", "LC_ALL": "C.UTF-8"}
_STARTS_PLACE = PurePosixPath("/starts.py")
_OUTCROP = (sys.executable, "-m", "outcrop.cli.entry", "compat")


def main() -> None:
    """Prints the tables."""
    print_circumstances()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch:
        place = Path(scratch)
        layers = _Layers(place)
        try:
            sealed_root(layers.layout, place)
        except MissingCapability as error:
            print(f"layers cannot be built: {error.message}")
            return
        _print_head()
        _measure_builds(layers)
        default, whole = layers.tree(), layers.tree(COMPILERS)
        for tree, limit, words in (
            (default, MEGABYTES, "without compilers"),
            (whole, MEGABYTES_WITH_COMPILERS, "with compilers"),
        ):
            _print_value(f"the layer {words}", _bytes_below(tree) / 1e6, "MB", limit)
            _print_value(f"if hard links were copies, {words}", _bytes_below(tree, each_name=True) / 1e6, "MB")
            _print_value(f"its packages, unpacked, {words}", layers.unpacked_bytes(tree) / 1e6, "MB", limit)
        _measure_verify(place, default, whole)
        _measure_audit(place, whole)
        _measure_starts(place / "shown", layers.layout, default)


class _Layers:
    """Layers that are built below `place`, from a mirror there."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._packages = chosen_packages(place / "packages")
        self._description = read_description(None)
        self.layout = LayerLayout(NAME, "2026.06", this_family())
        self.fetched_bytes = 0
        self.fetching_seconds = 0.0

    def _build_place(self, with_sets: Sequence[str]) -> BuildPlace:
        return BuildPlace(self.layout, self._place / "-".join(("tree", *with_sets)), replace=True)

    def tree(self, *with_sets: str) -> Path:
        return self._build_place(with_sets).tree

    def build(self, *with_sets: str) -> None:
        """Builds the layer with the optional sets `with_sets`; says how long its packages alone took to fetch."""
        archive = chosen_archive(self._packages, (), None)
        lock = plan_layer(self._description, self.layout.family, with_sets, archive, datetime.now(UTC)).lock
        began = time.perf_counter()
        files = fetch_packages(lock, self._packages, archive_addresses(()))
        self.fetching_seconds = time.perf_counter() - began
        self.fetched_bytes = sum(one.size for one in lock.all)
        build_layer(self._build_place(with_sets), lock, self._description, files)

    def mirror_bytes(self) -> int:
        """What is in the mirror, packages and the release's metadata."""
        return _bytes_below(self._packages.directory)

    def unpacked_bytes(self, tree: Path) -> int:
        """What the packages that ship with the layer `tree` have, without what every layer leaves out."""
        ships = [package for package in recorded_lock(tree).packages if package.ships]
        packages = [PackageFile(package.name, self._packages.place(package.sha256)) for package in ships]
        with tempfile.TemporaryDirectory(dir=self._place) as scratch:
            unpacked = Path(scratch, "unpacked")
            unpack(packages, unpacked, self._description.dropped(), len(os.sched_getaffinity(0)))
            return _bytes_below(unpacked)


def _bytes_below(directory: Path, *, each_name: bool = False) -> int:
    """The bytes of all files, those of several names once, or once for `each_name`."""
    sizes: dict[int | str, int] = {}
    for path, _, leaves in os.walk(directory):
        for leaf in leaves:
            place = os.path.join(path, leaf)
            status = os.lstat(place)
            sizes[place if each_name else status.st_ino] = status.st_size
    return sum(sizes.values())


def _measure_builds(layers: _Layers) -> None:
    nothing = take_turns({"": layers.build}, 1)[""]
    fetched, rate = layers.mirror_bytes() / 1e6, layers.fetched_bytes / 1e6 / layers.fetching_seconds
    filled = take_turns({"": layers.build}, ROUNDS)[""]
    _print_seconds("build from a filled mirror", filled, FROM_MIRROR_SECONDS)
    _print_seconds(f"build from nothing, {fetched:.0f} MB at {rate:.0f} MB/s", nothing)
    at_rate = filled.median + fetched / NETWORK_RATE
    _print_value(f"build from nothing at {NETWORK_RATE} MB/s", at_rate, "s", FROM_NOTHING_SECONDS)
    _print_seconds("build with compilers, which it fetches", take_turns({"": lambda: layers.build(COMPILERS)}, 1)[""])


def _measure_verify(place: Path, default: Path, whole: Path) -> None:
    works = {
        "verify without compilers": lambda: _verify(place, default),
        "verify with compilers": lambda: _verify(place, whole),
    }
    for name, timings in take_turns(works, VERIFICATIONS).items():
        _print_seconds(name, timings, VERIFY_SECONDS)


def _verify(place: Path, tree: Path) -> None:
    answer = _answer(place, "verify", "--json", str(tree))
    failed = [check["name"] for check in answer["checks"] if not check["passed"]]
    if failed:
        print(f"{tree.relative_to(place)}: findings in {', '.join(failed)}")


def _measure_audit(place: Path, tree: Path) -> None:
    tracker, osv = place / "advisories.json", place / "all.zip"
    planted = {
        tracker: write_advisories(tracker, recorded_lock(tree), ADVISORIES_BYTES),
        osv: write_records(osv, recorded_lock(tree), OSV_RECORDS),
    }

    def audit(advisories: Path) -> None:
        answer = _answer(place, "audit", "--json", "--fail-on", "never", "--advisories", str(advisories), str(tree))
        assert answer["fixable"] == planted[advisories], answer["fixable"]

    names = {
        f"audit, tracker's {tracker.stat().st_size / 1e6:.0f} MB (seed {SEED})": tracker,
        f"audit, OSV's {OSV_RECORDS:,} records (seed {SEED})": osv,
    }
    works = {name: partial(audit, place) for name, place in names.items()}
    for name, timings in take_turns(works, ROUNDS).items():
        _print_seconds(name, timings, AUDIT_SECONDS)


def _answer(place: Path, *words: str) -> dict[str, Any]:
    """What the command says in JSON; it runs where no stack is."""
    ended = subprocess.run((*_OUTCROP, *words), cwd=place, stdout=subprocess.PIPE, check=False)
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer


def _measure_starts(shown: Path, layout: LayerLayout, tree: Path) -> None:
    host = {}
    for program, *_ in _PROGRAMS.values():
        found_program = shutil.which(program, path=_HOST_PATH)
        if found_program is None:
            print(f"starting programs: the host has no {program} of its own")
            return
        host[program] = found_program
    show_as_client(tree, shown)
    system = {PurePosixPath("/", name): Path("/", name) for name in _HOST_SYSTEM if Path("/", name).exists()}
    root = replace(sealed_root(layout, shown), binds={**system, _STARTS_PLACE: Path(starts.__file__)})
    commands = {}
    for name, (program, *words) in _PROGRAMS.items():
        commands[_of_host(name)] = [host[program], *words]
        commands[name] = [f"{layout.prefix}/usr/bin/{program}", *words]
    found = _seconds_of_starts(root, host["python3"], commands)
    for name in _PROGRAMS:
        mine, theirs = found[name], found[_of_host(name)]
        _print_value(
            f"{name}, of the host's own", statistics.median(mine) / statistics.median(theirs), "x", START_RATIO
        )
    print(f"-- {STARTS} starts of each in turns; best and median in ms; version")
    for name, command in commands.items():
        version = root.require([command[0], "--version"], _ENVIRONMENT).stdout.splitlines()[0]
        seconds = found[name]
        print(f"{name:44} {1000 * min(seconds):8.2f} {1000 * statistics.median(seconds):8.2f}  {version}")


def _of_host(name: str) -> str:
    return f"{name}, the host's"


def _seconds_of_starts(root: SealedRoot, python: str, commands: Mapping[str, Sequence[str]]) -> dict[str, list[float]]:
    work = json.dumps((STARTS, commands))
    ended = root.require([python, "-I", "-S", str(_STARTS_PLACE)], _ENVIRONMENT, work)
    found: dict[str, list[float]] = json.loads(ended.stdout)
    return found


def _print_head() -> None:
    print(f"{'':44} {'best':>8} {'median':>8} {'CPU s':>8} {'limit':>9}  holds")


def _print_seconds(name: str, timings: Timings, limit: float | None = None) -> None:
    head = f"{name:44} {timings.best:8.1f} {timings.median:8.1f} {min(timings.cpu):8.1f}"
    print(f"{head} {_verdict(timings.median, limit, 's')}", flush=True)


def _print_value(name: str, value: float, unit: str, limit: float | None = None) -> None:
    print(f"{name:44} {'':8} {value:8.2f} {'':8} {_verdict(value, limit, unit)}", flush=True)


def _verdict(value: float, limit: float | None, unit: str) -> str:
    if limit is None:
        return f"{'-':>9}"
    return f"{limit:>6g} {unit:2}  {'yes' if value <= limit else 'no'}"


if __name__ == "__main__":
    main()
