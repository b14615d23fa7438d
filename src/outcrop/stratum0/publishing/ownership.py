"""Whose the published entries are: as they came, one owner for all, or by maps of user and group numbers.

A map is a text of lines `FROM TO`; `*` as FROM stands for every number without a line of its own, `#` begins a comment.
Numbers without a line stay what they are. This is the format of the reference's `CVMFS_UID_MAP` and `CVMFS_GID_MAP`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from outcrop.cvmfs.entry import MAXIMUM_UINT32
from outcrop.errors import FormatError, InvalidValue, storage_error

_WILDCARD = "*"


@dataclass(frozen=True, slots=True)
class IdMap:
    """Numbers to put in the place of others. `rest` stands for all that `numbers` lacks; None leaves them."""

    numbers: Mapping[int, int] = field(default_factory=dict)
    rest: int | None = None

    def __call__(self, number: int) -> int:
        if number in self.numbers:
            return self.numbers[number]
        return number if self.rest is None else self.rest

    @classmethod
    def parse(cls, text: str, what: str) -> IdMap:
        """The map that `text` says; FormatError names the line that is wrong."""
        numbers: dict[int, int] = {}
        rest = None
        for position, line in enumerate(text.splitlines(), start=1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            if len(words) != 2 or not (_is_number(words[0]) or words[0] == _WILDCARD) or not _is_number(words[1]):
                raise FormatError(
                    what=what,
                    field=f"line {position}",
                    problem="is not of the form FROM TO",
                    hint="write two numbers a line, such as `1000 0`; `* 0` maps all others",
                )
            if words[0] == _WILDCARD:
                rest = int(words[1])
            else:
                numbers[int(words[0])] = int(words[1])
        return cls(numbers, rest)

    @classmethod
    def load(cls, path: Path) -> IdMap:
        """The map in the file `path`."""
        try:
            return cls.parse(path.read_text("utf-8", "replace"), str(path))
        except OSError as error:
            raise storage_error(error) from error


AS_THEY_ARE = IdMap()


@dataclass(frozen=True, slots=True)
class Ownership:
    """How users and groups are mapped."""

    users: IdMap = AS_THEY_ARE
    groups: IdMap = AS_THEY_ARE

    @classmethod
    def all_to(cls, uid: int, gid: int) -> Ownership:
        """Everything belongs to one user and one group; InvalidValue for numbers that nobody can have."""
        for number in (uid, gid):
            if not 0 <= number <= MAXIMUM_UINT32:
                raise InvalidValue(
                    what=f"the owner {uid}:{gid}",
                    problem="has numbers that nobody can have",
                    hint=f"numbers go from 0 to {MAXIMUM_UINT32}",
                )
        return cls(IdMap(rest=uid), IdMap(rest=gid))

    @property
    def newcomer(self) -> tuple[int, int]:
        """The user and group of what the publisher makes by itself: root's, mapped like everything else."""
        return self.users(0), self.groups(0)


KEEP_OWNERS = Ownership()


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and int(word) <= MAXIMUM_UINT32
