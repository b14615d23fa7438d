"""Easystack files: which easyconfigs a stack installs, one file an EasyBuild version and toolchain.

    easyconfigs:
      - seqtk-1.4-GCC-12.2.0.eb
      - lz4-1.9.4-GCCcore-12.2.0.eb:
          options:
            parallel-extensions-install: True

The file's name carries the version of EasyBuild: `eessi-2026.06-eb-5.4.1-001-system.yml`.
Format: EasyBuild documentation, "Easystack files". Names: EESSI's software layer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from outcrop.errors import FormatError, MissingCapability, NotFound, storage_error

_FILE_NAME = re.compile(
    r"(?P<stack>[a-z0-9][a-z0-9_]*)-(?P<version>20[0-9]{2}\.[0-9]{2})-eb-(?P<easybuild>[0-9]+(?:\.[0-9]+)*)-(?P<label>.+)\.yml"
)

EASYCONFIG_SUFFIX = ".eb"


@dataclass(frozen=True, slots=True)
class EasystackItem:
    """One easyconfig to install; `options` are the names of the EasyBuild options that it asks for."""

    easyconfig: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Easystack:
    """One easystack file; `easybuild` is the version that its name asks for, where it asks for one."""

    path: Path
    items: tuple[EasystackItem, ...]
    easybuild: str | None = None


def easybuild_version_in(file_name: str) -> str | None:
    """The version of EasyBuild that the name of an easystack file asks for."""
    match = _FILE_NAME.fullmatch(file_name)
    return match["easybuild"] if match else None


def easystack_file_name(stack: str, version: str, easybuild: str, label: str) -> str:
    """The name of an easystack file: `label` is `001-system` or a toolchain such as `GCC-12.2.0`."""
    return f"{stack}-{version}-eb-{easybuild}-{label}.yml"


def parse_easystack(text: str, path: Path) -> Easystack:
    """The easystack that `text` (the contents of `path`) holds; FormatError names the item that is wrong."""
    try:
        import yaml
    except ImportError:
        raise MissingCapability(
            what="PyYAML", problem="Python cannot import it", hint="`pip install outcrop[build]` brings it"
        ) from None

    def refuse(field: str, problem: str) -> NoReturn:
        raise FormatError(what=str(path), field=field, problem=problem, hint=f"mend {path} and try again")

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        refuse("the YAML", f"cannot be read: {' '.join(str(error).split())}")
    if not isinstance(document, dict) or "easyconfigs" not in document:
        refuse("easyconfigs", "is missing")
    listed = document["easyconfigs"]
    if not isinstance(listed, list) or not listed:
        refuse("easyconfigs", "is not a list with at least one easyconfig")
    items = []
    for number, entry in enumerate(listed, start=1):
        where = f"item {number} of easyconfigs"
        name: object = entry
        settings: object = None
        if isinstance(entry, dict) and len(entry) == 1:
            ((name, settings),) = entry.items()
        if not isinstance(name, str) or not name or "/" in name:
            refuse(where, f"is neither an easyconfig's name nor a name with options: {name!r}")
        options: object = {}
        if settings is not None:
            if not isinstance(settings, dict) or set(settings) - {"options"}:
                refuse(where, "may only carry `options`")
            options = settings.get("options") or {}
        if not isinstance(options, dict) or any(type(option) is not str for option in options):
            refuse(where, "has options that are not a mapping from names to values")
        full_name = name if name.endswith(EASYCONFIG_SUFFIX) else name + EASYCONFIG_SUFFIX
        items.append(EasystackItem(full_name, tuple(options)))
    return Easystack(path, tuple(items), easybuild_version_in(path.name))


def read_easystack(path: Path) -> Easystack:
    """The easystack in the file `path`; NotFound or FormatError."""
    try:
        return parse_easystack(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        raise NotFound(what=f"the easystack {path}", hint="check the path") from None
    except UnicodeDecodeError:
        raise FormatError(what=str(path), field="the file", problem="is not UTF-8 text") from None
    except OSError as error:
        raise storage_error(error) from error
