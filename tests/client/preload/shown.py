"""A tree that is shown where nothing is, and programs that look at it there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from outcrop.client.ladder.preload import starting
from outcrop.client.preload.views import Libraries, View, environment_with

PREFIX = PurePosixPath("/cvmfs/tools.example.org")
_SECONDS = 60


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    output: str
    complaint: str

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


@dataclass(frozen=True)
class Shown:
    """The directory `tree`, shown at PREFIX, and a directory `outside` of it."""

    libraries: Libraries
    tree: Path
    outside: Path

    def run(self, *command: str, environment: Mapping[str, str] | None = None, text: str = "") -> Ended:
        """How `command` ends that sees the tree at PREFIX."""
        above = self.outside / "above"
        above.mkdir(exist_ok=True)
        if not (above / PREFIX.name).is_symlink():
            (above / PREFIX.name).symlink_to(self.tree)
        views = [View(PREFIX, self.tree), View(PREFIX.parent, above)]
        surroundings = environment_with({**os.environ, "LC_ALL": "C", **(environment or {})}, self.libraries, views)
        ended = subprocess.run(
            starting(command), env=surroundings, cwd=self.outside, input=text, capture_output=True, text=True,
            check=False, timeout=_SECONDS,
        )  # fmt: skip
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def good(self, *command: str, environment: Mapping[str, str] | None = None) -> list[str]:
        """The lines that `command` says, which ends well and complains of nothing."""
        ended = self.run(*command, environment=environment)
        assert (ended.code, ended.complaint) == (0, "")
        return ended.lines

    def write(self, name: str, text: str, mode: int = 0o644) -> str:
        """Puts a file into the tree; where it is shown."""
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return str(PREFIX / name)

    def compile(self, target: Path, source: str, *options: str) -> None:
        """Compiles the C program `source` to `target`."""
        compiler = shutil.which("cc")
        assert compiler is not None
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [compiler, "-D_GNU_SOURCE", "-w", "-x", "c", "-", "-x", "none", "-o", str(target), *options],
            input=source, text=True, check=True, timeout=_SECONDS, capture_output=True,
        )  # fmt: skip
