"""How fast a tree is relocated, and what starting a relocated program costs.

Method: copies of this environment's packages, side by side up to 1 GB, which hold the environment's own prefix in
their bytecode and scripts. In turns: `cp -a` and `grep -rc` over the same tree; planning (reading and searching all
bytes) with one process and with one a core; changing the files there and back, with as many. Then a compiled program
with a shared library is started from where it was built and from where it was relocated to, in turns.

What it leaves out: a cold disk (the tree is in the page cache after the first round), parallel file systems, trees with
many tarballs and zip archives, whose members are inflated to be searched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.timing import print_circumstances, print_table, take_turns
from benchmarks.trees import ReferenceTree, copied_site_packages, measured
from outcrop.client.relocate.plan import RelocationPlan, plan_relocation
from outcrop.client.relocate.prefix import Prefix, prefix
from outcrop.client.relocate.relocation import relocate

TREE_BYTES = 1_000_000_000
ROUNDS = 5
STARTS = 200
TARGET = prefix("/b/x")

_LIBRARY = 'int one(void) { return "%s/share"[0] == 0; }'
_PROGRAM = "int one(void); int main(void) { return one(); }"


def main() -> None:
    """Prints the tables."""
    print_circumstances()
    original = prefix(sys.prefix)
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch:
        place = Path(scratch)
        tree = _tree(place / "tree")
        print(f"tree: {tree}; built for {original}; {ROUNDS} rounds in turns")
        _Relocating(place, tree, original).measure()
        if shutil.which("gcc"):
            _measure_start(place)
        else:
            print("starting a relocated program: gcc is not installed")


def _tree(directory: Path) -> ReferenceTree:
    directory.mkdir()
    first = copied_site_packages(directory / "0", TREE_BYTES)
    for number in range(1, max(1, round(TREE_BYTES / first.bytes))):
        shutil.copytree(first.directory, directory / str(number), symlinks=True)
    return measured(directory)


class _Relocating:
    def __init__(self, place: Path, tree: ReferenceTree, original: Prefix) -> None:
        self._place, self._tree, self._original = place, tree, original
        self._cores = len(os.sched_getaffinity(0))

    def measure(self) -> None:
        plan = self._plan(1)
        assert plan.changes, "this environment's packages hold its prefix nowhere: nothing to measure"
        print(f"{len(plan.changes):,} files change in {sum(plan.counts.values()):,} places")
        timings = take_turns(
            {
                "cp -a": self._copy,
                "grep -rc": self._grep,
                "plan, one process": lambda: self._plan(1),
                f"plan, {self._cores} processes": lambda: self._plan(self._cores),
                "change and change back, one process": lambda: self._there_and_back(plan, 1),
                f"the same, {self._cores} processes": lambda: self._there_and_back(plan, self._cores),
            },
            ROUNDS,
        )
        print_table(timings, self._tree.bytes / 1e6, "MB", "cp -a")
        best = timings[f"plan, {self._cores} processes"].best
        print(f"planning: {self._tree.files / best:,.0f} files/s; changing: twice {len(plan.changes):,} files a round")

    def _plan(self, workers: int) -> RelocationPlan:
        return plan_relocation(self._tree.directory, self._original, TARGET, workers=workers)

    def _there_and_back(self, plan: RelocationPlan, workers: int) -> None:
        relocate(plan, workers=workers)
        sample = self._tree.directory / os.fsdecode(plan.changes[0].change.path)
        assert self._original.path not in sample.read_bytes()
        # The changes are the same ones on the way back: planning is measured by itself.
        made = tuple(replace(planned, before=TARGET) for planned in plan.changes)
        back = replace(plan, target=plan.original, states=(TARGET,), changes=made)
        relocate(back, workers=workers)
        assert self._original.path in sample.read_bytes()

    def _copy(self) -> None:
        subprocess.run(["cp", "-a", str(self._tree.directory), str(self._place / "copy")], check=True)
        shutil.rmtree(self._place / "copy")

    def _grep(self) -> None:
        grep = ["grep", "-r", "-c", "-a", "-F", "-e", str(self._original), str(self._tree.directory)]
        subprocess.run(grep, check=True, stdout=subprocess.DEVNULL)


def _measure_start(place: Path) -> None:
    built = place / "a-prefix-as-long-as-those-below-cvmfs"
    (built / "lib").mkdir(parents=True)
    _compile(_LIBRARY % built, built / "lib" / "libone.so", "-shared", "-fPIC")
    options = ("-x", "none", f"-L{built}/lib", "-lone", f"-Wl,-rpath,{built}/lib")
    _compile(_PROGRAM, built / "program", *options)
    moved = place / "r"
    shutil.copytree(built, moved)
    relocate(plan_relocation(moved, prefix(str(built)), prefix(str(moved))))
    works = {
        name: lambda program=directory / "program": _start(program)
        for name, directory in (("where it was built", built), ("relocated", moved))
    }
    print(f"-- starting a program {STARTS} times")
    print_table(take_turns(works, ROUNDS), STARTS, "starts", "where it was built")


def _compile(source: str, output: Path, *options: str) -> None:
    subprocess.run(["gcc", "-x", "c", "-", "-o", str(output), *options], input=source.encode(), check=True)


def _start(program: Path) -> None:
    for _ in range(STARTS):
        subprocess.run([program], check=True)
