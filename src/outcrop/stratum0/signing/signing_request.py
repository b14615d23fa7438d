"""A whitelist that waits for its signature, as a small text file that people can read.

    # comments: what this is, and the commands that sign it
    outcrop-signing-request: 1
    repository: software.example.org
    expires: 2026-12-21 12:00:00 UTC
    digest: 3f1c…
    --- whitelist
    <the exact text that is signed for, see outcrop.cvmfs.whitelist>
    --- end

The digest is that of the text between the two lines; what is signed is the digest's own text. The repository and the
date are in the text as well: a request whose two halves disagree is refused, so what people read is what they sign.
"""

from __future__ import annotations

from dataclasses import dataclass

from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.signed_text import digest_for_signing
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import FormatError, TrustError

MAXIMUM_REQUEST_BYTES = 64 * 1024
"""A request has 1 to 2 kB."""

_VERSION = "1"
_BEGIN, _END = "--- whitelist", "--- end"
_FIELDS = ("outcrop-signing-request", "repository", "expires", "digest")
_OPENSSL = {Algorithm.SHA1: "-sha1", Algorithm.RMD160: "-rmd160", Algorithm.SHAKE128: "-shake128 -xoflen 20"}
_INTRODUCTION = """\
# A whitelist of {name} that waits for the signature of its master key.
#
# It lets the certificates with the fingerprints below publish {name} until {expires}.
# Sign it only if you know from its owner that this is wanted.
#
# With Outcrop, on the machine with the master key:
#   outcrop repo resign {name} --sign-request THIS_FILE --master-key {name}.masterkey --signature {name}.signature
#
# With OpenSSL alone; the first command must print the digest below (without `-rmd160` or `-shake128`):
#   sed -n '/^{begin}$/,/^{end}$/{{//!p}}' THIS_FILE | openssl dgst {option}
#   printf %s {digest} | openssl pkeyutl -sign -inkey {name}.masterkey -out {name}.signature
#
# Then, on the machine with the repository:
#   outcrop repo resign {name} --import-signature {name}.signature THIS_FILE

"""


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A whitelist to be signed, with the digest algorithm of its repository."""

    whitelist: Whitelist
    algorithm: Algorithm

    @property
    def text(self) -> bytes:
        """The exact text of the whitelist."""
        return self.whitelist.encode()

    @property
    def digest(self) -> Digest:
        """The digest whose text is signed."""
        return digest_for_signing(self.text, self.algorithm)

    def encode(self) -> bytes:
        """The file."""
        introduction = _INTRODUCTION.format(
            name=self.whitelist.repository,
            expires=self._expires,
            begin=_BEGIN,
            end=_END,
            option=_OPENSSL[self.algorithm],
            digest=self.digest,
        )
        values = (_VERSION, self.whitelist.repository, self._expires, self.digest.text)
        head = "".join(f"{field}: {value}\n" for field, value in zip(_FIELDS, values, strict=True))
        return f"{introduction}{head}{_BEGIN}\n{self.text.decode('ascii')}{_END}\n".encode()

    @property
    def _expires(self) -> str:
        return f"{self.whitelist.expires:%Y-%m-%d %H:%M:%S} UTC"

    @classmethod
    def parse(cls, data: bytes, what: str) -> SigningRequest:
        """The request in the bytes of a file; FormatError if it is none, TrustError if it contradicts itself."""
        values, text = _halves(data, what)
        if values["outcrop-signing-request"] != _VERSION:
            raise FormatError(what=what, field="its version", problem=f"is not {_VERSION}")
        stated = Digest.parse(values["digest"], what=what, field="the digest")
        request = cls(Whitelist.parse(text), stated.algorithm)
        if request.text != text:
            raise FormatError(what=what, field="the whitelist", problem="is not written as whitelists are")
        contradictions = {
            "digest": request.digest.text,
            "repository": request.whitelist.repository,
            "expires": request._expires,
        }
        for field, true in contradictions.items():
            if values[field] != true:
                raise TrustError(
                    what=what,
                    problem=f"its {field} is given as {values[field][:80]!r}, but the whitelist in it has {true!r}",
                    hint="somebody changed it on its way; export another with `outcrop repo resign --export-request`",
                )
        return request


def _halves(data: bytes, what: str) -> tuple[dict[str, str], bytes]:
    """The values of the head, and the whitelist's text."""
    if len(data) > MAXIMUM_REQUEST_BYTES:
        raise FormatError(what=what, field="its length", problem=f"is over {MAXIMUM_REQUEST_BYTES} bytes")
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError(what=what, field="its text", problem="is not ASCII") from error
    if lines.count(_BEGIN) != 1 or lines[-2:] != [_END, ""]:
        raise FormatError(what=what, field="the whitelist", problem=f"is not between `{_BEGIN}` and `{_END}`")
    begin = lines.index(_BEGIN)
    values: dict[str, str] = {}
    for line in lines[:begin]:
        name, separator, value = line.partition(": ")
        if not line or line.startswith("#"):
            continue
        if not separator or name not in _FIELDS or name in values:
            raise FormatError(what=what, field=f"the line {line[:80]!r}", problem="does not belong there")
        values[name] = value
    missing = [name for name in _FIELDS if name not in values]
    if missing:
        raise FormatError(what=what, field=missing[0], problem="is missing")
    return values, "".join(line + "\n" for line in lines[begin + 1 : -2]).encode("ascii")
