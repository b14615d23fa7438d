"""Which package mirrors apt uses on this machine, read from its source lists.

Both forms are read: one-line (`deb [options] URI SUITE COMPONENT…`) and deb822 stanzas (`URIs:`, `Suites:` …).
Format: sources.list(5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from outcrop.errors import storage_error

READABLE_SCHEMES = ("http://", "https://", "file:/")
"""What we can fetch from; `cdrom:`, `mirror+…` and helpers of apt's own are not."""

SECURITY_SUITE = "-security"


@dataclass(frozen=True, slots=True)
class AptSource:
    """One enabled entry: an archive's address without a final slash, and its suites and components."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


def parse_one_line(text: str) -> tuple[AptSource, ...]:
    """The entries of a file in the one-line form. Lines that apt would not understand either are left out."""
    found = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 3 or words[0] not in ("deb", "deb-src"):
            continue
        position = 1
        if words[1].startswith("["):
            position = next((at + 1 for at, word in enumerate(words) if word.endswith("]")), len(words))
        if len(words) >= position + 2:
            found.append(AptSource(words[position].rstrip("/"), (words[position + 1],), tuple(words[position + 2 :])))
    return tuple(found)


def parse_deb822(text: str) -> tuple[AptSource, ...]:
    """The enabled entries of a `.sources` file."""
    found = []
    for stanza in _stanzas(text):
        if stanza.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        found += [
            AptSource(
                uri.rstrip("/"), tuple(stanza.get("suites", "").split()), tuple(stanza.get("components", "").split())
            )
            for uri in stanza.get("uris", "").split()
        ]
    return tuple(found)


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    stanza: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza, name = {}, ""
        elif line[0].isspace():
            if name:
                stanza[name] += " " + line.strip()
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            stanza[name] = value.strip()


def package_mirrors(sources: Iterable[AptSource]) -> tuple[str, ...]:
    """The addresses where a whole distribution may lie, each once, in apt's order.

    Archives of security updates hold no whole release; entries without components are flat repositories.
    """
    wanted = (
        source.uri
        for source in sources
        if source.uri.startswith(READABLE_SCHEMES)
        and source.components
        and any(not suite.endswith((SECURITY_SUITE, "/")) and "/" not in suite for suite in source.suites)
    )
    return tuple(dict.fromkeys(wanted))


def read_apt_sources(directory: Path = Path("/etc/apt")) -> tuple[AptSource, ...]:
    """All entries of this machine; none where it has no apt. StorageError when a list cannot be read."""
    found: list[AptSource] = []
    lists = [directory / "sources.list", *sorted((directory / "sources.list.d").glob("*"))]
    for path in lists:
        if not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise storage_error(error) from error
        if path.suffix == ".sources":
            found += parse_deb822(text)
        elif path.suffix == ".list":
            found += parse_one_line(text)
    return tuple(found)
