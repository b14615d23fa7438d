"""What a publisher promises to users: the paths whose published bytes never change and that never just disappear.

The owner writes the promises into `FQRN.policy`, a TOML file beside the record of the repository:

    keep = ["/versions/*/software"]
    except = ["/**/.lmod/cache"]

A pattern begins with `/`, at the root of the repository. It speaks of every path that it matches, and of all below it.
`*` within a name stands for any characters, a leading dot included; a whole name `**` for any number of directories,
none included. `/software/**` therefore says the same as `/software`. Everything else stands for itself; the other
signs that shells know (`?`, `[`, `{`, `\\`) are refused, since a pattern that is misunderstood is a promise that is not
kept. What `except` matches is promised by nobody, whatever `keep` says.

Files called `.cvmfscatalog` and `.cvmfsautocatalog` are how publishers keep their catalogs in order, and `/.outcrop` is
the publisher's own (`outcrop.cvmfs.notices`): they are no promise. Without a file nothing is promised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import msgspec

from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.notices import OUTCROP_DIRECTORY
from outcrop.cvmfs.paths import ROOT, RepositoryPath, is_below, name, parent
from outcrop.errors import FormatError, storage_error
from outcrop.stratum0.catalogs.catalog_tree import MARKER
from outcrop.stratum0.catalogs.markers import AUTOMATIC_MARKER

BOOKKEEPING = frozenset({MARKER, AUTOMATIC_MARKER})

EXAMPLE = """\
# Below these paths, published bytes never change and nothing disappears by accident.
# A pattern speaks of what it matches and of all below it; `*` is part of a name, `**` any number of directories.
keep = [
  "/versions/*/software",
]
# What is made anew with every publish is no promise.
except = [
  "/**/.lmod/cache",
]
"""
"""A policy for the layout that EESSI has, for people to begin with."""

_FOREIGN_SIGNS = "?[{\\"
_KNOWN_DIRECTORIES = 50_000
"""Directories whose place in the patterns is remembered: more than most changes touch, some 10 MB."""


class _AnyDepth(Enum):
    """`**`"""

    ANY_DEPTH = "**"


_ANY_DEPTH = _AnyDepth.ANY_DEPTH
_Part = bytes | re.Pattern[bytes] | _AnyDepth
"""What one name of a pattern stands for: itself, the names that match, or any number of names."""
_Place = tuple[int, int]
"""How many parts of which pattern a path has gone through."""


@dataclass(frozen=True, slots=True)
class _Reached:
    """How far the patterns have come at a path: those that may still match below it, or one that speaks of it all."""

    places: frozenset[_Place]
    covering: str | None = None


class PathPatterns:
    """Patterns for paths, as the module says. The answer for a directory is remembered for what it holds."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Raises ValueError, with the reason, for a text that is no pattern."""
        self.texts = tuple(texts)
        self._patterns = tuple(_parts(text) for text in self.texts)
        self._closures: dict[tuple[_Place, ...], _Reached] = {}
        self._start = self._reached(tuple((index, 0) for index in range(len(self.texts))))
        self._known: dict[bytes, _Reached] = {ROOT: self._start}

    def covering(self, path: RepositoryPath) -> str | None:
        """The text of a pattern that speaks of `path`; None if none does."""
        if path == ROOT:
            return self._start.covering
        directory, _, last = path.rpartition(b"/")
        reached = self._known.get(directory) or self._at(directory)
        return self._step(reached, last).covering

    def reaches_below(self, directory: RepositoryPath) -> bool:
        """Whether a pattern may speak of something at or below `directory`."""
        reached = self._at(directory)
        return reached.covering is not None or bool(reached.places)

    def _at(self, path: bytes) -> _Reached:
        missing = []
        while (reached := self._known.get(path)) is None:
            missing.append(path)
            path = parent(path)
        if len(self._known) + len(missing) > _KNOWN_DIRECTORIES:
            self._known = {ROOT: self._start}
        for one in reversed(missing):
            self._known[one] = reached = self._step(reached, name(one))
        return reached

    def _step(self, reached: _Reached, component: bytes) -> _Reached:
        if reached.covering is not None or not reached.places:
            return reached
        following = []
        for index, position in reached.places:
            part = self._patterns[index][position]
            if part is _ANY_DEPTH:
                following.append((index, position))
            elif part == component if isinstance(part, bytes) else part.fullmatch(component):
                following.append((index, position + 1))
        key = tuple(following)
        return self._closures.get(key) or self._reached(key)

    def _reached(self, places: tuple[_Place, ...]) -> _Reached:
        """`places`, and those behind them as far as `**` stands for no directory at all. Remembered: they are few."""
        self._closures[places] = reached = self._closure(places)
        return reached

    def _closure(self, places: tuple[_Place, ...]) -> _Reached:
        found = set()
        for index, position in places:
            pattern = self._patterns[index]
            found.add((index, position))
            while position < len(pattern) and pattern[position] is _ANY_DEPTH:
                position += 1
                found.add((index, position))
            if position == len(pattern):
                return _Reached(frozenset(), self.texts[index])
        return _Reached(frozenset(found))


