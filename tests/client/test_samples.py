"""Everything that the reference published reads as the reference's own client shows it."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outcrop.client.repository import CURRENT, OpenRepository, RevisionChoice
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import RepositoryName
from tests.client.reading import Reader
from tests.cvmfs.samples import DIRECTORY, expected
from tests.faulty_server import Site, serving

TEST, RMD = RepositoryName("test.example.org"), RepositoryName("rmd.example.org")

VARIANTS: dict[str, dict[bytes, bytes]] = {
    "test.example.org": {b"HOME": b"/root", b"CVMFS_TEST_VAR": b"from_env"},
    "test.example.org.tag-v1.0": {b"HOME": b"/root"},
}
"""The environment that the reference's client had when it recorded the answers."""

READINGS = {
    "sha1": ("test.example.org", TEST, CURRENT, "test.example.org"),
    "rmd160": ("rmd.example.org", RMD, CURRENT, "rmd.example.org"),
    "tag": ("test.example.org", TEST, RevisionChoice(tag="v1.0"), "test.example.org.tag-v1.0"),
    "revision": ("test.example.org", TEST, RevisionChoice(revision=2), "test.example.org.tag-v1.0"),
    "replica": ("s1.test", TEST, CURRENT, "test.example.org"),
}


def opened(reader: Reader, samples: Path, reading: str) -> OpenRepository:
    server, name, choice, _ = READINGS[reading]
    return reader.open(samples / server, name=name, key=DIRECTORY / "keys" / f"{name}.pub", choice=choice)


def answers(reading: str) -> dict[bytes, dict[str, Any]]:
    """The recorded answers by path."""
    return {_bytes(entry["path"]).rstrip(b"/"): entry for entry in expected(READINGS[reading][3])["entries"]}


def _bytes(text: str | dict[str, str]) -> bytes:
    return os.fsencode(text) if isinstance(text, str) else base64.b64decode(text["base64"])


def _chunk_list(text: str) -> list[tuple[str, int, int]]:
    rows = [line.split(",") for line in text.splitlines()[1:]]
    return [(digest, int(offset), int(size)) for digest, offset, size in rows]


@pytest.mark.parametrize("reading", READINGS)
def test_sample_reads_as_the_reference_shows_it(samples: Path, shared_reader: Reader, reading: str) -> None:
    known = answers(reading)
    with opened(shared_reader, samples, reading) as repository:
        tree = repository.tree
        found = dict(tree.walk())
        assert sorted(found) == sorted(known)
        for path, entry in found.items():
            answer = known[path]
            assert entry.mode == answer["st_mode"], path
            assert (entry.mtime, entry.mtime_ns or 0) == (answer["mtime"], answer["mtime_ns"]), path
            assert (entry.uid, entry.gid, entry.linkcount) == (answer["uid"], answer["gid"], answer["nlink"]), path
            xattrs = {key.decode(): base64.b64encode(value).decode() for key, value in entry.xattrs}
            assert xattrs == answer["xattrs_listed"], path
            if entry.is_directory:
                children = [child.name for child in tree.children(path)]
                assert children == sorted(_bytes(child) for child in answer["children"]), path
            elif entry.is_symlink:
                settings = VARIANTS.get(READINGS[reading][3], {})
                assert tree.symlink_target(entry, settings) == _bytes(answer["target"]), path
            elif entry.kind.is_device:
                assert [os.major(entry.size), os.minor(entry.size)] == answer["rdev"], path
            elif entry.is_file:
                pieces = tree.pieces(path, entry)
                digest = hashlib.sha256()
                for piece in pieces:
                    digest.update(repository.contents.local_file(piece).read_bytes())
                assert (digest.hexdigest(), entry.size) == (answer["sha256"], answer["size"]), path
                chunks = [(str(piece.object.digest), piece.offset, piece.size) for piece in pieces]
                assert chunks == _chunk_list(answer["magic"]["user.chunk_list"]), path
                assert entry.compression.name.lower() == answer["magic"]["user.compression"]


@pytest.mark.parametrize("reading", ["sha1", "rmd160", "tag"])
def test_names_of_one_file_are_those_that_the_reference_shows(
    samples: Path, shared_reader: Reader, reading: str
) -> None:
    groups: dict[object, list[str]] = {}
    with opened(shared_reader, samples, reading) as repository:
        for path, entry in repository.tree.walk():
            if entry.hardlink_group:
                groups.setdefault((path.rpartition(b"/")[0], entry.hardlink_group), []).append(os.fsdecode(path))
    assert sorted(groups.values()) == sorted(expected(READINGS[reading][3])["hardlink_groups"])


def test_revisions_that_are_bound_into_the_tree_can_be_read(samples: Path, shared_reader: Reader) -> None:
    with opened(shared_reader, samples, "rmd160") as repository:
        tree = repository.tree
        tags = {tag.name: tag for tag in repository.tags()}
        shown = [entry.name.decode() for entry in tree.children(b"/.cvmfs/snapshots")]
        assert shown
        for name in shown:
            below = b"/.cvmfs/snapshots/" + name.encode()
            names = [entry.name for entry in tree.children(below)]
            if name in tags:
                choice = RevisionChoice(root_catalog=tags[name].root_catalog)
                with shared_reader.open(
                    samples / RMD, name=RMD, key=DIRECTORY / "keys" / f"{RMD}.pub", choice=choice
                ) as old:
                    assert names == [entry.name for entry in old.tree.children(b"")]
            for located in tree.walk(below):
                if located.entry.is_file:
                    repository.contents.ensure(tree.pieces(located.path, located.entry))


def test_sample_reads_the_same_over_http(samples: Path, reader: Reader) -> None:
    files = {str(path.relative_to(samples)): path.read_bytes() for path in (samples / RMD).rglob("*") if path.is_file()}
    with (
        serving(Site(files)) as url,
        reader.open(f"{url}/{RMD}", name=RMD, key=DIRECTORY / "keys" / f"{RMD}.pub") as repository,
    ):
        found = dict(repository.tree.walk())
        assert sorted(found) == sorted(answers("rmd160"))
        repository.contents.ensure(
            piece
            for path, entry in found.items()
            if stat.S_ISREG(entry.mode)
            for piece in repository.tree.pieces(path, entry)
        )


def test_replica_under_its_alias_says_which_name_to_give(samples: Path, reader: Reader) -> None:
    from outcrop.errors import TrustError

    with pytest.raises(TrustError) as caught:
        reader.open(samples / "s1.test", name=RepositoryName("s1.test"), key=DIRECTORY / "keys" / f"{TEST}.pub")
    assert "--fqrn test.example.org" in caught.value.hint


def test_root_hash_of_the_reference_is_the_root(samples: Path, shared_reader: Reader) -> None:
    for reading in READINGS:
        with opened(shared_reader, samples, reading) as repository:
            answer = expected(READINGS[reading][3])["root_magic"]["user.root_hash"]
            assert repository.root.digest == Digest.parse(answer)


@pytest.fixture(autouse=True)
def _nothing_is_told(shared_reader: Reader) -> Iterator[None]:
    yield
    assert shared_reader.told == []
