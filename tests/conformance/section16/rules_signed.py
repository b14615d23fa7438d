"""Rules for the manifest, the whitelist and the certificate (sections 1 and 2; 16.4 to 16.8, 16.13)."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from .catalog import Catalog
from .database import Text
from .digests import (
    NULL_DIGEST,
    Digest,
    algorithm_by_tag,
    digest_of,
    ends_with_type_letter,
    optional_digest,
    parse_digest,
)
from .envelope import Manifest, SignedText
from .findings import Violation, warning
from .inspection import MANIFEST, REFLOG, WHITELIST, Inspection
from .rsa import certificate_as_der, digest_info, public_key_of_certificate, recover_message
from .storage import ObjectError

_ROOT_PATH_HASH = "d41d8cd98f00b204e9800998ecf8427e"
"""MD5 of the empty path."""
_REQUIRED = "CRDSNX"
"""Key letters without which a client rejects a manifest."""
_KNOWN = "CBRDSGALNXHTMYZ"
_DIGESTS = "CXHMYL"
_NUMBERS = "BDST"
_DEFAULT_TTL = 240
"""Seconds that hold where the root catalog has no TTL."""

_EXPIRY_MARGIN = timedelta(hours=1)
_TIME_FORMAT = "%Y%m%d%H%M%S"
_FINGERPRINT = re.compile(
    r"(?P<octets>[0-9A-F]{2}(?::[0-9A-F]{2}){19})(?P<tag>(?:-[A-Z0-9]+)?)(?:[ \t#].*)?", re.IGNORECASE
)


def section_1_manifest(repository: Inspection) -> Iterator[Violation]:
    """The manifest has every field that clients ask for, each once and in its own type, for this repository's name.

    The root path hash is the MD5 of the empty path, the flags are yes or no, and the meta-info is a JSON object.
    """
    if repository.manifest is None:
        return
    for problem in _fields(repository.manifest, repository.fqrn):
        yield Violation("1.manifest", MANIFEST, problem)
    for problem in _ignored_fields(repository.manifest):
        yield warning("1.manifest", MANIFEST, problem)
    yield from _metainfo(repository.metainfo)
    if repository.manifest.fields.get("A") == "yes":
        yield from _bootstrap_links(repository.directory, repository.manifest)


def _fields(manifest: Manifest, fqrn: str) -> Iterator[str]:
    fields = manifest.fields
    for letter in _REQUIRED:
        if letter not in fields:
            yield f"no field {letter}"
    for letter in _NUMBERS:
        if letter in fields and manifest.number(letter) is None:
            yield f"{letter}: {fields[letter]!r} is no unsigned number"
    for letter in "GA":
        if fields.get(letter, "no") not in ("yes", "no"):
            yield f"{letter}: {fields[letter]!r} is neither yes nor no"
    if fields.get("R", _ROOT_PATH_HASH) != _ROOT_PATH_HASH:
        yield f"R: {fields['R']!r} is not the MD5 of the empty path"
    if fields.get("N", fqrn) != fqrn:
        yield f"N: {fields['N']!r} is not {fqrn!r}"


def _ignored_fields(manifest: Manifest) -> Iterator[str]:
    yield from (f"field {letter!r} is there more than once" for letter in manifest.repeated if letter != "Z")
    yield from (f"unknown field {letter!r}" for letter in manifest.fields if not letter or letter not in _KNOWN)


def _metainfo(content: bytes | None) -> Iterator[Violation]:
    try:
        if content is not None and not isinstance(json.loads(content), dict):
            yield Violation("1.manifest", f"{MANIFEST} M", "the meta-info is no JSON object")
    except (ValueError, RecursionError) as error:
        yield Violation("1.manifest", f"{MANIFEST} M", f"the meta-info is no JSON: {error}")


def _bootstrap_links(directory: Path, manifest: Manifest) -> Iterator[Violation]:
    for letter in "CX":
        digest = manifest.digest(letter)
        if digest and not (directory / f".cvmfsalt-{digest}{letter}").exists():
            yield Violation("0.bootstrap", MANIFEST, f"A is yes, but .cvmfsalt-{digest}{letter} is missing")


def rule_4_sizes_and_equalities(repository: Inspection) -> Iterator[Violation]:
    """Catalog objects are zlib streams; sizes are uncompressed ones; revision and time to live are said once.

    B is the size of the root catalog and a reference's size that of the catalog it names, both before compression;
    S equals the root catalog's property `revision` and D its `TTL`. (A catalog that is no zlib stream is reported
    under this rule when it is loaded.)
    """
    manifest, head = repository.manifest, repository.head
    if manifest and head:
        size = manifest.number("B")
        if size is not None and size != len(head.database.image):
            yield Violation("16.4", MANIFEST, f"B is {size}, the root catalog has {len(head.database.image)} bytes")
        if manifest.number("S") != head.number_property("revision"):
            yield Violation("16.4", MANIFEST, f"S is not the root catalog's {head.text_property('revision')!r}")
        ttl = head.number_property("TTL") if "TTL" in head.properties else _DEFAULT_TTL
        if manifest.number("D") != ttl:
            yield Violation("16.4", MANIFEST, f"D is {manifest.fields.get('D')!r}, the root catalog's TTL {ttl}")
    for catalog in repository.catalogs.values():
        for reference in (*catalog.nested, *catalog.bound):
            digest = optional_digest(reference.digest_text)
            if digest is None:
                continue
            where = f"{catalog.where} reference {reference.path!r}"
            try:
                size = repository.storage.content_size(digest, "C", compressed=True)
            except ObjectError as problem:
                yield Violation(problem.rule, where, str(problem))
                continue
            if size != reference.size:
                yield Violation("16.4", where, f"size is {reference.size}, the catalog has {size} bytes")


def rule_5_no_type_letters_in_texts(repository: Inspection) -> Iterator[Violation]:
    """Type letters stand in file names only, never in the texts of manifest, whitelist, catalogs, history or reflog.

    Every such text is lower-case hex followed by the tag of a known algorithm.
    """
    for where, text in _digest_texts(repository):
        if ends_with_type_letter(text):
            yield Violation("16.5", where, f"{text!r} ends with a type letter")
        elif optional_digest(text) is None:
            yield Violation("0.digest", where, f"{text!r} is no digest with a known algorithm")


def _digest_texts(repository: Inspection) -> Iterator[tuple[str, str]]:
    if repository.manifest:
        for letter in _DIGESTS:
            if letter in repository.manifest.fields:
                yield f"{MANIFEST} {letter}", repository.manifest.fields[letter]
    for where, file in ((MANIFEST, repository.manifest), (WHITELIST, repository.whitelist)):
        if file:
            yield f"{where} hash line", file.signed.hash_line.decode("ascii", "backslashreplace")
    for catalog in repository.catalogs.values():
        for reference in (*catalog.nested, *catalog.bound):
            yield f"{catalog.where} reference {reference.path!r}", reference.digest_text
        if previous := catalog.text_property("previous_revision"):
            yield f"{catalog.where} previous_revision", previous
    if repository.history:
        before = repository.history.pairs("properties", "key", "value").get("previous_revision")
        if isinstance(before, Text) and before:
            yield f"{repository.history.where} previous_revision", before.shown
    for tag in repository.tags:
        yield f"tag {tag.shown}", tag.digest_text
    for entry in repository.log:
        yield REFLOG, entry.digest_text


def rule_6_monotonic(repository: Inspection) -> Iterator[Violation]:
    """Revision and publish time never go backwards for a client that follows the repository.

    So no recorded root catalog or tag is newer than the manifest, and every catalog has a higher revision and no
    earlier modification than the one it replaces, as far as that one is still stored.
    """
    if repository.manifest:
        revision, published = repository.manifest.number("S"), repository.manifest.number("T")
        for tag in repository.tags:
            if revision is not None and isinstance(tag.revision, int) and tag.revision > revision:
                yield Violation("16.6", f"tag {tag.shown}", f"revision {tag.revision} is above S, {revision}")
            if published is not None and isinstance(tag.timestamp, int) and tag.timestamp > published:
                yield Violation("16.6", f"tag {tag.shown}", f"time {tag.timestamp} is after T, {published}")
        for entry in repository.log:
            digest = optional_digest(entry.digest_text)
            if entry.kind == 0 and digest and revision is not None:
                yield from _not_above(repository, REFLOG, digest, revision)
    for catalog in repository.catalogs.values():
        yield from _after_predecessor(repository, catalog)


def _not_above(repository: Inspection, where: str, digest: Digest, limit: int) -> Iterator[Violation]:
    try:
        revision = repository.root_facts(digest).revision
    except (ObjectError, ValueError, sqlite3.Error):
        return  # The rule for the reflog reports what cannot be read.
    if revision is not None and revision > limit:
        yield Violation("16.6", where, f"root catalog {digest} has revision {revision}, the manifest {limit}")


def _after_predecessor(repository: Inspection, catalog: Catalog) -> Iterator[Violation]:
    previous = optional_digest(catalog.text_property("previous_revision"))
    if previous is None or previous.hexadecimal == NULL_DIGEST or not repository.storage.exists(previous, "C"):
        return
    try:
        before = repository.root_facts(previous)
    except (ObjectError, ValueError, sqlite3.Error) as error:
        yield Violation("16.6", catalog.where, f"the catalog before it cannot be read: {error}")
        return
    revision, modified = catalog.number_property("revision"), catalog.number_property("last_modified")
    if revision is not None and before.revision is not None and revision <= before.revision:
        yield Violation("16.6", catalog.where, f"revision {revision} follows revision {before.revision}")
    if modified is not None and before.last_modified is not None and modified < before.last_modified:
        yield Violation("16.6", catalog.where, f"last_modified {modified} follows {before.last_modified}")


def rule_7_whitelist_lines(repository: Inspection) -> Iterator[Violation]:
    """The whitelist opens with issue time, expiry and name in fixed form, and lasts for more than another hour.

    The times are 14 digits, the second after an E, and the name is the repository's after an N. Clients compare
    whole hours, so the expiry counts from the beginning of its hour.
    """
    whitelist = repository.whitelist
    if whitelist is None:
        return
    if re.fullmatch(r"[0-9]{14}", whitelist.issued) is None:
        yield Violation("16.7", WHITELIST, f"line 1: {whitelist.issued!r} is not 14 digits")
    if re.fullmatch(r"E[0-9]{14}", whitelist.expiry) is None:
        yield Violation("16.7", WHITELIST, f"line 2: {whitelist.expiry!r} is not E and 14 digits")
    else:
        try:
            expiry = datetime.strptime(whitelist.expiry[1:], _TIME_FORMAT).replace(minute=0, second=0, tzinfo=UTC)
            if expiry - repository.now <= _EXPIRY_MARGIN:
                yield Violation("16.7", WHITELIST, f"expires at {expiry}, which is not an hour from {repository.now}")
        except ValueError as error:
            yield Violation("16.7", WHITELIST, f"line 2: {error}")
    if whitelist.name != f"N{repository.fqrn}":
        yield Violation("16.7", WHITELIST, f"line 3: {whitelist.name!r} is not {'N' + repository.fqrn!r}")


def rule_8_signatures(repository: Inspection) -> Iterator[Violation]:
    """Both hash lines fit their texts and are signed, each in its own way.

    The manifest's hash line is signed by the certificate's key with PKCS#1 v1.5 over SHA-1, whatever algorithm the
    repository uses. The whitelist's is signed by the master key with bare type-1 padding: the text itself stands in
    the block, without a DigestInfo. The line end is not signed.
    """
    if repository.manifest:
        signed = repository.manifest.signed
        yield from _hash_line(MANIFEST, signed)
        if repository.certificate is not None:
            try:
                key = public_key_of_certificate(repository.certificate)
                if recover_message(signed.signature, key) != digest_info(signed.hash_line):
                    yield Violation("16.8", MANIFEST, "the signature is not one over SHA-1 of the hash line")
            except ValueError as error:
                yield Violation("16.8", MANIFEST, str(error))
    if repository.whitelist:
        signed = repository.whitelist.signed
        yield from _hash_line(WHITELIST, signed)
        if "Vpkcs7" in repository.whitelist.options:
            yield warning("16.8", WHITELIST, "is verified by PKCS#7, which is not checked here")
        else:
            yield from _whitelist_signature(repository, signed)


def _hash_line(where: str, signed: SignedText) -> Iterator[Violation]:
    if signed.digest and digest_of(signed.body, signed.digest.algorithm) != signed.digest:
        yield Violation("16.8", where, "the hash line is not the digest of the text above it")


def _whitelist_signature(repository: Inspection, signed: SignedText) -> Iterator[Violation]:
    reasons = []
    for key in repository.public_keys:
        try:
            if recover_message(signed.signature, key) == signed.hash_line:
                return
            reasons.append("the signature holds another text than the hash line")
        except ValueError as error:
            reasons.append(str(error))
    yield Violation("16.8", WHITELIST, "; ".join(reasons) or "no public key to verify the signature with")


def rule_13_certificate(repository: Inspection) -> Iterator[Violation]:
    """The certificate is stored as PEM in a zlib object under X, and the whitelist has the fingerprint of its DER.

    The fingerprint's own tag names its algorithm: the samples list an RMD-160 one beside a SHA-1 object.
    """
    if repository.whitelist is None:
        return
    if not repository.whitelist.fingerprints:
        yield Violation("16.13", WHITELIST, "lists no certificate")
    listed: set[Digest] = set()
    for line in repository.whitelist.fingerprints:
        match = _FINGERPRINT.fullmatch(line)
        try:
            if match is None:
                raise ValueError("no fingerprint")
            tag = match["tag"].lower()
            algorithm_by_tag(tag)
            listed.add(parse_digest(match["octets"].replace(":", "").lower() + tag))
        except ValueError as error:
            yield Violation("16.13", WHITELIST, f"line {line!r}: {error}")
    if repository.certificate is None:
        return
    try:
        der = certificate_as_der(repository.certificate)
    except ValueError as error:
        yield Violation("16.13", f"{MANIFEST} X", f"no PEM certificate: {error}")
        return
    if not any(digest_of(der, digest.algorithm) == digest for digest in listed):
        yield Violation("16.13", WHITELIST, "does not list the certificate that signed the manifest")
