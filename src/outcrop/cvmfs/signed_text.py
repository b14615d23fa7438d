"""The envelope that manifests and whitelists share: a text, its digest, a signature over the digest's text.

    <text, ending in a newline>
    --
    <digest of the text, in hexadecimal with its tag>
    <signature: raw bytes to the end>

The separator is the first occurrence of the bytes `\\n--\\n`. Which padding the signature has differs between the two
(`outcrop.cvmfs.signatures`).
"""

from __future__ import annotations

from dataclasses import dataclass

from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.errors import FormatError, IntegrityError

MAXIMUM_SIGNED_TEXT_BYTES = 1024 * 1024
"""More than any manifest (under 1 kB) or whitelist (100 bytes a certificate) needs; keeps a lying server small."""

_SEPARATOR = b"\n--\n"


@dataclass(frozen=True, slots=True)
class SignedText:
    """A text with its digest, and the signature that somebody made over the digest's text."""

    text: bytes
    digest: Digest
    signature: bytes

    @property
    def signed_bytes(self) -> bytes:
        """What the signature is made over: the digest's text, without its newline."""
        return self.digest.text.encode("ascii")

    def encode(self) -> bytes:
        return b"%s--\n%s\n%s" % (self.text, self.signed_bytes, self.signature)

    @classmethod
    def parse(cls, data: bytes, what: str) -> SignedText:
        """Takes `data` apart; FormatError if it is no such envelope, IntegrityError if the digest does not fit."""
        if len(data) > MAXIMUM_SIGNED_TEXT_BYTES:
            raise FormatError(what=what, field="its length", problem=f"is over {MAXIMUM_SIGNED_TEXT_BYTES} bytes")
        position = data.find(_SEPARATOR)
        if position < 0:
            raise FormatError(what=what, field="the `--` line", problem="is missing")
        text = data[: position + 1]
        digest_line, newline, signature = data[position + len(_SEPARATOR) :].partition(b"\n")
        if not newline:
            raise FormatError(what=what, field="the digest line", problem="is not ended")
        digest = Digest.parse(digest_line.decode("latin-1"), what=what, field="the digest line")
        if not signature:
            raise FormatError(what=what, field="the signature", problem="is missing")
        if Digest.of(text, digest.algorithm) != digest:
            raise IntegrityError(what=what, problem="its text does not have the digest that it states")
        return cls(text, digest, signature)


def digest_for_signing(text: bytes, algorithm: Algorithm) -> Digest:
    """The digest whose text is to be signed for `text`, which must end in a newline."""
    if not text.endswith(b"\n"):
        raise FormatError(what="the text to sign", field="its end", problem="is not a newline")
    return Digest.of(text, algorithm)
