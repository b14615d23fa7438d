"""Sizes as people write them: `20G`, `500M`, `none`."""

from __future__ import annotations

import re

from outcrop.errors import InvalidValue

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([KMGTP])(i?B)?|B)?", re.IGNORECASE)
_POWERS = {letter: power for power, letter in enumerate("KMGTP", start=1)}
MAXIMUM_SIZE = 2**60
"""An exbibyte: more is a slip of the finger."""

NO_LIMIT = "none"


def parse_size(text: str, what: str) -> int:
    """The bytes that `text` means; InvalidValue names `what`.

    `K`, `M`, `G`, `T`, `P` and `KiB`, `MiB`, … are powers of 1024, as `du -h` and `CVMFS_QUOTA_LIMIT` count; `KB`,
    `MB`, … are powers of 1000. A number alone is bytes."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidValue(
            what=what, problem=f"is {text[:40]!r}, which is no size", hint="write it like 500M, 20G or 1.5T"
        )
    base = 1000 if (match[3] or "").upper() == "B" else 1024
    size = float(match[1]) * base ** _POWERS.get((match[2] or "").upper(), 0)
    if size > MAXIMUM_SIZE:
        raise InvalidValue(what=what, problem=f"is {text[:40]!r}, more than any disk has", hint="write it like 20G")
    return int(size)


def parse_limit(text: str, what: str) -> int | None:
    """The limit that `text` means in bytes, None for `none`; InvalidValue names `what`."""
    if text.strip().lower() == NO_LIMIT:
        return None
    limit = parse_size(text, what)
    if limit < MINIMUM_LIMIT:
        raise InvalidValue(
            what=what,
            problem=f"is {text[:40]!r}, too little to read anything with",
            hint="write at least 1M, or `none` for no limit at all",
        )
    return limit


MINIMUM_LIMIT = 1024 * 1024
"""Below this, not even the catalogs of a small repository stay."""


def size_text(size: int) -> str:
    """`size` bytes as people read them: `3.9 GiB`."""
    if size < 1024:
        return f"{size} B"
    amount = float(size)
    for letter in "KMGTP":
        amount /= 1024
        if amount < 999.5 or letter == "P":
            break
    return f"{amount:.3g} {letter}iB"
