"""One run of EasyBuild: the process, the news that its hooks write, and what is told when it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from outcrop.errors import CommandFailed, Interrupted, OutcropError
from outcrop.software.build_log import (
    BuildEvent,
    EventKind,
    command_output_path,
    error_of,
    meaningful_lines,
    parse_events,
)
from outcrop.software.build_tree import BuildTree
from outcrop.software.build_view import BuildView

POLL_SECONDS = 0.1
"""How often the hooks' events are read: often enough that a change of installation is seen at once."""


class StepState(Enum):
    """Where an installation stands while a build runs."""

    BEGUN = "begun"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class BuildStep:
    """News of a running build: installation `number` of `total`."""

    module: str
    number: int
    total: int
    state: StepState
    seconds: float


Listener = Callable[[BuildStep], None]


@dataclass(slots=True)
class EasyBuildRun:
    """One process of EasyBuild, on the interpreter `python`, and what is known of it: `done` of `total` installations
    are complete."""

    tree: BuildTree
    view: BuildView
    variables: Mapping[str, str]
    log: Path
    lock: int
    python: str
    total: int
    listen: Listener
    done: int = 0
    current: str = ""
    current_since: float = 0.0
    events_read: int = 0
    problem: str = ""

    def execute(self, wanted: Sequence[str]) -> None:
        """Run EasyBuild on `wanted`: names of easyconfigs, or options that name them.

        Raises CommandFailed with the last lines of what failed, or Interrupted on Ctrl-C; then nothing runs any more.
        """
        command = [self.python, "-m", "easybuild.main", "--robot", *wanted]
        code = self._wait(self.view.command_line(command, self.variables))
        self._read_events()
        if code != 0:
            raise self._failure(code)

    def _wait(self, command: list[str]) -> int:
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                command,
                env=dict(self.variables),
                cwd=self.tree.scratch,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Without a sandbox EasyBuild outlives a `kill -9` of ours: then it still holds the lock.
                pass_fds=(self.lock,),
            )
            try:
                while True:
                    try:
                        return process.wait(POLL_SECONDS)
                    except subprocess.TimeoutExpired:
                        self._read_events()
            except KeyboardInterrupt:
                raise Interrupted(hint="finished installations are kept; the same command goes on from there") from None
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def _read_events(self) -> None:
        try:
            with self.view.on_host(self.tree, str(self.view.places.events)).open("rb") as file:
                file.seek(self.events_read)
                events, length = parse_events(file.read())
        except FileNotFoundError:
            return
        self.events_read += length
        for event in events:
            self._take(event)

    def _take(self, event: BuildEvent) -> None:
        now = time.monotonic()
        if event.event is EventKind.BEGUN:
            self.current, self.current_since = event.module, now
            self.listen(BuildStep(event.module, self.done + 1, self.total, StepState.BEGUN, 0.0))
        elif event.event is EventKind.ENDED:
            self.done += 1
            self.listen(BuildStep(event.module, self.done, self.total, StepState.DONE, now - self.current_since))
            self.current = ""
        else:
            self.problem = event.problem

    def _failure(self, code: int) -> OutcropError:
        """What went wrong, with the last lines of the command that failed, which are appended to the log too."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        lines: tuple[str, ...] = ()
        if seen := command_output_path(text):
            path = self.view.on_host(self.tree, seen)
            if path.is_file():
                output = path.read_text(encoding="utf-8", errors="replace")
                with self.log.open("a", encoding="utf-8") as log:
                    log.write(f"\n--- output of the failed command ({seen}) ---\n{output}")
                lines = meaningful_lines(output)
        problem = self.problem or error_of(text) or f"exit code {code}"
        shown = "".join(f"\n  {line}" for line in lines)
        return CommandFailed(
            what=f"building {self.current}" if self.current else "EasyBuild",
            problem=f"{' '.join(problem.split())}{shown}",
            hint=f"the whole log is {self.log}; the build's directory is kept in {self.tree.scratch}",
        )
