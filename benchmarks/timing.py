"""Wall and CPU seconds of pieces of work that take turns."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Timings:
    """The rounds of one piece of work, in seconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        return min(self.wall)

    @property
    def median(self) -> float:
        return statistics.median(self.wall)


def take_turns(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timings]:
    """Runs all `works` in turns, `rounds` times."""
    timings = {name: Timings() for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            before, began = _cpu_seconds(), time.perf_counter()
            work()
            timings[name].wall.append(time.perf_counter() - began)
            timings[name].cpu.append(_cpu_seconds() - before)
    return timings


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def drop_kernel_caches() -> bool:
    """Lets the kernel forget file contents, so that the next read is cold; False where that is not allowed."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        return False
    return True


def print_circumstances() -> None:
    """What every result depends on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    print(f"{cpu}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}")


def print_table(timings: Mapping[str, Timings], amount: float, unit: str, reference: str) -> None:
    """One line a work: best and median seconds, CPU seconds of the best round, rate, ratio to `reference`."""
    print(f"{'':34} {'best s':>8} {'median':>8} {'CPU s':>8} {unit + '/s':>12} {'ratio':>7}")
    for name, one in timings.items():
        rate = amount / one.best
        ratio = timings[reference].best / one.best
        print(f"{name:34} {one.best:8.2f} {one.median:8.2f} {min(one.cpu):8.2f} {rate:12,.1f} {ratio:7.2f}")
