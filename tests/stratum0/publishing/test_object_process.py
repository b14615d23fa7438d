"""Objects made in processes of their own are the same objects, and whatever ends such a process is told."""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from outcrop.cvmfs.chunking import ChunkLimits
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm
from outcrop.cvmfs.objects import ObjectKind
from outcrop.errors import CommandFailed, InvalidValue, StorageError
from outcrop.storage.directory import DirectoryStore
from outcrop.storage.memory import MemoryStore
from outcrop.stratum0.publishing.compressors import compressor
from outcrop.stratum0.publishing.content_index import ContentIndex, FileIdentity, StoredContent
from outcrop.stratum0.publishing.contents import ContentWriter
from outcrop.stratum0.publishing.object_maker import ObjectMaker, PlainBytes
from outcrop.stratum0.publishing.object_process import ObjectProcess, started_processes

LIMITS = ChunkLimits(1000, 2000, 4000)
SIZES = [0, 1, 10, 999, 1000, 1001, 5000, 30_000]


def new_index(path: Path | None = None) -> ContentIndex:
    return ContentIndex(path, "settings", Algorithm.SHA1, Compression.ZLIB)


def maker_of(store: DirectoryStore, index: ContentIndex | None = None) -> ObjectMaker:
    return ObjectMaker(store, index or new_index(), Algorithm.SHA1, compressor("zlib"))


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore.create(tmp_path / "store")


@pytest.fixture
def process(store: DirectoryStore) -> Iterator[ObjectProcess]:
    with closing(ObjectProcess(maker_of(store))) as process:
        yield process


@contextmanager
def writing(
    store: DirectoryStore | MemoryStore, *, alone: int, index: ContentIndex | None = None
) -> Iterator[ContentWriter]:
    with ContentWriter(
        store,
        algorithm=Algorithm.SHA1,
        compress=compressor("zlib"),
        compression=Compression.ZLIB,
        limits=LIMITS,
        index=index or new_index(),
        workers=2,
        alone_files=alone,
        alone_bytes=alone,
    ) as writer:
        yield writer


def files(directory: Path) -> list[Path]:
    """Two files of each size, with other bytes, and two copies of each."""
    directory.mkdir()
    paths = []
    for copy in range(3):
        for size in SIZES:
            for kind in (b"a", b"b"):
                paths.append(directory / f"{copy} {size} {kind.decode()}")
                paths[-1].write_bytes(kind * size)
    return paths


def taken(writer: ContentWriter, paths: list[Path]) -> list[StoredContent]:
    results = []
    for number, path in enumerate(paths):
        if number % 2:
            results.append(writer.add_file(os.fsencode(path), FileIdentity.of(path.stat())))
        else:
            results.append(writer.add_stream(io.BytesIO(path.read_bytes()), path.stat().st_size))
        if number % 8 == 7:
            writer.flush()
    return [result.value for result in results]


def test_the_outcome_is_that_of_threads(store: DirectoryStore, tmp_path: Path) -> None:
    paths = files(tmp_path / "files")
    with writing(store, alone=0) as writer:
        found = taken(writer, paths)
        assert len(writer._lanes) == 2
    plain = MemoryStore()
    with writing(plain, alone=0) as writer:
        assert taken(writer, paths) == found
        assert len(writer._lanes) == 1, "a store in memory cannot be shared"
    assert {name: store.read(name) for name in store.names()} == plain.objects


def test_a_small_publication_starts_no_process(store: DirectoryStore, tmp_path: Path) -> None:
    with writing(store, alone=10**6) as writer:
        taken(writer, files(tmp_path / "files"))
        assert len(writer._lanes) == 1


def test_what_processes_learned_is_remembered(store: DirectoryStore, tmp_path: Path) -> None:
    index = new_index(tmp_path / "index")
    with writing(store, alone=0, index=index) as writer:
        found = taken(writer, files(tmp_path / "files"))
    index.save()
    index.close()
    for name in list(store.names()):
        Path(store.root, name).write_bytes(b"to be recognised by its name")
    again = new_index(tmp_path / "index")
    with writing(store, alone=0, index=again) as writer:
        assert taken(writer, files(tmp_path / "copies")) == found
    again.close()
    assert {store.read(name) for name in store.names()} == {b"to be recognised by its name"}


