"""The whitelist `.cvmfswhitelist`: which certificates the owner of the master key lets publish, and until when.

    20261121020956                  time of issue, UTC, 14 digits
    E20261221020956                 end of validity, `E` and 14 digits
    Ntest.example.org               the repository
    Vpkcs7                          optional: the signature is in `.cvmfswhitelist.pkcs7` instead
    Wcachain                        optional: the certificate must also chain to a trusted authority
    F7:C8:…:0C[-RMD160] # comment   a fingerprint for each certificate

in a signed envelope (`signed_text`). Clients of the reference implementation compare the end of validity by the hour;
we compare it exactly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.fields import repository, timestamp, timestamp_text
from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import FormatError

_WHAT = "the whitelist"
_COMMENT = re.compile(r"[ \t#]")
_HEAD_LINES = 3


@dataclass(frozen=True, slots=True)
class Whitelist:
    """What a whitelist says. Dates are in UTC, with whole seconds."""

    repository: RepositoryName
    issued: datetime
    expires: datetime
    fingerprints: tuple[Digest, ...]
    demands_pkcs7: bool = False
    demands_certificate_chain: bool = False

    def encode(self) -> bytes:
        """The text to be signed."""
        lines = [timestamp_text(self.issued), "E" + timestamp_text(self.expires), f"N{self.repository}"]
        if self.demands_pkcs7:
            lines.append("Vpkcs7")
        if self.demands_certificate_chain:
            lines.append("Wcachain")
        lines += [_fingerprint_text(fingerprint) for fingerprint in self.fingerprints]
        return "".join(line + "\n" for line in lines).encode("ascii")

    @classmethod
    def parse(cls, text: bytes) -> Whitelist:
        """What `text` says; FormatError names the line that is missing or malformed."""
        try:
            lines = text.decode("utf-8").split("\n")
        except UnicodeDecodeError:
            raise FormatError(what=_WHAT, field="its text", problem="is not UTF-8") from None
        if lines.pop() != "":
            raise FormatError(what=_WHAT, field="its last line", problem="is not ended")
        if len(lines) < _HEAD_LINES:
            raise FormatError(what=_WHAT, field="its head", problem="has fewer than three lines")
        issued = timestamp(lines[0], what=_WHAT, field="line 1 (time of issue)")
        if not lines[1].startswith("E"):
            raise FormatError(what=_WHAT, field="line 2 (end of validity)", problem="does not begin with E")
        expires = timestamp(lines[1][1:], what=_WHAT, field="line 2 (end of validity)")
        if not lines[2].startswith("N"):
            raise FormatError(what=_WHAT, field="line 3 (repository name)", problem="does not begin with N")
        rest = lines[_HEAD_LINES:]
        demands_pkcs7 = rest[:1] == ["Vpkcs7"]
        rest = rest[demands_pkcs7:]
        demands_chain = rest[:1] == ["Wcachain"]
        rest = rest[demands_chain:]
        return cls(
            repository=repository(lines[2][1:], what=_WHAT, field="line 3 (repository name)"),
            issued=issued,
            expires=expires,
            fingerprints=tuple(_fingerprint(line) for line in rest if _COMMENT.split(line, maxsplit=1)[0]),
            demands_pkcs7=demands_pkcs7,
            demands_certificate_chain=demands_chain,
        )


def _fingerprint(line: str) -> Digest:
    text = _COMMENT.split(line, maxsplit=1)[0]
    return Digest.parse(text.replace(":", "").lower(), what=_WHAT, field=f"the fingerprint {text[:80]!r}")


def _fingerprint_text(fingerprint: Digest) -> str:
    digits = fingerprint.hexadecimal.upper()
    pairs = ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
    return pairs + fingerprint.algorithm.value.upper()
