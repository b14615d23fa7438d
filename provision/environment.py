"""Makes the virtual environment, and installs pinned packages into it.

An interrupted set-up heals by itself: a mark stands in the environment while pip works, and an environment that
still has the mark is made anew. What was installed is recorded only after pip has ended well.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provision.pins import (
    BACKEND,
    PROJECT,
    EnvironmentPlan,
    environment_plan,
    files_for,
    fingerprint,
    read_record,
    written_record,
)


class Environment:
    """The virtual environment `.venv` of the tree at `root`, made by `interpreter`."""

    def __init__(self, root: Path, interpreter: str = sys.executable) -> None:
        self.root = root
        self.interpreter = interpreter
        self.directory = root / ".venv"
        self.python = self.directory / "bin" / "python"
        self._record = self.directory / ".provisioned"
        self._mark = self.directory / ".being-provisioned"

    def provide(self, goal: str) -> bool:
        """Install what `goal` misses; returns whether everything is there now. One set-up at a time."""
        wanted = self._wanted(goal)
        if self._is_sound() and environment_plan(goal, wanted, self._installed()).is_empty:
            return True
        with self._alone():
            if not self._is_sound() and not self._make():
                return False
            plan = environment_plan(goal, wanted, self._installed())
            return plan.is_empty or self._carry_out(plan, wanted)

    def _wanted(self, goal: str) -> dict[str, str]:
        wanted = {
            name: fingerprint((self.root / "requirements" / f"{name}.txt").read_bytes()) for name in files_for(goal)
        }
        # Installed in place, Outcrop is a pointer to this directory: a tree that was moved needs a new one.
        wanted[PROJECT] = fingerprint((self.root / "pyproject.toml").read_bytes(), os.fsencode(self.root))
        return wanted

    def _installed(self) -> dict[str, str]:
        return read_record(self._record.read_text()) if self._record.exists() else {}

    def _is_sound(self) -> bool:
        """Whether the environment is complete and its Python still runs and is new enough."""
        if self._mark.exists() or not self.python.exists():
            return False
        check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
        return subprocess.run([self.python, "-c", check], capture_output=True, check=False).returncode == 0

    def _make(self) -> bool:
        print(f"Making the virtual environment .venv with {self.interpreter}", flush=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        self._mark.touch()
        made = subprocess.run([self.interpreter, "-m", "venv", self.directory], check=False).returncode == 0
        if made:
            self._mark.unlink()
        return made

    def _carry_out(self, plan: EnvironmentPlan, wanted: dict[str, str]) -> bool:
        what = (
            f"pinned Python packages ({', '.join(plan.files)}): a minute or two" if plan.files else "outcrop in place"
        )
        print(f"Installing {what}", flush=True)
        before = self._site_packages()
        self._mark.touch()
        if not self._install(plan):
            # Where pip gave up before it changed anything, the environment is as good as it was.
            if self._site_packages() == before:
                self._mark.unlink()
            print("error: pip could not install the pinned packages (its own words are above)\n", file=sys.stderr)
            print("hint: check the network and the disk, then type the same command again", file=sys.stderr)
            return False
        done = {name: wanted[name] for name in (*plan.files, *([PROJECT] if plan.project else []))}
        self._record.write_text(written_record({**self._installed(), **done}))
        self._mark.unlink()
        return True

    def _install(self, plan: EnvironmentPlan) -> bool:
        pinned = [argument for name in plan.files for argument in ("-r", f"requirements/{name}.txt") if name != BACKEND]
        return (
            (BACKEND not in plan.files or self._pip("--require-hashes", "-r", f"requirements/{BACKEND}.txt"))
            and (not pinned or self._pip("--require-hashes", "--no-build-isolation", *pinned))
            and (not plan.project or self._pip("--no-deps", "--no-build-isolation", "--editable", "."))
        )

    def _site_packages(self) -> set[Path]:
        return set(self.directory.glob("lib/python*/site-packages/*"))

    def _pip(self, *arguments: str) -> bool:
        # Twice quiet: errors only. What pip warns of is the machine's own configuration, not our pins.
        command = [str(self.python), "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"]
        return subprocess.run([*command, *arguments], cwd=self.root, check=False).returncode == 0

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.root / ".provision.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("Another set-up of this tree is running: waiting for it.", flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