def _parts(text: str) -> tuple[_Part, ...]:
    """The names of a pattern, each compiled; ValueError says why `text` is none."""
    if not text.startswith("/"):
        raise ValueError("does not begin with `/`")
    if found := [sign for sign in _FOREIGN_SIGNS if sign in text]:
        raise ValueError(f"has the sign `{found[0]}`, which means nothing here")
    names = text.encode("utf-8", "surrogateescape").split(b"/")[1:]
    if names == [b""]:
        return ()
    parts: list[_Part] = []
    for one in names:
        if one in (b"", b".", b"..") or b"\0" in one:
            raise ValueError("has a part that is no name of an entry")
        if one == b"**":
            parts.append(_ANY_DEPTH)
        elif b"**" in one:
            raise ValueError("has `**` beside other characters of a name")
        elif b"*" in one:
            parts.append(re.compile(b".*".join(re.escape(piece) for piece in one.split(b"*")), re.DOTALL))
        else:
            parts.append(one)
    return tuple(parts)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a policy says of one path: the pattern that keeps it, and what excepts it, where there is one."""

    kept_by: str | None
    excepted_by: str | None

    @property
    def is_promised(self) -> bool:
        return self.kept_by is not None and self.excepted_by is None


@dataclass(frozen=True, slots=True)
class Policy:
    """The promises of one repository."""

    keep: PathPatterns = field(default_factory=lambda: PathPatterns(()))
    exceptions: PathPatterns = field(default_factory=lambda: PathPatterns(()))

    def standing(self, path: RepositoryPath) -> Standing:
        """What is said of `path`."""
        excepted_by = "what publishers write for themselves" if _is_upkeep(path) else self.exceptions.covering(path)
        return Standing(self.keep.covering(path), excepted_by)

    def promises(self, path: RepositoryPath) -> bool:
        """Whether users may rely on what is at `path`."""
        return self.keep.covering(path) is not None and not self.excepts(path)

    def excepts(self, path: RepositoryPath) -> bool:
        """Whether `path` is said to be no promise."""
        return _is_upkeep(path) or self.exceptions.covering(path) is not None

    def may_promise_below(self, directory: RepositoryPath) -> bool:
        """Whether something at or below `directory` can be promised, as far as patterns tell."""
        return self.keep.reaches_below(directory) and not self.excepts(directory)

    @classmethod
    def parse(cls, text: bytes, what: str) -> Policy:
        """The promises in a policy file; FormatError names what is wrong."""
        try:
            document = msgspec.toml.decode(text, type=_Document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FormatError(what=what, field="the policy", problem=f"is not valid: {error}", hint=_HINT) from error
        keep = _patterns(document.keep, what, "keep")
        return cls(keep, _patterns(document.exceptions, what, "except"))


def _is_upkeep(path: RepositoryPath) -> bool:
    return name(path) in BOOKKEEPING or is_below(path, OUTCROP_DIRECTORY)


NO_PROMISES = Policy()
_HINT = "`outcrop repo policy --help` says what a policy may say"


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keep: tuple[str, ...]
    exceptions: tuple[str, ...] = msgspec.field(default=(), name="except")


def _patterns(texts: tuple[str, ...], what: str, key: str) -> PathPatterns:
    for text in texts:
        try:
            _parts(text)
        except ValueError as error:
            problem = f"{error}"
            raise FormatError(
                what=what, field=f"{key}: the pattern {text!r:.80}", problem=problem, hint=_HINT
            ) from None
    return PathPatterns(texts)


def policy_path(data_directory: Path, repository: RepositoryName) -> Path:
    """Where the policy file of `repository` lies."""
    return data_directory / f"{repository}.policy"


def load_policy(data_directory: Path, repository: RepositoryName) -> Policy:
    """The promises of an owned repository: none where there is no file. FormatError names what is wrong in it."""
    path = policy_path(data_directory, repository)
    try:
        return Policy.parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        return NO_PROMISES
    except OSError as error:
        raise storage_error(error, str(path)) from error
