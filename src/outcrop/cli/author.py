"""Who publishes: what the changelog says of a revision's author."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def login_and_host() -> str:
    """The user that runs this and the machine it runs on, as in `ada@build1`."""
    try:
        login = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # containers run users that no list knows
        login = str(os.geteuid())
    return f"{login}@{socket.gethostname()}"


def author_option(command: Command) -> Command:
    """`--author`: who the changelog says has published this."""
    return click.option(
        "--author",
        metavar="NAME",
        default=login_and_host,
        show_default="USER@HOST",
        help="Who publishes this, for `outcrop repo log`.",
    )(command)
