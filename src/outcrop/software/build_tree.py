"""A build tree on disk: the directory that becomes the repository's root, and next to it what must not be published.

    <tree>/versions/…                     what the repository will hold
    <tree>.work/lock                      held while a build runs
    <tree>.work/scratch/                  the build's private /tmp; emptied when a build starts
    <tree>.work/logs/                     one log a run of EasyBuild
    <tree>.work/published.json            what was published already

A `kill -9` at any moment leaves a tree that the next build mends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from outcrop.errors import Busy, storage_error
from outcrop.software.changeset import UNFINISHED_SUFFIX, PublishedRecord
from outcrop.software.layout import CATALOG_MARKER, MODULE_SUFFIX, SoftwareLayout

ENDING_SECONDS = 5.0
"""How long the processes of a killed build may take to end. They hold the lock as well, and outlive it by moments."""

LOCK_POLL_SECONDS = 0.05

_HIDDEN_MODULES = ".hidden-modules"
"""Beside the modules, so that they can be renamed. It is no part of what is published."""


@dataclass(frozen=True, slots=True)
class BuildTree:
    """The directories of one build tree. `root` is absolute."""

    root: Path

    @property
    def work(self) -> Path:
        return self.root.with_name(self.root.name + ".work")

    @property
    def scratch(self) -> Path:
        return self.work / "scratch"

    @property
    def logs(self) -> Path:
        return self.work / "logs"

    @property
    def published(self) -> PublishedRecord:
        return PublishedRecord(self.work / "published.json")

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold this tree: nobody else builds into it meanwhile. Gives the lock's file descriptor.

        The lock ends with the process, however that ends. Raises Busy with the holder's process number.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.work.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.work / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise storage_error(error) from error
        try:
            self._take(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int) -> None:
        until = time.monotonic() + ENDING_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            if _is_running(holder) or time.monotonic() > until:
                name = f"process {holder}" if holder else "another build"
                raise Busy(what=f"the build tree {self.root}", holder=name)
            time.sleep(LOCK_POLL_SECONDS)

    def empty_scratch(self) -> None:
        """Make `scratch` an empty directory."""
        try:
            remove_tree(self.scratch)
            self.scratch.mkdir(parents=True)
            self.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error) from error

    def is_installed(self, layout: SoftwareLayout, module: str) -> bool:
        """Whether the installation behind `module` is complete.

        EasyBuild writes the module file before it files the easyconfig away, so a build that was killed in between
        has the one and not the other.
        """
        kept = self.root / layout.installation(module) / "easybuild"
        return (self.root / layout.module_file(module)).is_file() and any(kept.glob("*.eb"))

    def remove_half_built(self, layout: SoftwareLayout) -> tuple[str, ...]:
        """Remove what killed builds left: installations without a module, modules without an installation.

        Returns the modules' names. Only to be called while the tree is locked.
        """
        removed = []
        try:
            for directory in sorted((self.root / layout.software).glob("*/*")):
                module = f"{directory.parent.name}/{directory.name}"
                if directory.parent.name.startswith(".") or self.is_installed(layout, module):
                    continue
                remove_tree(directory)
                removed.append(module)
            for path in sorted((self.root / layout.modules).glob(f"*/*{MODULE_SUFFIX}")):
                module = f"{path.parent.name}/{path.name.removesuffix(MODULE_SUFFIX)}"
                if not (self.root / layout.installation(module)).is_dir():
                    path.unlink()
            for path in (self.root / layout.reprod).glob(f"*/*/*/*{UNFINISHED_SUFFIX}"):
                remove_tree(path.parent)
        except OSError as error:
            raise storage_error(error) from error
        return tuple(removed)

    @contextmanager
    def without_modules(self, layout: SoftwareLayout, modules: Iterable[str]) -> Iterator[None]:
        """Nobody finds these modules while the block runs. Should that be killed, `show_modules` brings them back."""
        try:
            for module in modules:
                hidden = self._hidden(layout) / (module + MODULE_SUFFIX)
                hidden.parent.mkdir(parents=True, exist_ok=True)
                (self.root / layout.module_file(module)).rename(hidden)
            yield
        except OSError as error:
            raise storage_error(error) from error
        finally:
            self.show_modules(layout)

    def show_modules(self, layout: SoftwareLayout) -> None:
        """Bring back what `without_modules` hides."""
        try:
            for hidden in self._hidden(layout).glob(f"*/*{MODULE_SUFFIX}"):
                shown = self.root / layout.modules / hidden.relative_to(self._hidden(layout))
                shown.parent.mkdir(parents=True, exist_ok=True)
                hidden.rename(shown)
            remove_tree(self._hidden(layout))
        except OSError as error:
            raise storage_error(error) from error

    def _hidden(self, layout: SoftwareLayout) -> Path:
        return self.root / layout.relative / _HIDDEN_MODULES

    def mark_catalogs(self, layout: SoftwareLayout) -> None:
        """Put a marker wherever a nested catalog belongs: the target, its modules, each installation."""
        try:
            for relative in (layout.relative, layout.relative / "modules"):
                if (self.root / relative).is_dir():
                    _mark(self.root / relative)
            for module_file in (self.root / layout.modules).glob(f"*/*{MODULE_SUFFIX}"):
                module = f"{module_file.parent.name}/{module_file.name.removesuffix(MODULE_SUFFIX)}"
                directory = self.root / layout.installation(module)
                if directory.is_dir():
                    _mark(directory)
        except OSError as error:
            raise storage_error(error) from error


def _is_running(process: str) -> bool:
    return process.isdecimal() and Path("/proc", process).exists()


def _mark(directory: Path) -> None:
    marker = directory / CATALOG_MARKER
    if marker.exists():
        return
    # Installations are read-only, also for their owner.
    mode = stat.S_IMODE(directory.stat().st_mode)
    directory.chmod(mode | stat.S_IWUSR)
    try:
        marker.touch(0o644)
    finally:
        directory.chmod(mode)


def remove_tree(directory: Path) -> None:
    """Remove `directory` with everything below it, read-only directories too. Nothing happens when it is not there."""
    if not directory.exists():
        return
    for path, _directories, _files in os.walk(directory):
        os.chmod(path, stat.S_IRWXU)
    shutil.rmtree(directory)
