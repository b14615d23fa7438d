"""Runs a program under strace and hands on what it asks for, while it runs.

strace writes to a named pipe that no traced program holds open, so a daemon that stays behind keeps nobody waiting but
strace itself, which ends with the last process of the run.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from outcrop.errors import MissingCapability, NotFound, storage_error
from outcrop.strace.asked_paths import TRACED_CALLS, AskedPath, AskedPaths
from outcrop.strace.lines import LineReader

STRACE = "strace"

_ALWAYS = ("-f", "-y", "-xx", "-s", "0", "-e", f"trace={','.join(TRACED_CALLS)}")
"""Follow children, say what descriptors show, write all strings in hexadecimal, and no others than paths."""

_OPTIONS = (("--seccomp-bpf", *_ALWAYS), _ALWAYS)
"""Best first: with a filter in the kernel only the calls that are traced stop the program (since strace 5.3)."""

_PROBE_SECONDS = 20
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP)
"""Signals that somebody sends to us and means for the program. Ctrl-C reaches it by itself, through the terminal."""

Take = Callable[[list[AskedPath]], None]


@dataclass(frozen=True, slots=True)
class Tracer:
    """A strace that works on this machine, and the options with which it does."""

    program: str
    options: tuple[str, ...]


def find_tracer(program: str = STRACE) -> Tracer:
    """The strace of this machine, tried out; MissingCapability where there is none or it is not allowed to trace."""
    path = shutil.which(program)
    if path is None:
        raise MissingCapability(
            what="tracing",
            problem="strace is not installed",
            hint="install it (`apt-get install strace`, `dnf install strace`), or name paths instead: "
            "`outcrop pack REPO PATH…`",
        )
    said = ""
    for options in _OPTIONS:
        try:
            probe = subprocess.run(
                [path, *options, "-o", os.devnull, "--", "/bin/sh", "-c", ":"],
                stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            said = str(error)
            continue
        if probe.returncode == 0:
            return Tracer(path, options)
        said = probe.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    raise MissingCapability(
        what="tracing",
        problem=f"strace does not work here ({said})",
        hint="ptrace may be forbidden: in a container, allow it with `--cap-add SYS_PTRACE`; on a host, look at "
        "/proc/sys/kernel/yama/ptrace_scope",
    )


def run_traced(tracer: Tracer, command: Sequence[str], take: Take) -> int:
    """Runs `command` with our standard input and output until all that it started has ended; `take` hears what it asks
    for. Returns its exit code, or 128 and the number of the signal that ended it.

    NotFound where there is no such program. SIGTERM and SIGHUP are passed on to it."""
    program = shutil.which(command[0])
    if program is None:
        raise NotFound(what=f"the program {command[0]}", hint="check its name, or give its path")
    with _pipe() as pipe:
        reader = _Reader(pipe, take)
        arguments = [tracer.program, *tracer.options, "-o", str(pipe), "--", program, *command[1:]]
        with reader.signals_passed_on():
            try:
                process = subprocess.Popen(arguments)
            except OSError as error:
                reader.stop()
                raise storage_error(error, tracer.program) from error
            code = _ended(process)
        reader.finish()
    return code if code >= 0 else 128 - code


def _ended(process: subprocess.Popen[bytes]) -> int:
    """The exit code, after Ctrl-C as well: the program decides by itself what that means."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


@contextmanager
def _pipe() -> Iterator[Path]:
    """A named pipe in a private directory that is gone after the block."""
    try:
        with tempfile.TemporaryDirectory(prefix="outcrop-trace-") as directory:
            pipe = Path(directory) / "calls"
            os.mkfifo(pipe, 0o600)
            yield pipe
    except OSError as error:
        raise storage_error(error) from error


class _Reader:
    """Reads what strace writes to `pipe`, in a thread. What `take` raises comes out of `finish`."""

    def __init__(self, pipe: Path, take: Take) -> None:
        # Opened before anybody writes, and held open for writing, so that it ends when we say so and never before.
        self._input = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._keep = os.open(pipe, os.O_WRONLY | os.O_CLOEXEC)
        os.set_blocking(self._input, True)
        self._take = take
        self._first_process = 0
        self._trouble: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="strace", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Waits until everything that was written has been read."""
        self.stop()
        if self._trouble is not None:
            raise self._trouble

    def stop(self) -> None:
        if self._keep >= 0:
            os.close(self._keep)
            self._keep = -1
        self._thread.join()

    @contextmanager
    def signals_passed_on(self) -> Iterator[None]:
        """Within it, signals to us reach the traced program; only the main thread can see to that."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _PASSED_ON}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._pass_on)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        if self._first_process:
            try:
                os.kill(self._first_process, number)
            except OSError:
                # It has ended in this very moment.
                return

    def _read(self) -> None:
        lines, paths = LineReader(), AskedPaths(os.fsencode(Path.cwd()))
        with open(self._input, "rb") as calls:
            for text in calls:
                if self._trouble is not None:
                    continue  # strace must not wait for a reader
                try:
                    line = lines.read(text)
                    if line is not None:
                        self._first_process = self._first_process or line.process
                        self._take(paths.read(line))
                except BaseException as error:
                    self._trouble = error
