"""Words and environments that name a relocated copy instead of `/cvmfs/<name>`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    # `typing` takes longer to read than this takes to run.
    from collections.abc import Iterable, Mapping
    from pathlib import PurePosixPath


_NAME_SIGNS = "._-+@~"
"""What stands in names besides letters and digits."""


def in_new_place(words: Iterable[str], old_prefix: str | PurePosixPath, new_prefix: str | PurePosixPath) -> list[str]:
    """`words` with every mention of `old_prefix` as a path turned into `new_prefix`."""
    return [_replaced(word, str(old_prefix), str(new_prefix)) for word in words]


def environment_in_new_place(
    environment: Mapping[str, str], old_prefix: str | PurePosixPath, new_prefix: str | PurePosixPath
) -> dict[str, str]:
    """`environment` with every mention of `old_prefix` in a value turned into `new_prefix`."""
    return {name: _replaced(value, str(old_prefix), str(new_prefix)) for name, value in environment.items()}


def _replaced(text: str, old: str, new: str) -> str:
    """`text` with `old` replaced where a path begins with it, and ends or goes on behind it: `/cvmfs/a.org` is not part
    of `/cvmfs/a.org.uk`, nor of `/data/cvmfs/a.org`, but of `-I/cvmfs/a.org/include`."""
    parts = text.split(old)
    result = [parts[0]]
    for part in parts[1:]:
        ends = not part or not (part[0].isalnum() or part[0] in _NAME_SIGNS)
        result += [new if ends and _begins("".join(result)) else old, part]
    return "".join(result)


def _begins(before: str) -> bool:
    """Whether a path can begin behind `before`: not where a name stands, unless that is an option, or follows nothing
    that is a path's."""
    position = len(before.rstrip("/"))
    end = position
    while position and (before[position - 1].isalnum() or before[position - 1] in _NAME_SIGNS):
        position -= 1
    name = before[position:end]
    if not name:
        return not before.endswith(("$", "}", ")"))
    return end == len(before) and name.startswith("-") and not before[:position].endswith("/")
