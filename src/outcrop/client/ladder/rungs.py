"""The rungs that need nothing but the kernel: a FUSE mount, or a copy, in namespaces of the command's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from outcrop.client.ladder.launch import become
from outcrop.client.ladder.local_host import LocalHost, real_place
from outcrop.client.ladder.namespaces import attach_copy, enter_namespaces, show
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.root_plan import RootPlan, plan_root
from outcrop.client.ladder.rung import Become, environment_of
from outcrop.client.ladder.shown_copy import copy_for, noexec_obstacle
from outcrop.client.ladder.trial import Outcome, tried
from outcrop.client.ladder.ways import Obstacle, Way
from outcrop.client.ladder.why import why_no_fuse, why_no_namespace
from outcrop.client.mount.kernel import DEVICE
from outcrop.errors import MissingCapability

_SOMETHING = Path("/usr")
"""A directory that is everywhere, to try binding with."""


def root_plan(request: RunRequest) -> RootPlan:
    """How the repository comes to show at its place on this machine."""
    return plan_root(real_place(request.customary, request.name), LocalHost())


@dataclass(frozen=True, slots=True)
class Fuse:
    """A FUSE mount within namespaces of the command's own. The server stands outside, and ends with the mount."""

    request: RunRequest
    way: Way = Way.FUSE

    def obstacle(self) -> Obstacle | None:
        try:
            os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            return why_no_fuse(error)

        refused = obstacle_to_namespaces()
        if refused is not None:
            return refused
        # Where neither is refused, this rung will be taken. Elsewhere nobody needs to wait for its code.
        from outcrop.client.ladder.fuse_server import mount_fuse

        def attach(place: Path) -> None:
            os.close(mount_fuse(self.request.name, place))

        return _obstacle_to_showing(root_plan(self.request), attach)

    def prepare(self) -> Become:
        from outcrop.client.ladder.fuse_server import FuseServer
        from outcrop.client.ladder.own_cache import OwnCache

        request = self.request
        plan = root_plan(request)
        cache = OwnCache.for_settings(request.settings)
        server = FuseServer.start(
            lambda: cache.request_with(request).open_tree(), request.name, request.log, cache.remove
        )
        environment = environment_of(request, self.way)

        def start(command: Sequence[str]) -> NoReturn:
            show_in_namespaces(plan, server.attach)
            become(command, environment)

        return start


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy, bound within namespaces of the command's own."""

    request: RunRequest
    way: Way = Way.CHECKOUT

    def obstacle(self) -> Obstacle | None:
        return noexec_obstacle(self.request) or _obstacle_to_showing(root_plan(self.request), attach_copy(_SOMETHING))

    def prepare(self) -> Become:
        copy = copy_for(self.request)
        plan = root_plan(self.request)
        environment = environment_of(self.request, self.way)

        def start(command: Sequence[str]) -> NoReturn:
            show_in_namespaces(plan, attach_copy(copy))
            become(command, environment)

        return start


def obstacle_to_namespaces(enter: Callable[[], None] = enter_namespaces) -> Obstacle | None:
    """Why this process cannot have namespaces of its own, which `enter` makes; None if it can: a child of it has."""
    return why_no_namespace(tried(enter))


def _obstacle_to_showing(plan: RootPlan, attach: Callable[[Path], None]) -> Obstacle | None:
    """Why nothing can be shown as `plan` says with namespaces of our own: it is tried with something."""
    return why_no_namespace(try_to_show(plan, attach))


def try_to_show(plan: RootPlan, attach: Callable[[Path], None]) -> Outcome:
    """How it ends to make the root that `plan` says, in namespaces that end at once."""

    def work() -> None:
        enter_namespaces()
        show(plan, attach)

    return tried(work)


def show_in_namespaces(
    plan: RootPlan, attach: Callable[[Path], None], enter: Callable[[], None] = enter_namespaces
) -> None:
    """Puts this process into namespaces, which `enter` makes, in which the root is as `plan` says; MissingCapability
    where that fails."""
    try:
        enter()
        show(plan, attach)
    except OSError as error:
        raise MissingCapability(
            what=f"showing {plan.place}",
            problem=f"it could be tried, but not done ({error.strerror or error})",
            hint="try another way with `--way`; `outcrop doctor` lists those that work",
        ) from error
