"""Runs `outcrop` commands in a `command_server`, watched by strace or not, and tells how they ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import msgspec

from tests.stratum0.fault.command_server import CommandOrder, FaultOrder

ROOT = Path(__file__).resolve().parents[3]

_MET = re.compile(r"\nmet (\d+) calls$")

Watch = Callable[[int], subprocess.Popen[bytes]]
"""Starts a program that watches the process of that number, and returns once it does."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code, negative for a signal, and all it said. `met` is how many calls it made that
    count for its fault; it is not known of a command that was killed."""

    code: int
    output: str
    met: int = 0

    @property
    def was_killed(self) -> bool:
        return self.code == -signal.SIGKILL

    def __str__(self) -> str:
        return f"exit code {self.code}: {self.output.strip()}"


class CommandServer:
    """A server for commands of the tests, which make temporary files in the directory `temporary`, with the library
    `preload` in front of libc's. Use as a context manager."""

    def __init__(self, temporary: Path, preload: Path | None = None) -> None:
        temporary.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "TMPDIR": str(temporary),  # which SQLite reads once
            "XDG_RUNTIME_DIR": str(temporary),
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "OPENBLAS_NUM_THREADS": "1",
            "LD_PRELOAD": str(preload or ""),
        }
        self._resources = ExitStack()
        self._output = Path(self._resources.enter_context(tempfile.TemporaryDirectory()), "output")
        self._process = self._resources.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "tests.stratum0.fault.command_server"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )

    def __enter__(self) -> CommandServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._resources.close()

    def run(
        self,
        directory: Path,
        arguments: Sequence[str],
        *,
        watch: Watch | None = None,
        fault: FaultOrder | None = None,
        open_files: int = 0,
        on_one_core: bool = True,
    ) -> Ended:
        """Runs `outcrop` with `arguments` for the owner of `directory / "data"`, seen by `watch` from the start."""
        order = CommandOrder(
            list(arguments), _environment(directory), str(self._output),
            waits=watch is not None, on_one_core=on_one_core, open_files=open_files, fault=fault,
        )  # fmt: skip
        return self._obey(order, watch)

    def _obey(self, order: CommandOrder, watch: Watch | None) -> Ended:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        if watch is None:
            return self._ended(self._answer())
        child = self._answer()
        with watch(child) as watcher:
            os.kill(child, signal.SIGCONT)
            ended = self._ended(self._answer())
            watcher.communicate()
        return ended

    def _answer(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the command server has ended: {self._output.read_text(errors='replace')}"
        return int(line)

    def _ended(self, code: int) -> Ended:
        said = self._output.read_text(errors="replace")
        match = _MET.search(said)
        return Ended(code, _MET.sub("", said).strip(), int(match[1]) if match else 0)


def _environment(directory: Path) -> dict[str, str]:
    return {"OUTCROP_DATA_DIR": str(directory / "data"), "HOME": str(directory), "NO_COLOR": "1"}
