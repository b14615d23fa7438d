"""The directory store's own promises: whole objects or none, no temporary files, errors that name the object."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outcrop.cvmfs.objects import MANIFEST_NAME
from outcrop.errors import StorageError
from outcrop.storage.directory import TEMPORARY_DIRECTORIES, DirectoryStore
from tests.storage.conformance import name_of, run_at_once

DATA = b"x" * 100_000


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore.create(tmp_path / "repository")


def files_of(store: DirectoryStore) -> list[str]:
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())


def test_all_directories_are_made_and_making_them_again_is_harmless(tmp_path: Path) -> None:
    for _ in range(2):
        store = DirectoryStore.create(tmp_path / "a" / "b")
    directories = {path.name for path in (store.root / "data").iterdir()}
    assert directories == {f"{number:02x}" for number in range(256)} | {"txn"}


def test_a_store_where_none_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught:
        DirectoryStore.create(tmp_path / "file")
    assert caught.value.hint


def test_files_may_be_read_by_a_web_server(store: DirectoryStore) -> None:
    before = os.umask(0o022)
    try:
        store.write(name_of(DATA), DATA)
        store.replace(MANIFEST_NAME, b"x")
    finally:
        os.umask(before)
    for name in (name_of(DATA), MANIFEST_NAME):
        assert (store.root / name).stat().st_mode & 0o777 == 0o644


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files cannot grow beyond `size` bytes in the block: writing fails in the middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.fault
@pytest.mark.parametrize("size", [0, 1, 4096, len(DATA) - 1])
def test_a_write_that_fails_in_the_middle_leaves_nothing(store: DirectoryStore, size: int) -> None:
    with largest_file(size), pytest.raises(StorageError) as caught:
        store.write(name_of(DATA), DATA)
    assert name_of(DATA) in caught.value.message
    assert files_of(store) == []
    assert store.write(name_of(DATA), DATA) is True


@pytest.mark.fault
def test_a_replacement_that_fails_in_the_middle_leaves_the_old_bytes(store: DirectoryStore) -> None:
    store.replace(MANIFEST_NAME, b"old")
    with largest_file(4096), pytest.raises(StorageError) as caught:
        store.replace(MANIFEST_NAME, DATA)
    assert MANIFEST_NAME in caught.value.message
    assert store.read(MANIFEST_NAME) == b"old"
    assert files_of(store) == [MANIFEST_NAME]


_FILL = """
import sys
from pathlib import Path
from outcrop.errors import StorageError
from outcrop.storage.directory import DirectoryStore
store = DirectoryStore.create(Path(sys.argv[1]))
store.replace(".cvmfspublished", b"old")
data = bytes(100_000)
for number in range(100):
    try:
        store.write(f"data/aa/{number:038x}", data)
    except StorageError as error:
        assert "disk is full" in error.message and error.hint, error
        break
else:
    raise AssertionError("the disk never filled")
try:
    store.replace(".cvmfspublished", data)
    raise AssertionError("there was room after all")
except StorageError:
    pass
