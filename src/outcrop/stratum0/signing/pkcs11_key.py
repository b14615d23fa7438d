"""A master key on a PKCS#11 token: SoftHSM, a smart card, a YubiKey (slot 9c of its PIV application, by ykcs11).

The mechanism is CKM_RSA_PKCS on the bare text, which is what whitelists are signed with. python-pkcs11 is an extra
(`outcrop[pkcs11]`) and imported where it is needed only.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from outcrop.errors import InvalidValue, MissingCapability, NotFound, OutcropError, StorageError
from outcrop.stratum0.signing.pkcs11_uri import TokenUri

if TYPE_CHECKING:
    import pkcs11

PrivateKey = Any
"""python-pkcs11 puts the classes of keys together at run time, from what each key can do: its types do not tell."""

PIN_VARIABLE = "OUTCROP_PKCS11_PIN"
MODULE_VARIABLE = "OUTCROP_PKCS11_MODULE"

_MODULES = (
    "softhsm/libsofthsm2.so",
    "pkcs11/libsofthsm2.so",
    "libykcs11.so",
    "libykcs11.so.2",
    "pkcs11/libykcs11.so",
    "opensc-pkcs11.so",
    "pkcs11/opensc-pkcs11.so",
)
_DIRECTORIES = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
)
"""Where distributions put the modules of SoftHSM, Yubico and OpenSC."""

AskPin = Callable[[str], str]
"""Gives the PIN of the token that it is told the name of."""


def pin_from_environment(token: str, environment: Mapping[str, str] = os.environ) -> str:
    """The PIN in OUTCROP_PKCS11_PIN; MissingCapability if it is not there."""
    pin = environment.get(PIN_VARIABLE, "")
    if not pin:
        raise MissingCapability(
            what=f"the PIN of {token}",
            problem=f"{PIN_VARIABLE} is not set, and there is no terminal to ask on",
            hint=f"set {PIN_VARIABLE}, or type the command on a terminal",
        )
    return pin


@dataclass(frozen=True, slots=True)
class TokenAccess:
    """How tokens are reached: `module` is the library that speaks to them (empty to look for it)."""

    module: str = ""
    ask_pin: AskPin = pin_from_environment


@dataclass(frozen=True, slots=True)
class TokenMasterKey:
    """A master key on a token, as long as its session is open."""

    place: str
    public_key: rsa.RSAPublicKey
    _key: PrivateKey = field(repr=False)
    _pin_for_each: str | None = field(repr=False)
    """The PIN, for a key that asks for it at every signature."""

    def sign(self, digest_text: bytes) -> bytes:
        from pkcs11 import Mechanism

        with _token_errors(self.place):
            return bytes(self._key.sign(digest_text, mechanism=Mechanism.RSA_PKCS, pin=self._pin_for_each))


@contextmanager
def open_token_key(uri: TokenUri, access: TokenAccess) -> Iterator[TokenMasterKey]:
    """The private key that `uri` names, for the block. NotFound, InvalidValue, StorageError or MissingCapability say
    what is missing or wrong."""
    with _session(uri, access, writable=False) as (session, pin):
        with _token_errors(uri.token_name):
            key = _private_key(session, uri)
            if key is None:
                raise NotFound(
                    what=f"the key {uri.text}",
                    hint="`pkcs11-tool --login --list-objects --token-label "
                    f"{shlex.quote(uri.token)}` lists what is there",
                )
            found = TokenMasterKey(uri.text, _public_half(key), key, pin if _asks_each_time(key) else None)
        yield found


def import_token_key(uri: TokenUri, key: rsa.RSAPrivateKey, access: TokenAccess) -> bool:
    """Puts `key` on the token, unless a key of that name is there; returns whether it was put there.

    StorageError if the token takes no keys this way: a YubiKey wants `ykman piv keys import`."""
    from pkcs11 import Attribute
    from pkcs11.util.rsa import decode_rsa_private_key, decode_rsa_public_key

    der = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public_der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    name = {Attribute.TOKEN: True, Attribute.LABEL: uri.object, Attribute.ID: uri.id or uri.object.encode()}
    secret = {Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
    with _session(uri, access, writable=True) as (session, _), _token_errors(uri.token_name):
        if _private_key(session, uri) is not None:
            return False
        session.create_object({**decode_rsa_private_key(der), **name, **secret})
        session.create_object({**decode_rsa_public_key(public_der), **name})
        return True


@contextmanager
def _session(uri: TokenUri, access: TokenAccess, *, writable: bool) -> Iterator[tuple[pkcs11.Session, str]]:
    token = _token(uri, access)
    pin = access.ask_pin(uri.token_name)
    with ExitStack() as stack:
        with _token_errors(uri.token_name):
            session = stack.enter_context(token.open(rw=writable, user_pin=pin))
        yield session, pin


def _token(uri: TokenUri, access: TokenAccess) -> pkcs11.Token:
    """The one token that `uri` names, on the first module that has it."""
    asked = _modules(uri, access)
    for module in asked:
        with _token_errors(f"the PKCS#11 module {module}"):
            found: list[pkcs11.Token] = [token for token in _library(module).get_tokens() if _is_meant(token, uri)]
        if len(found) > 1:
            raise InvalidValue(
                what=f"the PKCS#11 URI {uri.text!r}",
                problem=f"fits {len(found)} tokens",
                hint=f"add the serial number, as in `serial={found[0].serial.decode('utf-8', 'replace')}`",
            )
        if found:
            return found[0]
    raise NotFound(
        what=f"{uri.token_name} on {', '.join(map(str, asked))}",
        hint=f"plug it in, or name its module in {MODULE_VARIABLE}; `pkcs11-tool --list-slots` shows what is there",
    )


def _is_meant(token: pkcs11.Token, uri: TokenUri) -> bool:
    wanted = (uri.token, uri.manufacturer, uri.model, uri.serial)
    has = (token.label, token.manufacturer_id, token.model, token.serial.decode("utf-8", "replace").strip("\0 "))
    return all(not one or one == other for one, other in zip(wanted, has, strict=True))


def _modules(uri: TokenUri, access: TokenAccess) -> list[Path]:
    named = uri.module_path or access.module or os.environ.get(MODULE_VARIABLE, "")
    if named:
        if not Path(named).is_file():
            raise NotFound(what=f"the PKCS#11 module {named}", hint=f"correct {MODULE_VARIABLE} or `pkcs11_module`")
        return [Path(named)]
    found = list(_distinct(Path(directory, name) for name in _MODULES for directory in _DIRECTORIES))
    if not found:
        raise MissingCapability(
            what="a PKCS#11 module",
            problem="none lies where distributions put them",
            hint=f"install that of your token (ykcs11, opensc-pkcs11, softhsm2), or name it in {MODULE_VARIABLE}",
        )
    return found


def _distinct(candidates: Iterable[Path]) -> Iterator[Path]:
    """Those of `candidates` that are there, each file once."""
    seen = set()
    for path in candidates:
        if path.is_file() and path.resolve() not in seen:
            seen.add(path.resolve())
            yield path


def _library(module: Path) -> Any:
    try:
        import pkcs11
    except ImportError as error:
        raise MissingCapability(
            what="python-pkcs11", problem="it is not installed", hint="`pip install 'outcrop[pkcs11]'`"
        ) from error
    return pkcs11.lib(str(module))


def _private_key(session: pkcs11.Session, uri: TokenUri) -> PrivateKey | None:
    from pkcs11 import Attribute, KeyType, ObjectClass

    wanted: dict[Attribute, object] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.KEY_TYPE: KeyType.RSA}
    if uri.object:
        wanted[Attribute.LABEL] = uri.object
    if uri.id:
        wanted[Attribute.ID] = uri.id
    found = list(session.get_objects(wanted))
    if len(found) > 1:
        raise InvalidValue(
            what=f"the PKCS#11 URI {uri.text!r}",
            problem=f"fits {len(found)} keys",
            hint="add the label or the id of the key that is meant, as in `object=software.example.org` or `id=%02`",
        )
    return found[0] if found else None


def _public_half(key: PrivateKey) -> rsa.RSAPublicKey:
    from pkcs11 import Attribute

    modulus, exponent = (int.from_bytes(key[name], "big") for name in (Attribute.MODULUS, Attribute.PUBLIC_EXPONENT))
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _asks_each_time(key: PrivateKey) -> bool:
    """Whether the key wants the PIN at every signature, as that in a YubiKey's slot 9c does."""
    from pkcs11 import Attribute
    from pkcs11.exceptions import PKCS11Error

    try:
        return bool(key[Attribute.ALWAYS_AUTHENTICATE])
    except PKCS11Error:
        return False  # an attribute that older tokens do not know


@contextmanager
def _token_errors(what: str) -> Iterator[None]:
    """The border to python-pkcs11."""
    try:
        yield
    except OutcropError:
        raise
    except RuntimeError as error:  # PKCS11Error is one; a module that cannot be loaded raises the plain one
        raise _translated(error, what) from error


_LOCKED = "after a few wrong ones the token locks itself; `pkcs11-tool --list-slots` shows its state"


def _translated(error: RuntimeError, what: str) -> OutcropError:
    match type(error).__name__:
        case "PinIncorrect" | "PinInvalid" | "PinLenRange":
            return InvalidValue(what=f"the PIN for {what}", problem="is wrong", hint=f"try again with care: {_LOCKED}")
        case "PinLocked":
            return InvalidValue(
                what=f"the PIN for {what}", problem="is locked", hint="unlock it with the token's own tool and its PUK"
            )
        case "UserPinNotInitialized":
            return InvalidValue(what=what, problem="has no PIN yet", hint="set one with the token's own tool")
        case kind:
            reason = f"{kind}: {error}" if str(error) else kind
            return StorageError(
                what=what,
                problem=f"does not do what is asked of it ({reason})",
                hint="`pkcs11-tool --list-slots` and `--list-mechanisms` show what it can do",
            )
