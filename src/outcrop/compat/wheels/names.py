"""What the name of a wheel's file says.

Only pure-Python wheels can be part of a layer: others hold programs that were linked for a host.

Source: "Binary distribution format", Python Packaging User Guide.
"""

from __future__ import annotations

from dataclasses import dataclass

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from outcrop.errors import FormatError

_PYTHON_3 = ("py3", "cp3")


@dataclass(frozen=True, slots=True)
class WheelName:
    """A distribution by its normalised name, and its version."""

    name: str
    version: str


def wheel_name(file: str, what: str) -> WheelName:
    """What `file`, the name of a wheel's file that `what` speaks of, says. FormatError for a name that is none, and for
    a wheel that is not for every machine with Python 3."""
    try:
        name, version, _, tags = parse_wheel_filename(file)
    except InvalidWheelFilename:
        raise FormatError(what=what, field="file", problem=f"{file!r} is not the name of a wheel") from None
    if any(tag.platform != "any" or tag.abi != "none" for tag in tags):
        raise FormatError(
            what=what,
            field="file",
            problem=f"{file} is made for some processors or versions of Python; a layer takes pure-Python wheels only",
            hint="choose the file that ends with `-py3-none-any.whl`, or a package of the release (`python3-…`)",
        )
    if not any(tag.interpreter.startswith(_PYTHON_3) for tag in tags):
        raise FormatError(what=what, field="file", problem=f"{file} is not for Python 3")
    return WheelName(str(name), str(version))