assert store.read(".cvmfspublished") == b"old"
assert not [path for path in Path(sys.argv[1], ".outcroptxn").rglob("*") if path.is_file()]
assert all(store.read(name) == data for name in store.names())
print(number)
"""


@pytest.mark.fault
@pytest.mark.integration
def test_a_full_disk_is_named_and_leaves_no_short_object(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system to fill")
    mounted = f'mount -t tmpfs -o size=1500k,nr_inodes=2000 tmpfs "{tmp_path}" && exec "$@"'
    inside = [sys.executable, "-c", _FILL, str(tmp_path / "repository")]
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounted, "sh", *inside],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"a private mount is not allowed here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) < 16


@pytest.mark.fault
def test_an_object_that_cannot_get_its_name_leaves_no_temporary_file(store: DirectoryStore) -> None:
    name = name_of(DATA)
    (store.root / name).parent.rmdir()
    with pytest.raises(StorageError) as caught:
        store.write(name, DATA)
    assert name in caught.value.message
    assert "txn" not in caught.value.message
    assert files_of(store) == []


@pytest.mark.fault
def test_a_replacement_that_cannot_get_its_name_leaves_no_temporary_file(store: DirectoryStore) -> None:
    (store.root / MANIFEST_NAME).mkdir()
    with pytest.raises(StorageError) as caught:
        store.replace(MANIFEST_NAME, b"x")
    assert MANIFEST_NAME in caught.value.message
    assert files_of(store) == []


def test_an_error_names_the_object_as_people_write_it(store: DirectoryStore) -> None:
    name = name_of(DATA)
    (store.root / name).mkdir()
    with pytest.raises(StorageError) as caught:
        store.read(name)
    assert caught.value.message.startswith(f"{store.root}/{name} ")


def temporary_files(store: DirectoryStore) -> list[Path]:
    return [path for path in (store.root / TEMPORARY_DIRECTORIES[0]).rglob("*") if path.is_file()]


def test_a_repository_of_another_program_gets_the_directories_it_lacks(store: DirectoryStore) -> None:
    shutil.rmtree(store.root / TEMPORARY_DIRECTORIES[0])
    assert store.write(name_of(DATA), DATA) is True
    assert store.discard_leftovers() == 0
    shutil.rmtree(store.root)
    with pytest.raises(StorageError, match="does not exist"):
        store.write(name_of(b"other"), b"other")


def test_leftovers_of_a_crash_are_discarded_and_do_not_disturb(store: DirectoryStore) -> None:
    temporary = store.root / TEMPORARY_DIRECTORIES[0]
    left = [f"{os.getpid()}.{threading.get_ident()}.{serial}" for serial in range(3)]
    for name in [*(f"{name_of(DATA)[5:7]}/{serial}" for serial in left), "other"]:
        (temporary / name).write_bytes(b"short")
    assert store.write(name_of(DATA), DATA) is True
    assert store.read(name_of(DATA)) == DATA
    assert list(store.names()) == [name_of(DATA)]
    assert store.discard_leftovers() == 4
    assert files_of(store) == [name_of(DATA)]


def test_stores_of_one_directory_do_not_disturb_each_other(store: DirectoryStore) -> None:
    others = [DirectoryStore(store.root) for _ in range(4)]
    contents = [b"%d" % number * 100 for number in range(200)]
    trouble: list[StorageError] = []

    def write_all(one: DirectoryStore) -> None:
        try:
            for data in contents:
                one.write(name_of(data), data)
                one.replace(MANIFEST_NAME, data)
        except StorageError as error:
            trouble.append(error)

    run_at_once([lambda one=one: write_all(one) for one in others])  # type: ignore[misc]
    assert trouble == []
    assert all(store.read(name_of(data)) == data for data in contents)
    assert temporary_files(store) == []


def test_foreign_files_are_no_objects(store: DirectoryStore) -> None:
    (store.root / "data" / "README").touch()
    (store.root / "data" / "lost+found").mkdir()
    store.write(name_of(DATA), DATA)
    assert list(store.names()) == [name_of(DATA)]


@pytest.mark.fault
def test_a_writer_that_is_killed_leaves_whole_objects_and_leftovers(store: DirectoryStore) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom outcrop.storage.directory import DirectoryStore\n"
        "store = DirectoryStore(Path(sys.argv[1]))\nprint('begun', flush=True)\n"
        "for number in range(10**9):\n"
        "    store.write(f'data/{number % 256:02x}/{number:038x}', b'%d' % number * 200000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(store.root)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        while not any(True for _ in store.names()):
            pass
        writer.kill()
    for name in store.names():
        number = int(name.rpartition("/")[2], 16)
        assert store.read(name) == b"%d" % number * 200_000
    store.discard_leftovers()
    assert temporary_files(store) == []


@pytest.mark.parametrize("name", [b"\xc3\xbcber/\xe6\x9c\xac", b"latin1-\xe9"])
def test_external_files_may_have_any_name(store: DirectoryStore, name: bytes) -> None:
    path = os.fsencode(store.root) + b"/" + name
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(os.fsdecode(path)).write_bytes(DATA)
    assert store.read(os.fsdecode(name)) == DATA


def test_interruption_just_after_an_object_got_its_name_is_not_hidden(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def renamed_and_interrupted(source: bytes, target: bytes) -> None:
        rename(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", renamed_and_interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.replace("name", b"data")
    assert store.read("name") == b"data"
