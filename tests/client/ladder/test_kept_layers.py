"""Layers of metadata that are kept in the cache directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from outcrop.client.ladder.kept_layers import KEPT_LAYERS, KeptLayers, Wanted, read_planting
from outcrop.client.layers.metadata import AttributeSpace
from outcrop.client.owners import Ownership
from outcrop.client.repository import OpenRepository
from outcrop.errors import MissingCapability, StorageError
from tests.client.published import library
from tests.client.reading import Reader

_MANY = 1000
IMAGE, PLANTED = Wanted(AttributeSpace.TRUSTED, {}), Wanted(AttributeSpace.USER, {})


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[OpenRepository]:
    server = library().write(tmp_path / "server")
    with Reader(tmp_path / "reader").open(server) as opened:
        yield opened


@pytest.fixture
def layers(tmp_path: Path) -> KeptLayers:
    return KeptLayers(tmp_path / "layers")


def root(repository: OpenRepository) -> str:
    return repository.root.digest.text


@pytest.mark.parametrize("wanted", [IMAGE, PLANTED])
def test_what_was_made_is_found(repository: OpenRepository, layers: KeptLayers, wanted: Wanted) -> None:
    assert layers.find(repository.name, root(repository), wanted) is None
    made = layers.make(repository, wanted, _MANY)
    assert layers.find(repository.name, root(repository), wanted) == made
    assert layers.make(repository, wanted, _MANY) == made
    assert [one.size for one in made.needed.objects] == [9, 10]


def test_another_revision_other_variables_and_other_owners_are_another_layer(
    repository: OpenRepository, layers: KeptLayers
) -> None:
    layers.make(repository, IMAGE, _MANY)
    assert layers.find(repository.name, "0" * 40, IMAGE) is None
    assert layers.find(repository.name, root(repository), PLANTED) is None
    for other in (
        Wanted(AttributeSpace.TRUSTED, {b"BOOK": b"atlas"}),
        Wanted(AttributeSpace.TRUSTED, {}, Ownership(claimed=True)),
    ):
        assert layers.find(repository.name, root(repository), other) is None
        layers.make(repository, other, _MANY)
        assert layers.find(repository.name, root(repository), other) is not None
    # A variable that no link names makes no difference.
    unasked = Wanted(AttributeSpace.TRUSTED, {b"OTHER": b"x"})
    assert layers.find(repository.name, root(repository), unasked) is not None


@pytest.mark.parametrize("suffix", [".layer", ".needed"])
def test_what_has_changed_is_removed_and_made_again(
    repository: OpenRepository, layers: KeptLayers, suffix: str
) -> None:
    made = layers.make(repository, IMAGE, _MANY)
    path = made.path.with_suffix(suffix)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"!")
    assert layers.find(repository.name, root(repository), IMAGE) is None
    assert layers.make(repository, IMAGE, _MANY).path.with_suffix(suffix).read_bytes() == whole


def test_what_is_planted_is_compared_when_it_is_read(repository: OpenRepository, layers: KeptLayers) -> None:
    made = layers.make(repository, PLANTED, _MANY)
    assert len(read_planting(made.path, made.digest).inodes) == 11
    made.path.write_bytes(b"other")
    with pytest.raises(StorageError):
        read_planting(made.path, made.digest)


def test_the_newest_few_are_kept_and_none_that_was_used_just_now_goes(
    repository: OpenRepository, layers: KeptLayers
) -> None:
    def make(number: int) -> Path:
        return layers.make(repository, Wanted(AttributeSpace.TRUSTED, {b"BOOK": b"%d" % number}), _MANY).path

    made = [make(number) for number in range(KEPT_LAYERS + 2)]
    assert all(path.exists() for path in made)
    for age, path in enumerate(reversed(made)):
        os.utime(path.with_suffix(".json"), (10**9 - age, 10**9 - age))
    newest = make(99)
    assert [path for path in made if path.exists()] == made[-KEPT_LAYERS + 1 :]
    assert newest.exists()


def test_a_revision_that_is_too_large_is_refused_before_its_catalogs_are_read(
    repository: OpenRepository, layers: KeptLayers
) -> None:
    with pytest.raises(MissingCapability, match="more than 3 entries"):
        layers.make(repository, IMAGE, 3)


def test_a_directory_that_others_may_write_to_is_not_used(repository: OpenRepository, layers: KeptLayers) -> None:
    layers.directory.mkdir()
    layers.directory.chmod(0o777)
    with pytest.raises(StorageError, match="may be written by others"):
        layers.make(repository, IMAGE, _MANY)
