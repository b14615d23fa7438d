"""Rules for the two records of what was published: the history with its tags, and the reflog."""

from __future__ import annotations

from dataclasses import dataclass

from outcrop.cvmfs.database import digest_value, integer_value, sqlite_border, text_value, time_value
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.history import TRUNK, TRUNK_PREVIOUS, History
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.objects import REFLOG_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.reflog import Reference, ReferenceType, Reflog
from outcrop.errors import FormatError, NotFound, StorageError
from outcrop.stratum0.check.databases import empty_history, empty_reflog, header_problems, table_problems, waste
from outcrop.stratum0.check.findings import Findings, said
from outcrop.stratum0.check.problems import Kind
from outcrop.stratum0.check.reading import ObjectReader

LAST_SNAPSHOT_NAME = ".cvmfs_last_snapshot"
"""A replica has it. Its reflog is its own: the manifest, which it copies, speaks of the original's."""

KINDS = {
    ReferenceType.ROOT_CATALOG: ObjectKind.CATALOG,
    ReferenceType.CERTIFICATE: ObjectKind.CERTIFICATE,
    ReferenceType.HISTORY: ObjectKind.HISTORY,
    ReferenceType.METAINFO: ObjectKind.METAINFO,
}
"""What kind of object a reference of the reflog names."""

_MAIN_BRANCH = b""


@dataclass(frozen=True, slots=True)
class TaggedRoot:
    """A root catalog that a tag names, with what the tag says of it. `size` is in bytes before compression, 0 where it
    is not known."""

    tag: str
    root_catalog: Digest
    revision: int
    size: int


def check_history(
    reader: ObjectReader, manifest: Manifest, repository: RepositoryName, findings: Findings
) -> list[TaggedRoot]:
    """The roots that tags name, those that can be read; problems of the others are noted."""
    if manifest.history is None:
        return []
    name = ObjectName(manifest.history, ObjectKind.HISTORY)
    image = reader.inflated(name)
    if image is None:
        return []
    for problem in header_problems(image):
        findings.add(Kind.HISTORY, problem, name=name.path)
    for problem in waste(image):
        findings.add(Kind.ODDITY, problem, name=name.path)
    try:
        history = History.parse(image)
    except FormatError as error:
        findings.add(Kind.HISTORY, said(error), name=name.path)
        return []
    with history, findings.malformed(Kind.HISTORY, name=name.path):
        for problem in table_problems(history.connection, empty_history, 0, history.what):
            findings.add(Kind.HISTORY, problem, name=name.path)
        if history.properties.get("fqrn") != repository:
            detail = f"is the history of {history.properties.get('fqrn')!r}"
            findings.add(Kind.HISTORY, detail, name=name.path)
        if previous := history.properties.get("previous_revision"):
            with findings.malformed(Kind.HISTORY, name=name.path):
                Digest.parse(previous, field="the property previous_revision")
        return _tags(history, manifest, name.path, findings)
    return []


def _tags(history: History, manifest: Manifest, name: str, findings: Findings) -> list[TaggedRoot]:
    with sqlite_border(history.what):
        branches = {branch for (branch,) in history.connection.execute("SELECT branch FROM branches")}
        rows = history.connection.execute(
            "SELECT name, hash, revision, timestamp, channel, description, size, branch FROM tags ORDER BY name"
        ).fetchall()
    if _MAIN_BRANCH not in branches:
        findings.add(Kind.HISTORY, "has no main branch", name=name)
    tagged = []
    for raw_name, digest, revision, timestamp, channel, description, size, branch in rows:
        with findings.malformed(Kind.HISTORY, name=name):
            tag = text_value(raw_name, "", "a tag's name")
            if not tag or tag.split() != [tag]:
                findings.add(Kind.HISTORY, f"has a tag {tag!r}, with blanks in its name", name=name)
            if channel not in (0, None) or branch not in branches:
                findings.add(Kind.HISTORY, f"has the tag {tag} on an unknown channel or branch", name=name)
            text_value(b"" if description is None else description, "", f"the description of the tag {tag}")
            root = TaggedRoot(
                tag,
                digest_value(digest, "", f"the root catalog of the tag {tag}"),
                integer_value(revision, "", f"the revision of the tag {tag}"),
                integer_value(0 if size is None else size, "", f"the size of the tag {tag}"),
            )
            tagged.append(root)
            if root.revision > manifest.revision:
                findings.add(Kind.HISTORY, f"has the tag {tag} above revision {manifest.revision}", name=name)
            moment = time_value(timestamp, "", f"the time of the tag {tag}")
            if manifest.published_at is not None and moment > manifest.published_at:
                findings.add(Kind.HISTORY, f"has the tag {tag} of a time after the manifest's", name=name)
    _check_trunk({tag.tag: tag for tag in tagged}, manifest, name, findings)
    return tagged


