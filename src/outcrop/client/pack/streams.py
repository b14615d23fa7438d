"""What a stream goes through on its way into a file: a file, a digest, an encoder, another program."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import deflate

from outcrop.errors import CommandFailed, MissingCapability, OutcropError, storage_error

Sink = Callable[[bytes], object]
"""Takes in the next bytes of a stream."""

FILE_BUFFER_BYTES = 1024 * 1024
GZIP_BLOCK_BYTES = 1024 * 1024
"""How much becomes one member of a gzip file. Members can be encoded side by side and make one file (RFC 1952, 2.2); at
this size they cost a thousandth of the space."""

GZIP_LEVEL = 6
ZSTD_LEVEL = 3
"""The defaults of both formats' own programs."""

_WHAT = "the pack"
_FULL = (b"No space left on device", b"Disk quota exceeded")


@contextmanager
def file_sink(path: Path) -> Iterator[Sink]:
    """Writes to the new file `path`, which is on the disk after the block; StorageError where it cannot be written."""
    try:
        with path.open("xb", buffering=FILE_BUFFER_BYTES) as file:
            yield file.write
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise storage_error(error, _WHAT) from error


class DigestingSink:
    """Passes a stream on, and knows its SHA-256 and size (bytes) afterwards."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._state = hashlib.sha256()
        self.size = 0

    def __call__(self, data: bytes) -> None:
        self._state.update(data)
        self.size += len(data)
        self._sink(data)

    @property
    def digest(self) -> str:
        return self._state.hexdigest()


@contextmanager
def gzip_sink(sink: Sink) -> Iterator[Sink]:
    """Encodes with gzip what it passes on to `sink`, on all cores. The bytes depend on the input alone."""
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="gzip") as pool:
        encoder = _GzipEncoder(sink, pool, (os.cpu_count() or 1) + 1)
        yield encoder.write
        encoder.finish()


class _GzipEncoder:
    def __init__(self, sink: Sink, pool: ThreadPoolExecutor, ahead: int) -> None:
        self._sink = sink
        self._pool = pool
        self._ahead = ahead
        self._block = bytearray()
        self._coming: deque[Future[bytes]] = deque()

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            taken = GZIP_BLOCK_BYTES - len(self._block)
            self._block += rest[:taken]
            rest = rest[taken:]
            if len(self._block) == GZIP_BLOCK_BYTES:
                self._encode()

    def finish(self) -> None:
        if self._block:
            self._encode()
        while self._coming:
            self._sink(self._coming.popleft().result())

    def _encode(self) -> None:
        self._coming.append(self._pool.submit(_gzip_member, bytes(self._block)))
        self._block.clear()
        while len(self._coming) > self._ahead:
            self._sink(self._coming.popleft().result())


def _gzip_member(data: bytes) -> bytes:
    return bytes(deflate.gzip_compress(data, GZIP_LEVEL))


@contextmanager
def zstd_sink(program: str, path: Path) -> Iterator[Sink]:
    """Encodes with the program `zstd` what is written to the new file `path`."""
    with program_sink([program, f"-{ZSTD_LEVEL}", "-T2", "-q", "-f", "-o", str(path), "-"], path.parent) as sink:
        yield sink


@contextmanager
def program_sink(
    arguments: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Sink]:
    """Passes a stream to the standard input of a program that writes below `directory`, and ends with it.

    CommandFailed with its last words where it fails, StorageError where the disk is full. It is gone after the block,
    whatever happens."""
    with _running(arguments, directory, stdin=subprocess.PIPE, environment=environment) as program:
        assert program.stdin is not None
        try:
            yield program.stdin.write
            program.stdin.close()
        except BrokenPipeError:
            return  # it has ended, and says why


def run_program(arguments: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None) -> None:
    """Runs a program that writes below `directory`; errors as for `program_sink`."""
    with _running(arguments, directory, environment=environment):
        return


@contextmanager
def _running(
    arguments: Sequence[str],
    directory: Path,
    *,
    stdin: int = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program whose output depends on nothing but its arguments: no locale, no time zone, no settings. At the end of
    the block it must come to a good end; if the block fails, it is killed."""
    plain = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", **(environment or {})}
    with tempfile.TemporaryFile() as words:
        try:
            process = subprocess.Popen(
                arguments, stdin=stdin, stdout=subprocess.DEVNULL, stderr=words, env=plain, umask=0o022
            )
        except FileNotFoundError as error:
            raise MissingCapability(what=arguments[0], problem="it is not installed") from error
        except OSError as error:
            raise storage_error(error, arguments[0]) from error
        try:
            yield process
            process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            _close(process.stdin)
        if process.returncode:
            raise _failure(arguments[0], process.returncode, words, directory)


def _failure(program: str, code: int, words: IO[bytes], directory: Path) -> OutcropError:
    words.seek(0)
    said = words.read()
    if any(text in said for text in _FULL) or _is_full(directory):
        return storage_error(OSError(errno.ENOSPC, ""), _WHAT)
    last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return CommandFailed(
        what=Path(program).name,
        problem=last or f"it ended with {code}",
        hint="nothing was left behind; another format (`--format tar`) needs no other program",
    )


def _is_full(directory: Path) -> bool:
    """Whether so little room is left that a program which failed has probably failed for that; not all of them say."""
    try:
        status = os.statvfs(directory)
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < FILE_BUFFER_BYTES


def _close(stream: IO[bytes] | None) -> None:
    if stream is None:
        return
    try:
        stream.close()
    except BrokenPipeError:
        return  # what it still held is of no use to anybody
