"""A stack as data: `stack.toml` and the easystacks below `easystacks/<repository>/<version>/`.

    repository = "software.example.org"
    version = "2026.06"
    variable_prefix = "EESSI_"
    mount_root = "/cvmfs"
    filter_dependencies = ["zlib", "ncurses"]
    maintainer = "Ada Lovelace <ada@example.org>"
    fixed_paths = ["/bin/sh", "/bin/bash", "/usr/bin/env", "/usr/bin/perl", "/usr/bin/python3"]

    [[foreign]]
    paths = ["vendortool/*/bin/**"]
    reason = "the vendor's binaries, which need the host's loader"

Only the first two have no default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

import msgspec

from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.errors import FormatError, InvalidValue, NotFound
from outcrop.init.target import Target
from outcrop.software.layout import DEFAULT_MOUNT_ROOT, SoftwareLayout
from outcrop.toml_text import decoded, read_text

STACK_FILE = "stack.toml"

EESSI_PREFIX = "EESSI_"

_VERSION = re.compile(r"20[0-9]{2}\.(0[1-9]|1[0-2])(-[A-Za-z0-9]+)?")
_VARIABLE_PREFIX = re.compile(r"[A-Z][A-Z0-9_]*_")
_MOUNT_ROOT = re.compile(r"/[\w.+@=,~/-]*")
"""Nothing that a shell or the first line of a script reads otherwise."""
_DEPENDENCY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")

FILTERED_DEPENDENCIES = (
    "binutils",
    "bzip2",
    "DBus",
    "flex",
    "gettext",
    "gperf",
    "help2man",
    "intltool",
    "libreadline",
    "makeinfo",
    "ncurses",
    "util-linux",
    "XZ",
    "zlib",
)
"""What the layer below the stack provides (the host's, until there is a compatibility layer), so that no easyconfig's
dependency on it is built. EESSI filters the same and a few more."""


FIXED_PATHS = tuple(map(PurePosixPath, ("/bin/sh", "/bin/bash", "/usr/bin/env", "/usr/bin/perl", "/usr/bin/python3")))
"""What first lines of scripts name: in a build on a layer, these lead to the layer's, as far as it has them."""

_A_BUILDS_OWN = tuple(map(PurePosixPath, ("/tmp", "/dev", "/proc", "/sys")))


class Foreign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files that may need more than the layer and the stack: `paths` are globs below the directory of a target's
    installations, `*` stays within a directory, `**` does not."""

    paths: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Stack:
    """What stays the same over all easystacks of one version of a stack. `directory` holds `stack.toml`; `maintainer`
    is who answers for it, as users may read it; `fixed_paths` lead to the layer in builds on one; `foreign` is what may
    need more than the layer and the stack."""

    repository: RepositoryName
    version: str
    variable_prefix: str = EESSI_PREFIX
    mount_root: PurePosixPath = DEFAULT_MOUNT_ROOT
    filter_dependencies: tuple[str, ...] = FILTERED_DEPENDENCIES
    directory: Path | None = None
    maintainer: str = ""
    fixed_paths: tuple[PurePosixPath, ...] = FIXED_PATHS
    foreign: tuple[Foreign, ...] = ()

    def layout(self, target: Target) -> SoftwareLayout:
        return SoftwareLayout(self.repository, self.version, target, self.mount_root)

    @property
    def easystack_directory(self) -> Path:
        """Where this stack's easystacks lie. Only a stack that was read from a directory has one."""
        return self._own_directory() / "easystacks" / self.repository / self.version

    @property
    def easyconfig_directory(self) -> Path | None:
        """Easyconfigs that the stack brings itself, searched before EasyBuild's own; None where it has none."""
        own = self._own_directory() / "easyconfigs" if self.directory else None
        return own if own and own.is_dir() else None

    def easystacks(self) -> tuple[Path, ...]:
        """This version's easystack files in the order in which they build: system toolchain first, by name."""
        return tuple(sorted(self.easystack_directory.glob("*.yml")))

    def _own_directory(self) -> Path:
        if self.directory is None:
            raise NotFound(what=f"the directory of the stack {self.repository}", hint=f"write a {STACK_FILE}")
        return self.directory


class _StackFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    repository: str
    version: str
    variable_prefix: str = EESSI_PREFIX
    mount_root: str = str(DEFAULT_MOUNT_ROOT)
    filter_dependencies: tuple[str, ...] = FILTERED_DEPENDENCIES
    maintainer: str = ""
    fixed_paths: tuple[str, ...] = tuple(map(str, FIXED_PATHS))
    foreign: tuple[Foreign, ...] = ()


def version_problem(version: str) -> str:
    """Why `version` is none of a stack; empty where it is one."""
    if _VERSION.fullmatch(version):
        return ""
    return f"{version!r} is not of the form YYYY.MM, with a suffix such as `-001` if need be"


def place_problems(version: str, variable_prefix: str, mount_root: str) -> Iterator[tuple[str, str]]:
    """The fields that say where a stack lies, and what its variables are called, and are wrong; each with its problem.
    They become parts of paths, and of scripts."""
    if problem := version_problem(version):
        yield "version", problem
    if not _VARIABLE_PREFIX.fullmatch(variable_prefix):
        yield "variable_prefix", f"{variable_prefix!r} is not upper-case letters that end in `_`"
    if not _MOUNT_ROOT.fullmatch(mount_root) or ".." in PurePosixPath(mount_root).parts:
        yield "mount_root", f"{mount_root!r} is not an absolute path of letters, digits and `._+@=,~-`"


def parse_stack(text: str, what: str, directory: Path | None = None) -> Stack:
    """The stack that `text` (the contents of a `stack.toml`) describes; FormatError names the field that is wrong."""

    def refuse(field: str, problem: str) -> NoReturn:
        raise FormatError(what=what, field=field, problem=problem, hint=f"mend {what} and try again")

    fields = decoded(text, _StackFile, what)
    try:
        repository = repository_name(fields.repository)
    except InvalidValue:
        refuse("repository", f"{fields.repository!r} is not of the form name.domain")
    for field, problem in place_problems(fields.version, fields.variable_prefix, fields.mount_root):
        refuse(field, problem)
    for name in fields.filter_dependencies:
        if not _DEPENDENCY.fullmatch(name):
            refuse("filter_dependencies", f"{name!r} is not the name of a software")
    mount_root, fixed_paths = PurePosixPath(fields.mount_root), tuple(map(PurePosixPath, fields.fixed_paths))
    for path in fixed_paths:
        if problem := _problem_of_fixed(path, fixed_paths, mount_root):
            refuse("fixed_paths", f"'{path}' {problem}")
    for entry in fields.foreign:
        if not entry.paths or not all(map(_is_below, entry.paths)):
            refuse("foreign", "has `paths` that are no globs below the directory of the installations")
        if not entry.reason.strip():
            refuse("foreign", f"has no `reason` for {', '.join(entry.paths)}")
    return Stack(
        repository,
        fields.version,
        fields.variable_prefix,
        mount_root,
        fields.filter_dependencies,
        directory,
        fields.maintainer,
        fixed_paths,
        fields.foreign,
    )


def _problem_of_fixed(path: PurePosixPath, all_of_them: Iterable[PurePosixPath], mount_root: PurePosixPath) -> str:
    """Why a build cannot be shown the layer's file at `path`; empty where it can."""
    if not path.is_absolute() or ".." in path.parts:
        return "is not an absolute path"
    if path in FIXED_PATHS:
        return ""
    for place in (mount_root, *_A_BUILDS_OWN):
        if path.is_relative_to(place) or place.is_relative_to(path):
            return f"is not apart from {place}, which builds see anyway"
    if below := next((other for other in all_of_them if path in other.parents), None):
        return f"is above '{below}'"
    return ""


def _is_below(glob: str) -> bool:
    path = PurePosixPath(glob)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def read_stack(directory: Path) -> Stack:
    """The stack in `directory`; NotFound without a `stack.toml`, FormatError when that is malformed."""
    path = directory / STACK_FILE
    text = read_text(path, "name the directory that holds it")
    return parse_stack(text, str(path), directory)


def find_stack(easystack: Path) -> Stack | None:
    """The stack that an easystack file belongs to: the nearest directory above it with a `stack.toml`."""
    for directory in easystack.absolute().parents:
        if (directory / STACK_FILE).is_file():
            return read_stack(directory)
    return None
