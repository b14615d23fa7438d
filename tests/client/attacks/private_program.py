"""A program of the test's own that mounts, in namespaces of its own: nothing that it mounts or starts can stay behind.

It reads JSON documents from its standard input, a line each, and answers each by such a line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.client.mount.private_place import ROOT, reason_against_mounting

_ENDING_SECONDS = 45.0
_PRIVATE = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")


@dataclass(frozen=True)
class PrivateProgram:
    """The program that `process` runs."""

    process: subprocess.Popen[str]

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def ask(self, request: Mapping[str, object]) -> Any:
        """What answers `request`. Where nothing does, or not in time for the test, the program is ended: else it would
        answer this when it is asked for something else."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            assert line, "the program that reads has ended"
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return json.loads(line)


@contextmanager
def private_program(module: str) -> Iterator[PrivateProgram]:
    """`module`, which runs within the block."""
    rootless = [] if os.geteuid() == 0 else ["--map-root-user"]
    process = subprocess.Popen(
        ["unshare", *rootless, *_PRIVATE, sys.executable, "-m", module],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield PrivateProgram(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(_ENDING_SECONDS)


def reason_against(way: str) -> str:
    """Why nothing can be shown in `way` here; empty if it can."""
    if way in _ROOTS_OWN and os.geteuid() != 0:
        return "only root can mount an image"
    return "" if way == "daemonless" else reason_against_mounting()


_ROOTS_OWN = ("layers", "erofs")
