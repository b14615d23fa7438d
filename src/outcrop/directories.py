"""Where Outcrop keeps what it owns: the XDG base directories, each with an `OUTCROP_*` override.

Source: XDG Base Directory Specification 0.8.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from outcrop.errors import InvalidValue

_HOMES = {
    "data": ("XDG_DATA_HOME", ".local/share"),
    "config": ("XDG_CONFIG_HOME", ".config"),
    "cache": ("XDG_CACHE_HOME", ".cache"),
    "state": ("XDG_STATE_HOME", ".local/state"),
}


def located(given: str | Path, environment: Mapping[str, str] = os.environ) -> Path:
    """The path that a user wrote, absolute: a shell leaves `~` alone within `--option=~/x` and quotes, so a first part
    `~` is the home directory here, and `~NAME` that of another user. `./~` is a file of that name.

    InvalidValue for a home directory that nobody knows."""
    text = os.fspath(given)
    first, _, rest = text.partition("/")
    if not first.startswith("~"):
        return Path(text).absolute()
    if first == "~":
        return _home(environment, f"or write the whole path instead of {text}") / rest.lstrip("/")
    home = os.path.expanduser(first)
    if home == first:
        raise InvalidValue(what=text, problem="is in a home directory that nobody knows", hint="write the whole path")
    return Path(home) / rest.lstrip("/")


def _directory(kind: str, environment: Mapping[str, str]) -> Path:
    name = f"OUTCROP_{kind.upper()}_DIR"
    override = environment.get(name)
    if override:
        return located(override, environment)
    variable, below_home = _HOMES[kind]
    base = environment.get(variable, "")
    if os.path.isabs(base):
        return Path(base) / "outcrop"
    return _home(environment, f"or `export {name}=/DIRECTORY` where this is kept") / below_home / "outcrop"


def _home(environment: Mapping[str, str], instead: str) -> Path:
    """This user's home directory; `instead` is what one does who has none."""
    home = environment.get("HOME") or os.path.expanduser("~")
    if not os.path.isabs(home):
        # In a container with a number for a user, nobody says where its home is: `~` stays what it is.
        known = "HOME is not set, and the machine does not know this user" if home == "~" else f"HOME is {home!r}"
        raise InvalidValue(
            what="the home directory",
            problem=f"is not known ({known})",
            hint=f"`export HOME=/DIRECTORY` says where it is, {instead}",
        )
    return Path(home)


def data_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Keys and repositories that this user owns: `OUTCROP_DATA_DIR`, else `$XDG_DATA_HOME/outcrop`.

    This and the others below the home directory raise InvalidValue where nobody says where that is."""
    return _directory("data", environment)


def config_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Settings: `OUTCROP_CONFIG_DIR`, else `$XDG_CONFIG_HOME/outcrop`."""
    return _directory("config", environment)


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """What can be fetched or built again: `OUTCROP_CACHE_DIR`, else `$XDG_CACHE_HOME/outcrop`."""
    return _directory("cache", environment)


def state_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """What this machine remembers (seen revisions, mounts): `OUTCROP_STATE_DIR`, else `$XDG_STATE_HOME/outcrop`."""
    return _directory("state", environment)


def runtime_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Sockets and locks that end with the session: `$XDG_RUNTIME_DIR/outcrop`, else one of this user's in the
    system's directory for temporary files."""
    base = environment.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(base) and os.access(base, os.W_OK):
        return Path(base) / "outcrop"
    # Few commands ask, and it takes longer to read than those commands to start.
    import tempfile

    return Path(tempfile.gettempdir()) / f"outcrop-{os.getuid()}"
