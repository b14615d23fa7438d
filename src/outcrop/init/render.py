"""The files that a user's shell sources to start using a stack, rendered into `versions/<V>/init`.

The templates are bash with three things left open: `STACK_` stands for the prefix of the stack's variables and
`__stack_` for the same in the names of helper functions, and words between two `@` for the settings below. What is
rendered runs on the client with bash 4.2 and `uname`, `readlink` and `timeout` of the coreutils.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath

from outcrop import __version__
from outcrop.errors import InvalidValue
from outcrop.init.accelerator import NVIDIA_QUERY, NVIDIA_SMI_SECONDS
from outcrop.init.cpu import Mode
from outcrop.init.rules import COMPAT_RULES, FIXED_RULES, Rule, RuleTable

HOST_LMOD_PLACES = (
    "/usr/share/lmod/lmod/init/bash",
    "/usr/share/lmod/*/init/bash",
    "/usr/share/Lmod/init/bash",
    "/usr/local/lmod/lmod/init/bash",
    "/opt/apps/lmod/lmod/init/bash",
    "/opt/ohpc/admin/lmod/lmod/init/bash",
    "/etc/profile.d/lmod.sh",
    "/etc/profile.d/z00_lmod.sh",
)
"""Where distributions, OpenHPC and Lmod's own instructions put the file that starts it; `*` is any name."""

SOURCED_MODE = 0o644
EXECUTED_MODE = 0o755

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")
_PREFIX = re.compile(r"[A-Z][A-Z0-9_]*_")
_ABSOLUTE_PATH = re.compile(r"/[A-Za-z0-9._/-]*")
_LMOD_PLACE = re.compile(r"/[A-Za-z0-9._/*+-]+")
_OPEN_PLACE = re.compile(r"@([A-Z_]+)@")


@dataclass(frozen=True, slots=True, kw_only=True)
class InitSettings:
    """What the shell files of one version of a stack need to know.

    `repository` is the fully qualified name, perhaps with a project's directory below it (`dev.example.org/project`);
    the files find the repository by their own place and use `mount_root`/`repository` only when they were copied out
    of it. `name` is how messages call the stack, `prefix` begins the names of its variables.
    Raises `InvalidValue` for what cannot stand in a shell file as it is.
    """

    repository: str
    version: str
    name: str = "EESSI"
    prefix: str = "EESSI_"
    mount_root: str = "/cvmfs"
    mode: Mode = Mode.FIXED
    lmod_places: tuple[str, ...] = HOST_LMOD_PLACES

    def __post_init__(self) -> None:
        _require(_REPOSITORY, self.repository, "the repository's name")
        _require(_VERSION, self.version, "the stack's version")
        _require(_NAME, self.name, "the stack's name")
        _require(_PREFIX, self.prefix, "the prefix of the stack's variables")
        _require(_ABSOLUTE_PATH, self.mount_root, "the mount root")
        for place in self.lmod_places:
            _require(_LMOD_PLACE, place, "a place to look for Lmod")

    @property
    def archdetect(self) -> str:
        """The file name of the program that tells the targets: `eessi_archdetect.sh` for `EESSI_`."""
        return f"{self.prefix.lower()}archdetect.sh"

    @property
    def environment(self) -> str:
        """The file name of the part that sets the variables: `eessi_environment_variables` for `EESSI_`."""
        return f"{self.prefix.lower()}environment_variables"


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """A file to be written: `path` is relative to the repository's root, `mode` its permission bits."""

    path: PurePosixPath
    content: bytes
    mode: int


def render_init(stack: InitSettings) -> tuple[RenderedFile, ...]:
    """The files of `versions/<V>/init` that let bash use `stack`: the one to source, and the two that it uses."""
    directory = PurePosixPath("versions", stack.version, "init")
    return tuple(
        RenderedFile(directory / name, _render(template, stack).encode(), mode)
        for name, template, mode in (
            ("bash", "start.bash", SOURCED_MODE),
            (stack.environment, "environment_variables.bash", SOURCED_MODE),
            (stack.archdetect, "archdetect.bash", EXECUTED_MODE),
        )
    )


def _render(template: str, stack: InitSettings) -> str:
    text = files("outcrop.init").joinpath("templates", template).read_text("utf-8")
    settings = {
        "ARCHDETECT": stack.archdetect,
        "ENVIRONMENT": stack.environment,
        "LMOD_PLACES": " ".join(stack.lmod_places) or "''",
        "MODE": stack.mode.value,
        "NAME": stack.name,
        "NVIDIA_QUERY": " ".join(map(shlex.quote, NVIDIA_QUERY)),
        "NVIDIA_SMI_SECONDS": f"{NVIDIA_SMI_SECONDS:.0f}",
        "OUTCROP_VERSION": __version__,
        "REPOSITORY": f"{stack.mount_root.rstrip('/')}/{stack.repository}",
        "RULES": "\n".join((*_arms(COMPAT_RULES, Mode.COMPAT), *_arms(FIXED_RULES, Mode.FIXED))),
        "VERSION": stack.version,
    }
    text = text.replace("__stack_", f"__{stack.prefix.lower()}").replace("STACK_", stack.prefix)
    return _OPEN_PLACE.sub(lambda place: settings[place[1]], text)


def _arms(table: RuleTable, mode: Mode) -> list[str]:
    """The arms of the `case` that fills the array `rules`."""
    lines: list[str] = []
    for family, rules in table.items():
        lines += [f"        {family}:{mode})", "            rules=("]
        lines += [f"                '{_row(rule)}'" for rule in rules]
        lines += ["            )", "            ;;"]
    return lines


def _row(rule: Rule) -> str:
    return f"{rule.target.path}|{rule.vendor}|{' '.join(rule.features)}"


def _require(pattern: re.Pattern[str], value: str, what: str) -> None:
    if not pattern.fullmatch(value):
        raise InvalidValue(
            what=f"{what} '{value}'",
            problem="cannot stand in a shell file",
            hint=f"it must match {pattern.pattern}",
        )
