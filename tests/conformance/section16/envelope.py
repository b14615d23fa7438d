"""The signed text files, cut into their parts without judging them (sections 1 and 2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from .digests import Digest, decimal, optional_digest

SEPARATOR = b"\n--\n"


@dataclass(frozen=True, slots=True)
class SignedText:
    """A text, the hash line below it and the signature up to the end of the file."""

    body: bytes
    hash_line: bytes
    signature: bytes

    @property
    def lines(self) -> list[str]:
        """The body's lines without their ends; bytes above ASCII are kept apart by replacement."""
        return self.body.decode("ascii", "backslashreplace").split("\n")[:-1]

    @property
    def digest(self) -> Digest | None:
        return optional_digest(self.hash_line.decode("ascii", "backslashreplace"))


def cut(content: bytes) -> SignedText:
    """The parts of a signed file; raises ValueError where the separator or the hash line is missing."""
    body, separator, rest = content.partition(SEPARATOR)
    if not separator:
        raise ValueError("no line '--' between text and signature")
    hash_line, line_end, signature = rest.partition(b"\n")
    if not line_end:
        raise ValueError("the hash line does not end")
    return SignedText(body + b"\n", hash_line, signature)


@dataclass(frozen=True, slots=True)
class Manifest:
    """`.cvmfspublished`: the values by key letter, the last one winning, as a reader sees them."""

    signed: SignedText
    fields: dict[str, str] = field(default_factory=dict)
    repeated: tuple[str, ...] = ()

    def number(self, letter: str) -> int | None:
        """A field as a number; nothing where it is missing or not made of digits."""
        return decimal(self.fields.get(letter))

    def digest(self, letter: str) -> Digest | None:
        """A field as a digest; nothing where it is missing or malformed."""
        return optional_digest(self.fields.get(letter))


def parse_manifest(content: bytes) -> Manifest:
    """Raises ValueError where the file cannot be cut into its parts."""
    signed = cut(content)
    fields: dict[str, str] = {}
    repeated: list[str] = []
    for line in signed.lines:
        letter, value = line[:1], line[1:]
        if letter in fields:
            repeated.append(letter)
        fields[letter] = value
    return Manifest(signed, fields, tuple(repeated))


@dataclass(frozen=True, slots=True)
class Whitelist:
    """`.cvmfswhitelist` with its lines by position."""

    signed: SignedText
    issued: str
    expiry: str
    name: str
    options: tuple[str, ...]
    fingerprints: tuple[str, ...]


def parse_whitelist(content: bytes) -> Whitelist:
    """Raises ValueError where the file cannot be cut into its parts or has fewer than three lines."""
    signed = cut(content)
    issued, expiry, name, *rest = signed.lines
    options = tuple(line for line in rest if line[:1] in ("V", "W"))
    # A fingerprint's first letter is a hex digit, so it never looks like an option.
    fingerprints = tuple(line for line in rest if line[:1] not in ("V", "W"))
    return Whitelist(signed, issued, expiry, name, options, fingerprints)
