"""The freshness record `.cvmfs_outcrop_freshness`: the publisher's word on what is current, good for a short time only.

A manifest never expires, so whoever stands between can show an old one for ever. The record lies beside it, names the
revision that was current when it was signed, and ends by itself. Clients and replicas of the reference ignore it.

ASCII lines of a key letter and a value, in the envelope of the manifest (`signed_text`), signed like a manifest with
the key of a certificate that the whitelist lists. Unknown letters are passed over, each letter comes once.

| letter | meaning |
|---|---|
| F | `outcrop-freshness-1`; the first line, which no manifest has, as no record has a manifest's line D |
| N, X | repository's name, digest of the certificate that signed |
| S, C | the current revision, its root catalog's digest |
| O | the oldest revision that a server may still show, because copies take their time |
| T, E | time of issue, end of validity, in seconds since 1970 |

That a repository has a record at all is said in its meta-information (`outcrop.cvmfs.metainfo`).
"""

from __future__ import annotations

from dataclasses import dataclass

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.fields import MAXIMUM_UINT64, MAXIMUM_UNIX_TIME, repository, unsigned
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.errors import FormatError

FRESHNESS_NAME = ".cvmfs_outcrop_freshness"

_WHAT = "the freshness record"
_FIRST_LINE = "Foutcrop-freshness-1"


@dataclass(frozen=True, slots=True)
class FreshnessRecord:
    """What a record says. Times are in seconds since 1970; `oldest` is not above `revision`."""

    repository: RepositoryName
    revision: Revision
    root_catalog: Digest
    oldest: Revision
    issued: int
    expires: int
    certificate: Digest

    def encode(self) -> bytes:
        """The text to be signed."""
        lines = [
            _FIRST_LINE,
            f"N{self.repository}",
            f"S{self.revision}",
            f"O{self.oldest}",
            f"C{self.root_catalog}",
            f"T{self.issued}",
            f"E{self.expires}",
            f"X{self.certificate}",
        ]
        return "".join(line + "\n" for line in lines).encode("ascii")

    @classmethod
    def parse(cls, text: bytes) -> FreshnessRecord:
        """What `text` says; FormatError names the line that is missing or malformed."""
        values = _values(text)

        def required(letter: str, meaning: str) -> str:
            if letter not in values:
                raise FormatError(what=_WHAT, field=f"line {letter} ({meaning})", problem="is missing")
            return values[letter]

        def number(letter: str, meaning: str, maximum: int) -> int:
            return unsigned(required(letter, meaning), what=_WHAT, field=f"line {letter} ({meaning})", maximum=maximum)

        def digest(letter: str, meaning: str) -> Digest:
            return Digest.parse(required(letter, meaning), what=_WHAT, field=f"line {letter} ({meaning})")

        record = cls(
            repository=repository(required("N", "repository name"), what=_WHAT, field="line N (repository name)"),
            revision=Revision(number("S", "revision", MAXIMUM_UINT64)),
            root_catalog=digest("C", "root catalog"),
            oldest=Revision(number("O", "oldest revision", MAXIMUM_UINT64)),
            issued=number("T", "time of issue", MAXIMUM_UNIX_TIME),
            expires=number("E", "end of validity", MAXIMUM_UNIX_TIME),
            certificate=digest("X", "certificate"),
        )
        if record.oldest > record.revision:
            raise FormatError(what=_WHAT, field="line O (oldest revision)", problem="is above the current revision")
        return record


def _values(text: bytes) -> dict[str, str]:
    try:
        lines = text.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise FormatError(what=_WHAT, field="its text", problem="is not ASCII") from None
    if lines.pop() != "":
        raise FormatError(what=_WHAT, field="its last line", problem="is not ended")
    if lines[:1] != [_FIRST_LINE]:
        raise FormatError(what=_WHAT, field="its first line", problem=f"is not {_FIRST_LINE}")
    values: dict[str, str] = {}
    for line in lines:
        if not line or line[0] in values:
            raise FormatError(what=_WHAT, field=f"the line {line[:40]!r}", problem="is empty or comes twice")
        values[line[0]] = line[1:]
    return values