def _check_trunk(tags: dict[str, TaggedRoot], manifest: Manifest, name: str, findings: Findings) -> None:
    trunk, previous = tags.get(TRUNK), tags.get(TRUNK_PREVIOUS)
    if trunk is not None and trunk.root_catalog != manifest.root_catalog:
        findings.add(Kind.HISTORY, "its tag trunk is not the root catalog of the manifest", name=name)
    if trunk is not None and previous is not None and previous.revision >= trunk.revision:
        findings.add(Kind.HISTORY, "its tag trunk-previous is not before trunk", name=name)


def check_reflog(
    reader: ObjectReader, manifest: Manifest, repository: RepositoryName, findings: Findings
) -> list[ObjectName]:
    """Every object that the reflog names, those that can be read; problems of the others are noted."""
    try:
        image = reader.store.read(REFLOG_NAME)
    except NotFound:
        if manifest.reflog is not None and not _is_replica(reader):
            findings.add(Kind.MISSING, "is missing, though the manifest names it", name=REFLOG_NAME)
        return []
    except StorageError as error:
        findings.add(Kind.UNREADABLE, str(error.fields.get("problem", error)), name=REFLOG_NAME)
        return []
    before = len(findings.problems)
    recorded = _reflog_objects(image, repository, findings)
    named = {reference.digest: reference.type for reference in recorded}
    objects = [ObjectName(reference.digest, KINDS[reference.type]) for reference in recorded]
    lost = [name for name in objects if not reader.store.exists(name.path)]
    for name in lost:
        findings.add(Kind.REFLOG_DIFFERS, f"names {name}, which is gone", name=REFLOG_NAME)
    if len(findings.problems) == before or lost:
        for kind, digest in _named_by(manifest).items():
            if named.get(digest) is not kind:
                detail = f"does not name the {kind.name.lower().replace('_', ' ')} {digest} of the manifest"
                findings.add(Kind.REFLOG, detail, name=REFLOG_NAME)
    if not _is_replica(reader):
        _check_digest(image, manifest, bool(lost), findings)
    return objects


def _check_digest(image: bytes, manifest: Manifest, has_lost: bool, findings: Findings) -> None:
    if manifest.reflog is None:
        findings.add(Kind.REFLOG, "is not named by the manifest", name=REFLOG_NAME)
    elif Digest.of(image, manifest.reflog.algorithm) != manifest.reflog:
        if has_lost:
            # A digit that was altered names an object that never was.
            findings.add(
                Kind.REFLOG, "is not the one that the manifest names, and names what is gone", name=REFLOG_NAME
            )
        else:
            detail = "is not the one that the manifest names, as after a publish that was interrupted"
            findings.add(Kind.REFLOG_DIFFERS, detail, name=REFLOG_NAME)


def _reflog_objects(image: bytes, repository: RepositoryName, findings: Findings) -> list[Reference]:
    for problem in header_problems(image):
        findings.add(Kind.REFLOG, problem, name=REFLOG_NAME)
    for problem in waste(image):
        findings.add(Kind.ODDITY, problem, name=REFLOG_NAME)
    try:
        reflog = Reflog.parse(image)
    except FormatError as error:
        findings.add(Kind.REFLOG, said(error), name=REFLOG_NAME)
        return []
    recorded = []
    with reflog, findings.malformed(Kind.REFLOG, name=REFLOG_NAME):
        for problem in table_problems(reflog.connection, empty_reflog, 0, reflog.what):
            findings.add(Kind.REFLOG, problem, name=REFLOG_NAME)
        with sqlite_border(reflog.what):
            owners = reflog.connection.execute("SELECT value FROM properties WHERE key = 'fqrn'").fetchall()
            rows = reflog.connection.execute("SELECT hash, type, timestamp FROM refs ORDER BY rowid").fetchall()
        if owners != [(repository.encode(),)]:
            findings.add(Kind.REFLOG, "is that of another repository", name=REFLOG_NAME)
        for digest, number, timestamp in rows:
            with findings.malformed(Kind.REFLOG, name=REFLOG_NAME):
                if number not in list(ReferenceType):
                    raise FormatError(what="", field="a reference's type", problem=f"is {number!r}")
                recorded.append(
                    Reference(
                        digest_value(digest, "", "a reference's digest"),
                        ReferenceType(number),
                        time_value(timestamp, "", "a reference's time"),
                    )
                )
    return recorded


def _named_by(manifest: Manifest) -> dict[ReferenceType, Digest]:
    named = {
        ReferenceType.ROOT_CATALOG: manifest.root_catalog,
        ReferenceType.CERTIFICATE: manifest.certificate,
        ReferenceType.HISTORY: manifest.history,
        ReferenceType.METAINFO: manifest.metainfo,
    }
    return {kind: digest for kind, digest in named.items() if digest is not None}


def _is_replica(reader: ObjectReader) -> bool:
    return reader.store.exists(LAST_SNAPSHOT_NAME)
