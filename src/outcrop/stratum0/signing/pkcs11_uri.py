"""Which key on which token: PKCS#11 URIs such as `pkcs11:token=outcrop;object=software.example.org`.

Source: RFC 7512. A PIN in the URI is refused: URIs end up in settings and process lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, unquote_to_bytes

from outcrop.errors import InvalidValue

SCHEME = "pkcs11:"
_FIELDS = frozenset({"token", "manufacturer", "model", "serial", "object"})
_EXAMPLE = "write it as in `pkcs11:token=outcrop;object=software.example.org`; `p11tool --list-tokens` shows tokens"


@dataclass(frozen=True, slots=True)
class TokenUri:
    """A key on a token. What is empty may be anything; `id` is the key's CKA_ID, `object` its label."""

    text: str
    token: str = ""
    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    object: str = ""
    id: bytes = b""
    module_path: str = ""

    @property
    def token_name(self) -> str:
        """What people call the token."""
        return f"the token {self.token or self.serial or self.model or self.manufacturer}"

    @classmethod
    def parse(cls, text: str) -> TokenUri:
        """The key that `text` names; InvalidValue if it is no such URI, or names no token."""
        if not text.startswith(SCHEME):
            raise _refusal(text, "does not begin with `pkcs11:`")
        path, _, query = text.removeprefix(SCHEME).partition("?")
        values = {**_attributes(text, path, ";"), **_attributes(text, query, "&")}
        if "pin-value" in values or "pin-source" in values:
            raise InvalidValue(
                what="the PKCS#11 URI",
                problem="holds a PIN, which would be kept where others see it",
                hint="leave it out: the PIN is asked for, or taken from OUTCROP_PKCS11_PIN",
            )
        if values.pop("type", "private") != "private":
            raise _refusal(text, "names something other than a private key (`type=private`)")
        identity, module_path = values.pop("id", ""), values.pop("module-path", "")
        unknown = sorted(set(values) - _FIELDS)
        if unknown:
            raise _refusal(text, f"has the attribute {unknown[0]!r}, which is not known here")
        found = {name: unquote(value) for name, value in values.items()}
        if not any(found.get(name) for name in _FIELDS - {"object"}):
            raise _refusal(text, "names no token")
        return cls(text, **found, id=unquote_to_bytes(identity), module_path=unquote(module_path))


def _attributes(text: str, part: str, separator: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for attribute in part.split(separator) if part else ():
        name, sign, value = attribute.partition("=")
        if not sign:
            raise _refusal(text, f"has the part {attribute!r} without a value")
        if name in found:
            raise _refusal(text, f"says {name!r} twice")
        found[name] = value
    return found


def _refusal(text: str, problem: str) -> InvalidValue:
    return InvalidValue(what=f"the PKCS#11 URI {text!r}", problem=problem, hint=_EXAMPLE)
