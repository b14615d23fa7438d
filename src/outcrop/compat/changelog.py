"""A layer's changelog, `changelog.txt` of its record: who built it, when, why, and what is new against the one before.

    2026-06-15 12:30 UTC: software.example.org 2026.06 for x86_64, 246 packages of bookworm
    by Ada Lovelace <ada@example.org>

        libonig is mended

    Since the layer of 2026-06-01 09:00 UTC (4f1c09a7b2d31234):
      changed  libonig5 6.9.8-1 -> 6.9.8-1+deb12u1

The newest entry is the first; those of the layer before follow. All users read it, so it says only what its builder
says of themselves: no account, no machine, no address that may be somebody's secret.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

CHANGELOG_FILE = "changelog.txt"

_PUBLIC = "debian.org"
_NOT_TOLD = "a mirror that is not named"
_INDENT = "    "


@dataclass(frozen=True, slots=True)
class LayerContents:
    """What a lock names: versions by package, of `release`, from `sets`."""

    release: str
    sets: tuple[str, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EarlierLayer:
    """A layer that another one follows: how it is called in a sentence, what it is made of, and its own changelog."""

    name: str
    contents: LayerContents
    changelog: str = ""


@dataclass(frozen=True, slots=True)
class Occasion:
    """Who builds a layer and why, in their own words, and what it follows, if that is known; `mirrors` are the
    addresses that packages may come from."""

    author: str = ""
    message: str = ""
    since: EarlierLayer | None = None
    mirrors: tuple[str, ...] = ()

    @property
    def told_author(self) -> str:
        """The author in one line."""
        return " ".join(self.author.split())


UNTOLD = Occasion()
"""Nobody says anything."""


@dataclass(frozen=True, slots=True)
class PackageChange:
    """A package has the version `after` instead of `before`; either is empty where the package is not there."""

    name: str
    before: str
    after: str


def package_changes(before: LayerContents, after: LayerContents) -> tuple[PackageChange, ...]:
    """What is not the same in two layers, in the order of the names."""
    return tuple(
        PackageChange(name, before.versions.get(name, ""), after.versions.get(name, ""))
        for name in sorted(before.versions.keys() | after.versions.keys())
        if before.versions.get(name) != after.versions.get(name)
    )


def changelog(layer: str, contents: LayerContents, occasion: Occasion, moment: datetime) -> str:
    """The changelog of the layer that is called `layer` in a sentence, and that was built at `moment`, in UTC."""
    lines = [f"{moment:%Y-%m-%d %H:%M} UTC: {layer}, {len(contents.versions)} packages of {contents.release}"]
    lines.append(f"by {occasion.told_author}" if occasion.told_author else "by somebody who is not named")
    if occasion.message.strip():
        lines += ["", textwrap.indent(occasion.message.strip(), _INDENT)]
    lines.append("")
    if occasion.since is None:
        lines.append("No layer before it was named.")
    else:
        lines += _since(occasion.since, contents)
    text = "\n".join(lines) + "\n"
    earlier = occasion.since.changelog.strip("\n") if occasion.since else ""
    return f"{text}\n{earlier}\n" if earlier else text


def _since(earlier: EarlierLayer, contents: LayerContents) -> Iterable[str]:
    before = earlier.contents
    changes = package_changes(before, contents)
    told = [f"  sets     {' '.join(before.sets)} -> {' '.join(contents.sets)}"] if before.sets != contents.sets else []
    told += [f"  {_told(one)}" for one in changes]
    return [f"Since {earlier.name}:", *told] if told else [f"The packages are those of {earlier.name}."]


def _told(change: PackageChange) -> str:
    if not change.before:
        return f"added    {change.name} {change.after}"
    if not change.after:
        return f"removed  {change.name} {change.before}"
    return f"changed  {change.name} {change.before} -> {change.after}"


def told_mirrors(urls: Iterable[str]) -> tuple[str, ...]:
    """The names of mirrors that everybody may know, each once: Debian's own. Of another one neither the host is told
    nor what else is in its address, which may be a password: packages are proven by digests, whoever had them."""
    hosts = (urlsplit(url).hostname or "" for url in urls)
    names = [host if host == _PUBLIC or host.endswith(f".{_PUBLIC}") else _NOT_TOLD for host in hosts]
    return tuple(dict.fromkeys(names))
