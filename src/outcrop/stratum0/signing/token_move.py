"""Moving the master key of a repository to a PKCS#11 token, or taking up one that is there already.

Nothing of the file is removed: only its owner can know whether the token is backed up.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import structs

from outcrop.cvmfs.signatures import is_whitelist_signature
from outcrop.errors import TrustError
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.settings import save_settings
from outcrop.stratum0.signing.key_files import read_private_key, read_public_key
from outcrop.stratum0.signing.master_key import open_master_key
from outcrop.stratum0.signing.pkcs11_key import TokenAccess, import_token_key
from outcrop.stratum0.signing.pkcs11_uri import TokenUri

_PROBE = b"the first signature of this token for a master key, over a text that is no digest"
"""Longer than any digest's text: what is signed here can be taken for no whitelist's signature."""


@dataclass(frozen=True, slots=True)
class TokenMove:
    """The move of a master key to the token that `uri` names."""

    uri: TokenUri
    from_file: bool

    def steps(self, repository: OwnedRepository) -> list[str]:
        """The plan, a line for each step."""
        files = repository.keys
        first = f"put {files.master_key} on {self.uri.token_name} as {self.uri.object!r}, unless such a key is there"
        return [
            *([first] if self.from_file else []),
            f"let {self.uri.text} sign, and hold that against {files.public_key}",
            "record the URI as the repository's master key",
        ]


def plan_token_move(repository: OwnedRepository, text: str) -> TokenMove:
    """The move to the token that the URI `text` names; a key without a name gets that of the repository."""
    uri = TokenUri.parse(text)
    if not uri.object and not uri.id:
        path, question, query = text.partition("?")
        uri = TokenUri.parse(f"{path};object={repository.name}{question}{query}")
    return TokenMove(uri, repository.keys.master_key.exists())


def move_to_token(repository: OwnedRepository, move: TokenMove, tokens: TokenAccess) -> bool:
    """Carries out `move`; returns whether the key was put on the token, rather than found there.

    TrustError, and the settings stay as they are, unless the token's key is the one that clients know."""
    files = repository.keys
    with repository.exclusively():
        public = read_public_key(files.public_key)
        imported = move.from_file and import_token_key(move.uri, read_private_key(files.master_key), tokens)
        with open_master_key(move.uri.text, tokens) as key:
            same = key.public_key.public_numbers() == public.public_numbers()
            if not same or not is_whitelist_signature(public, key.sign(_PROBE), _PROBE):
                raise TrustError(
                    what=f"the key {move.uri.text}",
                    problem=f"it is not the one whose public half is {files.public_key}",
                    hint=f"choose another label with `object=`, or give {repository.name} a new master key: "
                    f"`outcrop repo rotate {repository.name} --master`",
                )
        save_settings(files.directory, structs.replace(repository.settings, master_key=move.uri.text))
    return imported
