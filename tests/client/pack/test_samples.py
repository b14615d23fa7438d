"""Everything that the reference published reads the same from a pack of every form."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from outcrop.client.pack.content import RepositoryContents
from outcrop.client.pack.external_images import write_squashfs
from outcrop.client.pack.formats import form_of
from outcrop.client.pack.image import PackImage
from outcrop.client.pack.packing import PackRequest, pack
from outcrop.client.pack.selection import SelectionOptions, select_paths
from outcrop.client.pack.verification import verify_pack
from outcrop.client.repository import OpenRepository
from outcrop.cvmfs.paths import ROOT, RepositoryPath
from tests.client.pack.packs import NAMES, need_programs, unpacked
from tests.client.reading import Reader
from tests.client.test_samples import answers, opened

AT = RepositoryPath(b"/cvmfs/sample")
WITHOUT_SOCKETS = (".tar", ".gz", ".zst", ".squashfs", ".oci")
"""Forms that are made of an archive."""

pytestmark = pytest.mark.integration

as_root = os.geteuid() == 0


def image_of(repository: OpenRepository) -> PackImage:
    return PackImage(select_paths(repository.tree, [ROOT], SelectionOptions(owner=as_root)), AT)


def compare(root: Path, known: Mapping[bytes, Mapping[str, Any]], targets: Mapping[bytes, bytes], name: str) -> None:
    """Holds everything below `root` against what the reference's client showed."""
    top = os.fsencode(root) + AT
    found = {b"": os.lstat(top)}
    for directory, names, files in os.walk(top):
        for one in names + files:
            path = directory + b"/" + one
            found[path[len(top) :]] = os.lstat(path)
    assert set(found) == set(known) - left_out(known, name)
    for path, status in found.items():
        answer, full = known[path], top + path
        moment = answer["mtime"] * 10**9 + (0 if name.endswith(".squashfs") else answer["mtime_ns"])
        assert status.st_mtime_ns == moment, path
        if as_root:
            assert (status.st_mode, status.st_uid, status.st_gid) == (
                answer["st_mode"],
                answer["uid"],
                answer["gid"],
            ), path
            xattrs = {
                key: base64.b64encode(os.getxattr(full, key, follow_symlinks=False)).decode()
                for key in os.listxattr(full, follow_symlinks=False)
            }
            assert xattrs == answer["xattrs_listed"], path
        if stat.S_ISREG(status.st_mode):
            with open(full, "rb") as file:
                assert hashlib.file_digest(file, "sha256").hexdigest() == answer["sha256"], path
            assert status.st_nlink == answer["nlink"], path
        elif stat.S_ISLNK(status.st_mode):
            assert os.readlink(full) == targets[path], path
        elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            assert [os.major(status.st_rdev), os.minor(status.st_rdev)] == answer["rdev"], path


def left_out(known: Mapping[bytes, Mapping[str, Any]], name: str) -> set[bytes]:
    """What a pack called `name` cannot hold, or this user cannot make."""
    kinds = set() if as_root else {"blockdev", "chardev"}
    if name.endswith(WITHOUT_SOCKETS):
        kinds.add("socket")
    return {path for path, answer in known.items() if answer["type"] in kinds}


@pytest.mark.parametrize("reading", ["sha1", "rmd160", "tag", "replica"])
@pytest.mark.parametrize("name", NAMES)
def test_pack_reads_as_the_reference_shows_it(
    samples: Path, shared_reader: Reader, tmp_path: Path, reading: str, name: str
) -> None:
    need_programs(name)
    output = tmp_path / name
    with opened(shared_reader, samples, reading) as repository:
        targets: dict[bytes, bytes] = {path: entry.symlink for path, entry in repository.tree.walk()}
        request = PackRequest(image_of(repository), form_of(output), owner=as_root)
        pack(request, repository.tree, repository.contents, output)
    with unpacked(output, tmp_path) as root:
        compare(root, answers(reading), targets, name)
        assert verify_pack(root).problems == ()


@pytest.mark.parametrize("program", ["tar2sqfs", "sqfstar"])
def test_each_program_makes_the_same_squashfs_image_each_time(
    samples: Path, shared_reader: Reader, tmp_path: Path, program: str
) -> None:
    if shutil.which(program) is None or shutil.which("unsquashfs") is None:
        pytest.skip(f"{program} or unsquashfs is not installed")
    images = [tmp_path / f"{number}.squashfs" for number in range(2)]
    with opened(shared_reader, samples, "sha1") as repository:
        targets: dict[bytes, bytes] = {path: entry.symlink for path, entry in repository.tree.walk()}
        for image in images:
            write_squashfs(
                image_of(repository),
                RepositoryContents(repository.tree, repository.contents),
                image,
                which=lambda name: shutil.which(name) if name == program else None,
            )
    assert images[0].read_bytes() == images[1].read_bytes()
    with unpacked(images[0], tmp_path) as root:
        compare(root, answers("sha1"), targets, images[0].name)
