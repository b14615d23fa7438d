"""Which files of a layer may have instructions beyond the baseline, and why: `instructions.toml`.

    [[chooses]]                    # runs them only where the processor has them
    paths = ["usr/lib/*/libexample.so.*"]
    how = "what asks the processor, by its name in the sources"
    x86_64 = ["avx2"]              # the extensions, by family
    aarch64 = ["*"]                # any: tables between its functions look like instructions

    [[hardware]]                   # only run beside a device whose hosts all have the extensions
    paths = ["usr/lib/*/libdevice.so.*"]
    how = "which device, and which hosts"
    x86_64 = ["avx"]

A stack's own file adds to the one that comes with Outcrop.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

import msgspec

from outcrop.compat.declared_files import INSTRUCTIONS_FILE, STANDARD_DIRECTORY
from outcrop.compat.family import Family
from outcrop.compat.left_out import glob_pattern
from outcrop.errors import FormatError
from outcrop.toml_text import decoded, read_text

ANY = "*"


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`asks`: the file itself must be seen to ask the processor, the loader or the kernel."""

    paths: tuple[str, ...]
    how: str
    asks: bool = True
    x86_64: tuple[str, ...] = ()
    aarch64: tuple[str, ...] = ()
    riscv64: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    chooses: tuple[_Entry, ...] = ()
    hardware: tuple[_Entry, ...] = ()


class Kind(Enum):
    """Why a file may have instructions beyond the baseline."""

    CHOOSES = auto()
    HARDWARE = auto()


@dataclass(frozen=True, slots=True)
class Choice:
    """What the files `pattern` may have, in one family."""

    kind: Kind
    pattern: re.Pattern[str]
    extensions: frozenset[str]
    asks: bool
    how: str

    def allows(self, extension: str) -> bool:
        return extension in self.extensions or ANY in self.extensions


def choices_for(family: Family, own: str = "") -> tuple[Choice, ...]:
    """The choices of `family`: those that come with Outcrop, and those of `own`, the text of a stack's own file.
    FormatError naming the file and the field, StorageError."""
    standard = STANDARD_DIRECTORY / INSTRUCTIONS_FILE
    texts = ((str(standard), read_text(standard)), (f"the stack's {INSTRUCTIONS_FILE}", own))
    return tuple(choice for what, text in texts for choice in parse_choices(text, family, what))


def parse_choices(text: str, family: Family, what: str) -> Iterable[Choice]:
    """What `text` says of `family`; FormatError."""
    found = decoded(text, _File, what)
    for kind, entries in ((Kind.CHOOSES, found.chooses), (Kind.HARDWARE, found.hardware)):
        for entry in entries:
            if not entry.how.strip():
                raise FormatError(what=what, field="how", problem=f"is empty for {', '.join(entry.paths)}")
            extensions: tuple[str, ...] = getattr(entry, family.name)
            if extensions:
                pattern = re.compile("|".join(glob_pattern(path) for path in entry.paths))
                yield Choice(kind, pattern, frozenset(extensions), entry.asks, entry.how)
