"""Makes objects in a process of its own: with threads, the many short calls of small files wait for the interpreter's
lock, and two cores take half again as much time as one.

The process is given an `ObjectMaker` and then jobs, pickled, one after the other; it ends with its standard input, or
with its parent.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from outcrop.children import end_with_parent
from outcrop.cvmfs.objects import ObjectKind
from outcrop.errors import CommandFailed
from outcrop.stratum0.publishing.object_maker import MadeObjects, ObjectMaker, PlainBytes

_STOP_SECONDS = 10


class ObjectProcess:
    """Another process that does what `maker` would do; for one thread at a time. To be closed."""

    def __init__(self, maker: ObjectMaker) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            process_group=0,  # Ctrl-C is for the parent to answer
        )
        self._maker: ObjectMaker | None = maker

    def make(self, sources: Sequence[PlainBytes], kind: ObjectKind) -> MadeObjects:
        """As `ObjectMaker.make`; CommandFailed if the process came to an end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            if self._maker is not None:
                _send(self._process.stdin, self._maker)
                self._maker = None
            _send(self._process.stdin, (sources, kind))
            answer = pickle.load(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise self._ended() from error
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer, MadeObjects)
        return answer

    def _ended(self) -> CommandFailed:
        self.close()
        code = self._process.returncode
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return CommandFailed(
            what="a process that stores contents",
            problem=f"it ended by itself ({how})",
            hint="nothing was published; look at the kernel's log (`dmesg`) for a lack of memory, and try again",
        )

    def close(self) -> None:
        """Lets the process end, and waits for that."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not sent is not wanted any more
                    pipe.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def started_processes(maker: ObjectMaker, number: int) -> list[ObjectProcess]:
    """So many processes; none where one would be no help, or the machine gives none: then it goes without."""
    started: list[ObjectProcess] = []
    if number > 1 and sys.executable:
        try:
            for _ in range(number):
                started.append(ObjectProcess(maker))
        except OSError:
            for one in started:
                one.close()
            return []
    return started


def _send(pipe: IO[bytes], value: object) -> None:
    pickle.dump(value, pipe, pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def _main(parent: int) -> None:
    """Does the jobs of the process `parent`, until it has no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(parent, signal.SIGKILL)
    # A pipe that the parent closed says that nothing is wanted any more.
    with suppress(EOFError, BrokenPipeError, pickle.UnpicklingError):
        _work(sys.stdin.buffer, sys.stdout.buffer)
    os._exit(0)  # without another word to the pipe


def _work(jobs: IO[bytes], answers: IO[bytes]) -> None:
    maker: ObjectMaker = pickle.load(jobs)
    while True:
        sources, kind = pickle.load(jobs)
        answer: MadeObjects | BaseException
        try:
            answer = maker.make(sources, kind)
        except Exception as error:  # whatever it is, it is raised in the parent
            answer = error
        _send(answers, answer)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
