"""Every error that a user of Outcrop can meet.

One class a kind of trouble. Each has a message template, an exit code (documented in
`docs/reference/exit-codes.md`) and a hint: the next thing to type or to look at. A foreign exception is
translated into one of these once, at the border it came through.
"""

from __future__ import annotations

import errno
import os
from typing import ClassVar


class OutcropError(Exception):
    """Trouble that is told in one sentence which names the thing, and a hint with the next step.

    The keyword arguments fill the class's `template`; `hint` replaces the class's own hint.
    """

    exit_code: ClassVar[int] = 1
    template: ClassVar[str] = "{problem}"
    default_hint: ClassVar[str] = ""

    def __init__(self, *, hint: str = "", **fields: object) -> None:
        self.fields = fields
        self.hint = hint or self.default_hint.format(**fields)
        super().__init__(self.template.format(**fields))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (type(self), self.hint, self.fields)

    @property
    def message(self) -> str:
        return str(self)


def _rebuilt(kind: type[OutcropError], hint: str, fields: dict[str, object]) -> OutcropError:
    """An error that came from another process."""
    return kind(hint=hint, **fields)


class InvalidValue(OutcropError):
    """Something the user gave cannot be used as it is."""

    template = "{what} {problem}"


class NotFound(OutcropError):
    """Something that the user named is not there."""

    template = "{what} does not exist"


class AlreadyExists(OutcropError):
    """Something would be overwritten."""

    template = "{what} already exists"


class UsageError(OutcropError):
    """The command line itself is wrong."""

    exit_code = 2


class FormatError(OutcropError):
    """Data does not follow its format; `field` names the part that is wrong."""

    exit_code = 3
    template = "{what} is malformed: {field} {problem}"
    default_hint = "the data is damaged or not what it claims to be; try another server, or ask who published it"


class TrustError(OutcropError):
    """A signature, a name, a date or a fingerprint does not prove what it must prove."""

    exit_code = 4
    template = "{what} cannot be trusted: {problem}"
    default_hint = "nothing of it was used; try another server, or ask the publisher of the repository"


class IntegrityError(OutcropError):
    """Bytes do not have the digest by which they were asked for."""

    exit_code = 5
    template = "{what} is damaged: {problem}"
    default_hint = "the damaged bytes were thrown away; try again, or another server"


class NetworkError(OutcropError):
    """A server cannot be reached, or does not answer as it should."""

    exit_code = 6
    template = "{what} {problem}"
    default_hint = "check the address, the proxy and the network, then try again"


class StorageError(OutcropError):
    """The local disk or another store of ours refuses to read or write."""

    exit_code = 7
    template = "{what} {problem}"


class Busy(OutcropError):
    """Somebody else holds what we need."""

    exit_code = 8
    template = "{what} is in use by {holder}"
    default_hint = "wait for it to end, then try again"


class MissingCapability(OutcropError):
    """A program, a permission or a kernel feature is not there."""

    exit_code = 9
    template = "{what} is not available: {problem}"


class CommandFailed(OutcropError):
    """A program that we ran for the user ended with an error."""

    exit_code = 10
    template = "{what} failed: {problem}"


class Interrupted(OutcropError):
    """The user stopped the work (Ctrl-C or SIGTERM)."""

    exit_code = 130
    template = "stopped"
    default_hint = "what was begun has been undone; the same command starts again"


_OS_PROBLEMS = {
    errno.ENOSPC: ("cannot be written: the disk is full", "free some space, or choose another directory"),
    errno.EDQUOT: ("cannot be written: the disk quota is used up", "free some space, or choose another directory"),
    errno.EACCES: ("may not be accessed by this user", "check its owner and permissions"),
    errno.EPERM: ("may not be changed by this user", "check its owner and permissions"),
    errno.EROFS: ("cannot be written: the file system is read-only", "choose another directory"),
    errno.EMFILE: ("cannot be opened: too many open files", "raise the limit with `ulimit -n`"),
    errno.EIO: ("cannot be read or written: the disk reports an error", "look at the kernel's log (`dmesg`)"),
    errno.ENOENT: ("does not exist", "check the path"),
    errno.ENOTDIR: ("is below something that is not a directory", "check the path"),
    errno.EISDIR: ("is a directory", "check the path"),
}


def storage_error(error: OSError, what: str = "") -> StorageError:
    """The `StorageError` that says what the operating system's `error` means for `what` (its path by default)."""
    name = what or _path_of(error) or "the disk"
    problem, hint = _OS_PROBLEMS.get(
        error.errno or 0, (f"cannot be used: {error.strerror or error}", "check the path and its permissions")
    )
    return StorageError(what=name, problem=problem, hint=hint)


def _path_of(error: OSError) -> str:
    """The path that `error` is about; empty where there is none, or only the number of an open file."""
    filename: object = error.filename
    return os.fsdecode(filename) if isinstance(filename, str | bytes) else ""
