"""Words and environments that name a relocated copy instead of `/cvmfs/<name>`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    # `typing` takes longer to read than this takes to run.
    from collections.abc import Iterable, Mapping
    from pathlib import PurePosixPath


def in_new_place(words: Iterable[str], old_prefix: str | PurePosixPath, new_prefix: str | PurePosixPath) -> list[str]:
    """`words` with every mention of `old_prefix` as a path turned into `new_prefix`."""
    return [_replaced(word, str(old_prefix), str(new_prefix)) for word in words]


def environment_in_new_place(
    environment: Mapping[str, str], old_prefix: str | PurePosixPath, new_prefix: str | PurePosixPath
) -> dict[str, str]:
    """`environment` with every mention of `old_prefix` in a value turned into `new_prefix`."""
    return {name: _replaced(value, str(old_prefix), str(new_prefix)) for name, value in environment.items()}


def _replaced(text: str, old: str, new: str) -> str:
    """`text` with `old` replaced where a path ends or goes on behind it: `/cvmfs/a.org` is not part of
    `/cvmfs/a.org.uk`."""
    parts = text.split(old)
    result = [parts[0]]
    for part in parts[1:]:
        ends = not part or not (part[0].isalnum() or part[0] in "._-")
        result += [new if ends else old, part]
    return "".join(result)
