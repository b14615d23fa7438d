"""Which directory a program sees at which prefix, and the environment that has it see that.

The libraries read one variable, `OUTCROP_PRELOAD_MAP`: a line for each view, with the prefix, a tab and the directory,
the longest prefix first. The views of a run that we are in stay.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from outcrop.errors import MissingCapability

MAP_VARIABLE = "OUTCROP_PRELOAD_MAP"
_PRELOAD_VARIABLE, _AUDIT_VARIABLE = "LD_PRELOAD", "LD_AUDIT"

MOST_VIEWS = 16
_MOST_BYTES = 65_535
"""What the libraries have room for (`source/views.h`)."""

_SEPARATORS = {_PRELOAD_VARIABLE: " :", _AUDIT_VARIABLE: ":"}
"""What the loader takes for the end of a path in these variables (ld.so(8))."""


@dataclass(frozen=True, slots=True)
class View:
    """`directory`, which is canonical, is shown at `prefix`."""

    prefix: PurePosixPath
    directory: Path


@dataclass(frozen=True, slots=True)
class Libraries:
    """The two libraries, below one directory."""

    calls: Path
    loader: Path

    @classmethod
    def in_directory(cls, directory: Path) -> Libraries:
        return cls(directory / "calls.so", directory / "loader.so")


def views_in(environment: Mapping[str, str]) -> tuple[View, ...]:
    """The views of the run that `environment` belongs to; none where that is no such run."""
    lines = (line.partition("\t") for line in environment.get(MAP_VARIABLE, "").split("\n"))
    return tuple(View(PurePosixPath(prefix), Path(directory)) for prefix, tab, directory in lines if tab)


def environment_with(environment: Mapping[str, str], libraries: Libraries, views: Sequence[View]) -> dict[str, str]:
    """`environment`, in which a program sees `views` besides those that it would see anyway.

    MissingCapability for paths that cannot be written down there, and for too many views."""
    known = {view.prefix: view for view in (*views_in(environment), *views)}
    return {
        **environment,
        MAP_VARIABLE: _map_text(sorted(known.values(), key=lambda view: (-len(str(view.prefix)), str(view.prefix)))),
        _PRELOAD_VARIABLE: _with_first(environment, _PRELOAD_VARIABLE, libraries.calls),
        _AUDIT_VARIABLE: _with_first(environment, _AUDIT_VARIABLE, libraries.loader),
    }


def real_path(path: str, views: Sequence[View]) -> str:
    """Where `path` really lies: `path` itself if it is in no view."""
    lexical = PurePosixPath(path)
    for view in sorted(views, key=lambda view: -len(str(view.prefix))):
        if lexical.is_relative_to(view.prefix):
            return str(view.directory / lexical.relative_to(view.prefix))
    return path


def _map_text(views: Sequence[View]) -> str:
    text = "\n".join(f"{view.prefix}\t{view.directory}" for view in views)
    hint = "let OUTCROP_CACHE_DIR name a directory with a plain name"
    if any(character in f"{view.prefix}{view.directory}" for view in views for character in "\t\n"):
        raise MissingCapability(what="preload", problem="a path has a tab or a line end in it", hint=hint)
    if len(views) > MOST_VIEWS or len(text.encode("utf-8", "surrogateescape")) > _MOST_BYTES:
        raise MissingCapability(what="preload", problem=f"no more than {MOST_VIEWS} runs fit into each other")
    return text


def _with_first(environment: Mapping[str, str], variable: str, library: Path) -> str:
    """The value of `variable` with `library` in front."""
    separators = _SEPARATORS[variable]
    unfit = next((character for character in separators if character in str(library)), None)
    if unfit is not None:
        raise MissingCapability(
            what="preload",
            problem=f"the loader takes no library whose path has {unfit!r} in it ({library})",
            hint="let OUTCROP_CACHE_DIR name a directory with a plain name",
        )
    present = environment.get(variable, "")
    for separator in separators:
        present = present.replace(separator, ":")
    others = [each for each in present.split(":") if each and each != str(library)]
    return ":".join([str(library), *others])
