"""Whose files a machine shows: those that were published as such, its reader's own, or others by maps. Pure.

The rules are the reference client's. With `CVMFS_CLAIM_OWNERSHIP=yes`, as its `default.conf` has it, everything belongs
to whoever mounts. Otherwise `CVMFS_UID_MAP` and `CVMFS_GID_MAP` name files with a line `FROM TO` for each number that
is shown as another, and `* TO` for all that have no line. `#` begins a comment. A number without a rule stays.

Sources: mountpoint.cc, catalog_sql.cc, uid_map.h and default.conf of CernVM-FS 2.12.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from outcrop.errors import FormatError

LARGEST_OWNER = 2**32 - 2
"""The kernel keeps numbers of users and groups in 32 bits, and takes the largest for nobody at all."""

_EVERYBODY = "*"
_NUMBER = re.compile(r"[0-9]{1,10}")
_LINES_NAMED = 5
"""How many malformed lines an error names. Whoever has more has another kind of file."""


@dataclass(frozen=True, slots=True)
class OwnerMap:
    """Which user or group is shown instead of another; `default` for all that have no rule."""

    rules: Mapping[int, int] = field(default_factory=dict, hash=False)
    default: int | None = None

    def shown(self, owner: int) -> int:
        """The number that is shown for `owner`."""
        if owner in self.rules:
            return self.rules[owner]
        return owner if self.default is None else self.default


UNCHANGED = OwnerMap()


@dataclass(frozen=True, slots=True)
class MappedOwners:
    """What becomes of the user and the group of every entry."""

    users: OwnerMap = UNCHANGED
    groups: OwnerMap = UNCHANGED

    @property
    def change_nothing(self) -> bool:
        """Whether all owners stay what they are."""
        return self.users == UNCHANGED and self.groups == UNCHANGED

    def uid(self, published: int) -> int:
        """The user that is shown for `published`."""
        return self.users.shown(published)

    def gid(self, published: int) -> int:
        """The group that is shown for `published`."""
        return self.groups.shown(published)


AS_THEY_ARE = MappedOwners()


@dataclass(frozen=True, slots=True)
class Ownership:
    """What a site wants: that files belong to whoever mounts (`claimed`), or are shown by `users` and `groups`."""

    claimed: bool = False
    users: OwnerMap | None = None
    groups: OwnerMap | None = None

    def for_reader(self, user: int, group: int) -> MappedOwners:
        """What a mount of this user and group shows."""
        return MappedOwners(OwnerMap(default=user), OwnerMap(default=group)) if self.claimed else self.mapped

    @property
    def mapped(self) -> MappedOwners:
        """What the maps alone say: for who asks for owners, and not for files of their own."""
        return MappedOwners(self.users or UNCHANGED, self.groups or UNCHANGED)


AS_PUBLISHED = Ownership()


def parse_owner_map(text: str, what: str) -> OwnerMap:
    """The map that `text`, the content of the file `what`, spells; FormatError names the lines that are wrong."""
    rules: dict[int, int] = {}
    default: int | None = None
    malformed: list[int] = []
    for number, raw in enumerate(text.splitlines(), 1):
        words = raw.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or not _is_owner(words[1]) or not (words[0] == _EVERYBODY or _is_owner(words[0])):
            malformed.append(number)
        elif words[0] == _EVERYBODY:
            default = int(words[1])
        else:
            rules[int(words[0])] = int(words[1])
    if malformed:
        raise FormatError(
            what=what,
            field=_lines(malformed),
            problem=f"is not two numbers up to {LARGEST_OWNER}, or `*` and one",
            hint=f"mend {_lines(malformed)} of {what}, as in `1000 65534`, or `* 65534` for all others",
        )
    return OwnerMap(rules, default)


def _is_owner(word: str) -> bool:
    return bool(_NUMBER.fullmatch(word)) and int(word) <= LARGEST_OWNER


def _lines(numbers: list[int]) -> str:
    """`line 2`, `line 2 (and 4, 7)`."""
    others = ", ".join(str(number) for number in numbers[1:_LINES_NAMED])
    more = f" and {len(numbers) - _LINES_NAMED} more" if len(numbers) > _LINES_NAMED else ""
    return f"line {numbers[0]}" + (f" (and {others}{more})" if others else "")
