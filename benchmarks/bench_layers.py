"""How fast a large tree is that overlayfs shows over the cache, against the same tree on the local disk.

Method: the reference tree of `bench_mount`, published once into the same directory and served by nginx on loopback.
`outcrop run --way erofs` (as root) and `--way overlay` (in a user namespace) each run this module as their command,
which works on the local tree and on the one shown, in turns: `find -type f -size +100000c`, `python -c "import numpy,
scipy, pandas, sympy"`, `tar c | wc -c`. First with an empty cache, in one session; then in a new one with everything
in the cache: once, and best of several rounds. How long a run takes to begin is measured with `true` as the command:
with a layer of metadata still to be made, with objects that are still to be verified, and with nothing to be done.

What it leaves out: networks with latency; several commands at once; caches much larger than the revision.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.bench_stratum0 import reference_tree
from benchmarks.repositories import NAME, created, published
from benchmarks.servers import nginx
from benchmarks.timing import print_circumstances
from benchmarks.trees import measured
from outcrop.directories import cache_directory

ROUNDS = 5
PORT = 8474
IMPORTS = "import numpy, scipy, pandas, sympy"
_TARGETS = {"find, again": 2.0, "import, again": 1.1}
Seconds = Mapping[str, tuple[float, float]]
"""By work: seconds on the local disk, and over layers."""


def main() -> None:
    """Prints the tables."""
    print_circumstances()
    kept = Path(os.environ.get("OUTCROP_BENCH_DIR") or cache_directory() / "benchmarks" / "mount")
    if not (kept / "tree").exists():
        kept.mkdir(parents=True, exist_ok=True)
        reference_tree(kept / "tree.new")
        published(created(kept / "data", kept / "storage"), kept / "tree.new")
        (kept / "tree.new").rename(kept / "tree")
    print(f"tree: {measured(kept / 'tree')}; best of {ROUNDS} rounds")
    for way in ("erofs", "overlay"):
        with (
            tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch,
            nginx(Path(scratch), kept / "storage", port=PORT, workers=2),
        ):
            _Bench(way, Path(scratch), kept).run()


class _Bench:
    def __init__(self, way: str, place: Path, kept: Path) -> None:
        self._way, self._place, self._kept = way, place, kept

    def run(self) -> None:
        print(f"\n-- {self._way}")
        made = self._begin()
        there = self._begin_again()
        self._show(self._measured("cold"))
        verified = self._begin()
        self._show(self._measured("warm"))
        print(f"begins in {made:.2f} s when the layer has to be made, {there:.2f} s when it is there and nothing else;")
        print(f"in {verified:.2f} s with everything in the cache, {self._begin_again():.2f} s after that")

    def _begin_again(self) -> float:
        return min(self._begin() for _ in range(ROUNDS))

    def _line(self, *command: str) -> list[str]:
        key = self._kept / "data" / f"{NAME}.pub"
        url = f"http://127.0.0.1:{PORT}/{NAME}"
        return [sys.executable, "-m", "outcrop", "run", "--way", self._way, "--key", str(key), url, "--", *command]

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "OUTCROP_CACHE_DIR": str(self._place / "cache"),
            "OUTCROP_STATE_DIR": str(self._place / "state"),
        }

    def _begin(self) -> float:
        """Seconds from the command line to the end of a command that does nothing."""
        began = time.perf_counter()
        subprocess.run(self._line("true"), check=True, env=self._environment())
        return time.perf_counter() - began

    def _measured(self, state: str) -> Seconds:
        line = self._line(
            sys.executable, "-m", "benchmarks.bench_layers", state, str(self._kept / "tree"), f"/cvmfs/{NAME}"
        )
        told = subprocess.run(line, check=True, env=self._environment(), stdout=subprocess.PIPE, text=True).stdout
        answer: dict[str, list[float]] = json.loads(told)
        return {work: (local, shown) for work, (local, shown) in answer.items()}

    def _show(self, rows: Seconds) -> None:
        print(f"{'':34} {'local s':>8} {'layers s':>8} {'ratio':>6} {'target':>7}")
        for work, (local, shown) in rows.items():
            target = f"{_TARGETS[work]:7.1f}" if work in _TARGETS else ""
            print(f"{work:34} {local:8.2f} {shown:8.2f} {shown / local:6.2f} {target:>7}")


def measure(state: str, local: Path, shown: Path) -> Seconds:
    """What the works take, as a command that sees both trees."""
    if state == "cold":
        return {
            "import, empty cache": (_best(_import, local), _seconds(_import, shown)),
            "tar, empty cache": (_best(_tar, local), _seconds(_tar, shown)),
        }
    found: dict[str, tuple[float, float]] = {}
    for name, work in {"find": _find, "import": _import, "tar": _tar}.items():
        found[f"{name}, first"] = (_best(work, local), _seconds(work, shown))
        pairs = [(_seconds(work, local), _seconds(work, shown)) for _ in range(ROUNDS)]
        found[f"{name}, again"] = (min(one for one, _ in pairs), min(other for _, other in pairs))
    return found


def _best(work: Callable[[Path], object], place: Path) -> float:
    """The better of two, so that the kernel has everything in its caches."""
    return min(_seconds(work, place) for _ in range(2))


def _seconds(work: Callable[[Path], object], place: Path) -> float:
    began = time.perf_counter()
    work(place)
    return time.perf_counter() - began


def _find(place: Path) -> None:
    subprocess.run(["find", str(place), "-type", "f", "-size", "+100000c"], check=True, stdout=subprocess.DEVNULL)


def _tar(place: Path) -> None:
    subprocess.run(f"tar -C '{place}' -c . | wc -c", shell=True, check=True, stdout=subprocess.DEVNULL)


def _import(place: Path) -> None:
    top = next(path for path in (place / "first", place / "twice" / "first") if path.is_dir())
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(top), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-s", "-c", IMPORTS], check=True, env=environment)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