@pytest.mark.fault
def test_errors_are_those_of_the_file(process: ObjectProcess, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    gone, other = PlainBytes(5, os.fsencode(tmp_path / "gone")), PlainBytes(4, os.fsencode(tmp_path / "f"))
    with pytest.raises(StorageError, match="gone does not exist") as caught:
        process.make([gone], ObjectKind.FILE)
    assert caught.value.hint == "check the path"
    with pytest.raises(InvalidValue, match="changed while it was read"):
        process.make([other], ObjectKind.FILE)
    made = process.make([PlainBytes(5, os.fsencode(tmp_path / "f"))], ObjectKind.FILE)
    assert len(made.digests) == len(made.new) == 1, "an error is not the end"


@pytest.mark.fault
@pytest.mark.parametrize("busy", [True, False])
def test_a_process_that_is_killed_is_told(process: ObjectProcess, busy: bool) -> None:
    if busy:
        process.make([PlainBytes(1, data=b"1")], ObjectKind.FILE)
    process._process.kill()
    with pytest.raises(CommandFailed, match=r"a process that stores contents failed: it ended by itself \(SIGKILL\)"):
        process.make([PlainBytes(2, data=b"12")], ObjectKind.FILE)


@pytest.mark.fault
def test_a_process_that_is_killed_ends_the_work(store: DirectoryStore, tmp_path: Path) -> None:
    paths = files(tmp_path / "files")

    def take_all() -> None:
        with writing(store, alone=0) as writer:
            taken(writer, paths)
            for lane in writer._lanes:
                assert isinstance(lane.maker, ObjectProcess)
                lane.maker._process.kill()
            taken(writer, paths)

    with pytest.raises(CommandFailed) as caught:
        take_all()
    assert "nothing was published" in caught.value.hint


def test_a_machine_that_gives_no_process_is_no_obstacle(
    store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    assert started_processes(maker_of(store), 2) == []
    with writing(store, alone=0) as writer:
        assert len(taken(writer, files(tmp_path / "files"))) == 6 * len(SIZES)


def test_ctrl_c_is_left_to_the_parent(process: ObjectProcess) -> None:
    process.make([PlainBytes(1, data=b"1")], ObjectKind.FILE)
    process._process.send_signal(signal.SIGINT)
    assert process.make([PlainBytes(2, data=b"12")], ObjectKind.FILE).digests


@pytest.mark.fault
def test_a_process_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\nfrom pathlib import Path\n"
        "from outcrop.storage.directory import DirectoryStore\n"
        "from tests.stratum0.publishing.test_object_process import ObjectProcess, PlainBytes, ObjectKind, maker_of\n"
        "process = ObjectProcess(maker_of(DirectoryStore.create(Path(sys.argv[1]))))\n"
        "process.make([PlainBytes(1, data=b'1')], ObjectKind.FILE)\n"
        "print(process._process.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.kill()
    deadline = time.monotonic() + 10
    while _lives(child):
        assert time.monotonic() < deadline, "it outlives its parent"
        time.sleep(0.02)


def _lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_program_in_the_current_directory_is_not_run(
    store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    for module in ("deflate", "blake3", "outcrop"):
        (trap / f"{module}.py").write_text("raise SystemExit('the trap was run')")
    monkeypatch.chdir(trap)
    with closing(ObjectProcess(maker_of(store))) as process:
        made = process.make([PlainBytes(1, data=b"1")], ObjectKind.FILE)
    assert len(made.digests) == 1


def test_a_maker_is_the_same_after_its_journey(store: DirectoryStore, tmp_path: Path) -> None:
    index = new_index(tmp_path / "index")
    other: ObjectMaker = pickle.loads(pickle.dumps(maker_of(store, index)))
    sources = [PlainBytes(3, data=b"abc"), PlainBytes(3, data=b"abc"), PlainBytes(0, data=b"")]
    another = DirectoryStore.create(tmp_path / "another")
    assert other.make(sources, ObjectKind.FILE) == maker_of(another, index).make(sources, ObjectKind.FILE)
    assert sorted(store.names()) == sorted(another.names())
    index.close()
