"""What `outcrop run` adds to a command on the rung of the relocated copy, when the copy is there already.

Method: a small repository is published, configured by its name and run from once, which makes the copy. Then, in turns:
Python alone (the floor of everything that is written in it); Python with click, the library that reads command lines;
`outcrop --version`; the program itself; the same by `outcrop run --way relocated` right after the same words were run;
with the memory of these words thrown away; and with the proof thrown away as well, so that the whole chain of trust is
gone through again over a file URL. The command's answer is checked each time. The last lines say which heavy modules
each of the three has imported.

What it leaves out: a network (a proof costs three round trips besides), the ways that are tried before this one where
nothing is said about the way, a cold disk (`.pyc` files are in the page cache).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.repositories import NAME, created, published
from benchmarks.timing import print_circumstances, print_table, take_turns

ROUNDS = 15
_HEAVY = ("click", "numpy", "cryptography", "pycurl", "msgspec", "rich", "sqlite3", "ssl")


def main() -> None:
    """Prints the table."""
    print_circumstances()
    with tempfile.TemporaryDirectory(prefix="ob-", dir="/tmp") as scratch:
        _Runs(Path(scratch)).measure()


class _Runs:
    def __init__(self, place: Path) -> None:
        self._runs, self._proofs = place / "state" / "runs", place / "state" / "proved"
        self._environment = {
            **os.environ,
            **{f"OUTCROP_{kind.upper()}_DIR": str(place / kind) for kind in ("data", "config", "cache", "state")},
            "OUTCROP_CVMFS_ETC": "",
            "PYTHONPATH": "",
        }
        tree = place / "tree"
        tree.mkdir()
        program = shutil.which("echo")
        assert program is not None
        shutil.copy(program, tree / "echo")
        published(created(place / "data", place / "storage"), tree)
        short = place / "r"
        short.mkdir(mode=0o700)
        self._alone = (str(tree / "echo"), "hello")
        self._outcrop = (sys.executable, "-m", "outcrop.cli.entry")
        self._run = (*self._outcrop, "run", "--way", "relocated", "--relocate-to", str(short), NAME, "--")

    def measure(self) -> None:
        command = (*self._run, f"/cvmfs/{NAME}/echo", "hello")

        def other_words() -> None:
            shutil.rmtree(self._runs)
            self._hello(command)

        def anew() -> None:
            shutil.rmtree(self._proofs)
            other_words()

        self._hello(command)
        timings = take_turns(
            {
                "the program alone": lambda: self._hello(self._alone),
                "python -c pass": lambda: self._call((sys.executable, "-c", "pass")),
                "python -c 'import click'": lambda: self._call((sys.executable, "-c", "import click")),
                "outcrop --version": lambda: self._call((*self._outcrop, "--version")),
                "outcrop run, proved again": anew,
                "outcrop run, other words": other_words,
                "outcrop run, the same words": lambda: self._hello(command),
            },
            ROUNDS,
        )
        print_table(timings, 1, "calls", "the program alone")
        alone = timings["the program alone"]
        for name in ("the same words", "other words"):
            added = timings[f"outcrop run, {name}"]
            print(f"{name}: outcrop run adds {1000 * (added.best - alone.best):.0f} ms at best, "
                  f"{1000 * (added.median - alone.median):.0f} in the median")  # fmt: skip
        print(f"for the same words it imports {self._imported(command)}")
        shutil.rmtree(self._runs)
        print(f"for other words it imports {self._imported(command)}")
        shutil.rmtree(self._runs)
        shutil.rmtree(self._proofs)
        print(f"proved again it imports {self._imported(command)}")

    def _hello(self, command: Sequence[str]) -> None:
        answer = self._call(command)
        assert answer == b"hello\n", answer

    def _call(self, command: Sequence[str], **more: str) -> bytes:
        environment: Mapping[str, str] = {**self._environment, **more}
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout

    def _imported(self, command: Sequence[str]) -> str:
        """The heavy modules that `command` imports, by name."""
        environment = {**self._environment, "PYTHONPROFILEIMPORTTIME": "1"}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        names = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
        return ", ".join(name for name in _HEAVY if name in names) or "none of the heavy modules"


if __name__ == "__main__":
    main()
