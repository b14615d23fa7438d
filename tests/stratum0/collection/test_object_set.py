"""Sets of object keys on disk: what goes in comes out once, in little space."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.object_keys import KEY_BYTES, ObjectKey, object_key
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import StorageError
from outcrop.stratum0.collection.object_set import BUFFER_BYTES, SHARDS, ObjectSet


def keys(number: int) -> list[ObjectKey]:
    return [object_key(ObjectName(Digest.of(b"%d" % one), ObjectKind.FILE)) for one in range(number)]


def everything(objects: ObjectSet) -> set[ObjectKey]:
    return set().union(*objects.shards())


def test_what_goes_in_comes_out_once(tmp_path: Path) -> None:
    some = keys(2000)
    with ObjectSet(tmp_path) as objects:
        objects.update(some + some)
        objects.add(some[0])
        assert everything(objects) == set(some)
        assert sum(len(shard) for shard in objects.shards()) == len(some)


def test_shards_are_those_of_the_first_byte(tmp_path: Path) -> None:
    with ObjectSet(tmp_path) as objects:
        objects.update(keys(2000))
        assert all({key[0] for key in objects.shard(number)} <= {number} for number in range(SHARDS))


def test_more_than_the_buffers_hold_goes_through_the_file_and_leaves_no_name(tmp_path: Path) -> None:
    noise = random.Random(1)
    many = [ObjectKey(b"\7" + noise.randbytes(KEY_BYTES - 1)) for _ in range(3 * BUFFER_BYTES // KEY_BYTES + 5)]
    with ObjectSet(tmp_path) as objects:
        objects.update(many)
        assert objects.shard(7) == set(many)
        assert list(tmp_path.iterdir()) == []


def test_keys_that_come_again_and_again_take_their_space_once(tmp_path: Path) -> None:
    noise = random.Random(2)
    many = [ObjectKey(bytes([number % 2]) + noise.randbytes(KEY_BYTES - 1)) for number in range(2000)]
    with ObjectSet(tmp_path, compaction_bytes=4 * BUFFER_BYTES) as objects:
        for _ in range(40):
            objects.update(many)
            assert objects.bytes_on_disk < 10 * BUFFER_BYTES
        assert everything(objects) == set(many)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="temporary file"):
        ObjectSet(tmp_path / "missing")
