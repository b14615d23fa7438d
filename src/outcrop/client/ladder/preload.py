"""The rung of libraries in front of the command: a copy in the cache, at its place for every call of the C library.

Nothing is mounted, and no right is needed. Programs that call the kernel by themselves, without the C library, do not
see the repository: those that are recognised by their files are left to the next rung.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from outcrop.client.ladder.copies import Copies, check_private, spare_directory
from outcrop.client.ladder.findings import Finding, Topic, no, ok
from outcrop.client.ladder.launch import become
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.rung import Become, environment_of
from outcrop.client.ladder.shown_copy import copy_for, noexec_obstacle
from outcrop.client.ladder.trial import tried
from outcrop.client.ladder.ways import Obstacle, Way
from outcrop.client.preload.library import Workshop, why_compiler_fails, why_no_library_can_be_used
from outcrop.client.preload.reach import why_not_reached
from outcrop.client.preload.views import Libraries, View, environment_with, views_in
from outcrop.errors import CommandFailed, MissingCapability, OutcropError, storage_error

_DIRECTORY_NAME, _ABOVE_NAME = "preload", "above"
_LABEL_CHARACTERS = 12
_PRIVATE = 0o700


@dataclass(frozen=True, slots=True)
class Preload:
    """A copy, shown by libraries that stand in front of the C library and beside the loader."""

    request: RunRequest
    way: Way = Way.PRELOAD

    def obstacle(self) -> Obstacle | None:
        request = self.request
        unfit = noexec_obstacle(request)
        if unfit is not None:
            return unfit
        if _shows_something(request):
            return Obstacle(f"preload: something is at {request.prefix} already")
        return self._unreached(()) or libraries_obstacle(
            request.prefix, request.settings.cache_directory, request.environment
        )

    def prepare(self) -> Become:
        request = self.request
        workshop = workshop_in(request.settings.cache_directory, request.environment)
        if workshop.find() is None:
            workshop.needed_compiler()
            request.note("the libraries of the way `preload` are being compiled; they are used again")
        libraries = workshop.make()
        refused = trial_obstacle(request.prefix, libraries, request.environment)
        if refused is None:
            views = self._views(workshop.directory, copy_for(request))
            refused = self._unreached(views)
        if refused is not None:
            raise MissingCapability(what="preload", problem=refused.reason.removeprefix("preload: "), hint=refused.hint)
        environment = environment_with(environment_of(request, self.way), libraries, views)

        def start(command: Sequence[str]) -> NoReturn:
            become(starting(command), environment)

        return start

    def _views(self, directory: Path, copy: Path) -> tuple[View, ...]:
        """The copy at its prefix and, where that is missing, one below `directory` in which it is seen."""
        request, real = self.request, Path(os.path.realpath(copy))
        view = View(request.prefix, real)
        if os.path.lexists(request.customary):
            return (view,)
        label = hashlib.sha256(os.fsencode(real)).hexdigest()[:_LABEL_CHARACTERS]
        above = directory / _ABOVE_NAME / label
        try:
            directory.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            check_private(directory)
            above.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            if not os.path.lexists(above / request.name):
                os.symlink(real, above / request.name)
        except FileExistsError:
            pass  # Another run has just made the same.
        except OSError as error:
            raise storage_error(error) from error
        return (view, View(request.customary, Path(os.path.realpath(above))))

    def _unreached(self, views: Sequence[View]) -> Obstacle | None:
        """Why the command would not see the copy; None if it would, or if that is not known before there is one."""
        if not self.request.command:
            return None
        reason = why_not_reached(self.request.command[0], self.request.environment, views)
        return Obstacle(f"preload: {reason}", "`--way proot` reaches every program") if reason else None


def workshop_in(cache_directory: Path, environment: Mapping[str, str]) -> Workshop:
    """Where libraries are kept: beside the copies or, where the loader would split that path, among temporary files.

    StorageError where nothing can be kept."""
    beside = Copies.below(cache_directory).directory.parent / _DIRECTORY_NAME
    return Workshop.of(beside if _loader_takes(beside) else spare_directory(f"-{_DIRECTORY_NAME}"), environment)


def _loader_takes(directory: Path) -> bool:
    """Whether the loader can be told of libraries in `directory`."""
    try:
        environment_with({}, Libraries.in_directory(directory), ())
    except MissingCapability:
        return False
    return True


def libraries_obstacle(prefix: PurePosixPath, cache_directory: Path, environment: Mapping[str, str]) -> Obstacle | None:
    """Why libraries show nothing at `prefix` here, found by trying; None if they do, or if they can be compiled."""
    impossible = why_no_library_can_be_used()
    if impossible:
        return Obstacle(f"preload: {impossible}")
    try:
        workshop = workshop_in(cache_directory, environment)
        libraries = workshop.find()
        if libraries is not None:
            return trial_obstacle(prefix, libraries, environment)
        trouble = why_compiler_fails(workshop.needed_compiler())
        return None if trouble is None else _obstacle(trouble.message, trouble.hint)
    except OutcropError as error:
        return _obstacle(error.message, error.hint)


def preload_finding(customary: PurePosixPath, cache_directory: Path, environment: Mapping[str, str]) -> Finding:
    """Whether a program of this machine would see something below `customary` by way of the libraries."""
    obstacle = libraries_obstacle(customary / "outcrop.doctor", cache_directory, environment)
    if obstacle is not None:
        return no(Topic.PRELOAD, obstacle.reason.removeprefix("preload: "), obstacle.hint)
    workshop = workshop_in(cache_directory, environment)
    libraries = workshop.find()
    if libraries is not None:
        return ok(Topic.PRELOAD, f"the libraries in {libraries.calls.parent} are taken")
    return ok(Topic.PRELOAD, f"{workshop.compiler} can compile the libraries")


def trial_obstacle(prefix: PurePosixPath, libraries: Libraries, environment: Mapping[str, str]) -> Obstacle | None:
    """Why the libraries show nothing to a program of this machine; None if they do. It is tried with `ls`.

    Their own directory is shown at `prefix`, and the loader is to find one of them there."""
    place = Path(os.path.realpath(libraries.calls.parent))
    line = starting(["ls", str(prefix)])

    def work() -> None:
        surroundings = environment_with(environment, libraries, [View(prefix, place)])
        surroundings["LD_PRELOAD"] += f":{prefix}/{libraries.loader.name}"
        ended = subprocess.run(
            line, env=surroundings, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            check=False,
        )  # fmt: skip
        told = ended.stderr.strip().splitlines()
        if told or libraries.calls.name not in ended.stdout.split():
            raise CommandFailed(what="the trial with `ls`", problem=told[0][:300] if told else "nothing was shown")

    outcome = tried(work)
    return None if outcome.succeeded else _obstacle(outcome.problem, outcome.hint)


def starting(command: Sequence[str]) -> list[str]:
    """A command line that starts `command` from within the libraries: what it names lies where only they see it."""
    environment_program = shutil.which("env") or "/usr/bin/env"
    if "=" in command[0]:
        # `env` would take it for a variable.
        return [environment_program, "sh", "-c", 'exec "$@"', "sh", *command]
    return [environment_program, *command]


def _shows_something(request: RunRequest) -> bool:
    """Whether something shows at the prefix already, other than by a run that we are in: links would lead there."""
    if any(view.prefix == request.prefix for view in views_in(request.environment)):
        return False
    try:
        return bool(os.listdir(request.prefix))
    except OSError:
        return False


def _obstacle(problem: str, hint: str) -> Obstacle:
    """What an error says, with the name of the way once."""
    return Obstacle(f"preload: {problem.removeprefix('preload is not available: ')}", hint)
