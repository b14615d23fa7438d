"""What `outcrop run` adds to a command on the rung of the relocated copy, when the copy is there already.

Method: a small repository is published, configured by its name and run from once, which makes the copy. Then, in turns:
Python alone (the floor of everything that is written in it); Python with click, the library that reads command lines;
`outcrop --version`; the program itself; the same by `outcrop run --way relocated`, right after a run that has proved
the revision, and with that proof thrown away, so that the whole chain of trust is gone through again over a file URL.
The command's answer is checked each time. The last lines say which heavy modules each of the two has imported.

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
        self._proofs = place / "state" / "proved"
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

        def anew() -> None:
            shutil.rmtree(self._proofs)
            self._hello(command)

        self._hello(command)
        timings = take_turns(
            {
                "the program alone": lambda: self._hello(self._alone),
                "python -c pass": lambda: self._call((sys.executable, "-c", "pass")),
                "python -c 'import click'": lambda: self._call((sys.executable, "-c", "import click")),
                "outcrop --version": lambda: self._call((*self._outcrop, "--version")),
                "outcrop run, proved again": anew,
                "outcrop run, proved a moment ago": lambda: self._hello(command),
            },
            ROUNDS,
        )
        print_table(timings, 1, "calls", "the program alone")
        added = timings["outcrop run, proved a moment ago"].best - timings["the program alone"].best
        print(f"outcrop run adds {1000 * added:.0f} ms at best")
        print(f"proved a moment ago it imports {self._imported(command)}")
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
