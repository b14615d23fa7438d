"""The same run once more, of a relocated copy that is there: known by the words of its command line.

To read a command line takes longer than to look whether the copy is the one that is wanted. So a run that took a
relocated copy writes down what it had found out and what that rests on. When the same words come again, and all of it
still holds, the program starts at once; otherwise nothing happens, and the command line is read as ever. What is looked
at is what the long way would look at:

- the words up to the program, the working directory, the user, and every variable that has a say;
- the time until when the revision counts as current, and the way as the best one;
- the files by which the revision was proved, what was written down of both copies, and both copies' directories;
- whether somebody else could have put something there, and whether programs may run there;
- where no way was asked for: whether the surroundings look the same, and nothing is mounted at `/cvmfs/<name>`.

The file is a cache, in the state directory beside what was proved (`outcrop.client.recent_proof`). It holds strings
with zeros between them, in lists that begin with their lengths. This module imports next to nothing.
"""

from __future__ import annotations

import os
import stat
import time
import zlib

from outcrop.client.ladder.launch import PREFIX_VARIABLE, WAY_VARIABLE, become
from outcrop.client.ladder.new_place import environment_in_new_place, in_new_place
from outcrop.client.ladder.surroundings import surroundings
from outcrop.client.stamps import TOO_MANY, stamp_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    # `typing` takes longer to read than this takes to run.
    from collections.abc import Callable, Mapping, Sequence

RELOCATED = "relocated"
"""The way that this is about. Source: `outcrop.client.ladder.ways`."""

_FORMAT = "1"
_DASHES = "--"
_SETTINGS = ("OUTCROP_", "XDG_", "HOME", "TMP", "TEMP")
"""How variables begin that say where settings, caches and copies are, or are settings."""

_KEPT_FILES = 200
_KEPT_SECONDS = 3600.0
_NOBODY_ELSE = 0o022


class KnownRun:
    """What a run has found out: the relocated form of `copy` lies at `place` and stands for `prefix`.

    `files` are those that it rests on, with their stamps; `variables` the values of what its links name. It holds from
    `at` until `until` (seconds since 1970). `seen` are the surroundings in which no better way was found, empty where
    the way was asked for."""

    def __init__(
        self,
        prefix: str,
        place: str,
        copy: str,
        files: Mapping[str, str],
        variables: Mapping[str, str | None],
        at: float,
        until: float,
        seen: str,
    ) -> None:
        self.prefix = prefix
        self.place = place
        self.copy = copy
        self.files = files
        self.variables = variables
        self.at = at
        self.until = until
        self.seen = seen

    def holds(self, environment: Mapping[str, str], now: float) -> bool:
        """Whether the long way would find the same."""
        return (
            self.at <= now < self.until
            and all(environment.get(name) == value for name, value in self.variables.items())
            and all(stamp_of(path) == stamp for path, stamp in self.files.items())
            and _is_ours(os.path.dirname(self.place))
            and all(_runs_programs(directory) for directory in (self.place, self.copy))
            and (not self.seen or (surroundings(environment) == self.seen and not os.path.ismount(self.prefix)))
        )

    def encode(self) -> list[list[str]]:
        """As lists of strings."""
        known = [(name, value) for name, value in self.variables.items() if value is not None]
        return [
            [self.prefix, self.place, self.copy, repr(self.at), repr(self.until), self.seen],
            [word for pair in self.files.items() for word in pair],
            [word for pair in known for word in pair],
            [name for name, value in self.variables.items() if value is None],
        ]

    @classmethod
    def decode(cls, lists: Sequence[Sequence[str]]) -> KnownRun:
        """What `encode` made; ValueError where it did not."""
        (prefix, place, copy, at, until, seen), files, known, unset = lists
        variables: dict[str, str | None] = dict.fromkeys(unset)
        variables.update(_pairs(known))
        return cls(prefix, place, copy, _pairs(files), variables, float(at), float(until), seen)


def become_known(
    words: Sequence[str],
    environment: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.time,
) -> None:
    """Turns this process into the command of `outcrop run WORDS` if a relocated copy is known to be what it sees.

    Returns where that is not known, or does not hold any more."""
    question = _question(words, environment)
    path = _path(_state_directory(environment), question)
    if not path:
        return
    try:
        with open(path, "rb") as file:
            lists = _parted(file.read())
        if lists[0] != [_FORMAT] or lists[1] != question:
            return
        known = KnownRun.decode(lists[2:])
        if not known.holds(environment, clock()):
            return
    except (OSError, ValueError, IndexError):
        return
    told = {**environment, WAY_VARIABLE: RELOCATED, PREFIX_VARIABLE: known.place}
    command = words[words.index(_DASHES) + 1 :]
    become(in_new_place(command, known.prefix, known.place), environment_in_new_place(told, known.prefix, known.place))


def keep(words: Sequence[str], known: KnownRun, state_directory: str, environment: Mapping[str, str]) -> None:
    """Writes down what `outcrop run WORDS` has found out, as far as that is possible."""
    question = _question(words, environment)
    path = _path(state_directory, question)
    if not path or TOO_MANY in known.files.values():
        return
    lists = [[_FORMAT], question, *known.encode()]
    strings = (string for each in lists for string in (str(len(each)), *each))
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write("\0".join(strings).encode("utf-8", "surrogateescape"))
        os.rename(temporary, path)
        _remove_old(os.path.dirname(path))
    except OSError:
        # The next run goes the long way, as this one did.
        return


def _question(words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """What makes a run the same as an earlier one; empty for words that name no program."""
    if _DASHES not in words:
        return []
    position = words.index(_DASHES)
    try:
        directory = os.getcwd()
    except FileNotFoundError:
        return []
    settings = sorted(f"{name}={value}" for name, value in environment.items() if name.startswith(_SETTINGS))
    return [*words[: position + 2], directory, str(os.geteuid()), *settings] if words[position + 1 :] else []


def _state_directory(environment: Mapping[str, str]) -> str:
    """As `outcrop.directories` has it where all is plain; empty elsewhere."""
    own = environment.get("OUTCROP_STATE_DIR", "")
    if own:
        return own if os.path.isabs(own) else ""
    base = environment.get("XDG_STATE_HOME", "")
    home = environment.get("HOME", "")
    if os.path.isabs(base):
        return f"{base}/outcrop"
    return f"{home}/.local/state/outcrop" if os.path.isabs(home) else ""


def _path(state_directory: str, question: Sequence[str]) -> str:
    """Where the answer to `question` is kept; empty if nowhere."""
    if not state_directory or not question:
        return ""
    checksum = zlib.crc32("\0".join(question).encode("utf-8", "surrogateescape"))
    return f"{state_directory}/runs/{checksum:08x}"


def _parted(data: bytes) -> list[list[str]]:
    strings = data.decode("utf-8", "surrogateescape").split("\0")
    lists = []
    while strings:
        length = int(strings[0])
        if not 0 <= length < len(strings):
            raise ValueError("it is cut off")
        lists.append(strings[1 : length + 1])
        del strings[: length + 1]
    return lists


def _pairs(words: Sequence[str]) -> dict[str, str]:
    return dict(zip(words[::2], words[1::2], strict=True))


def _is_ours(directory: str) -> bool:
    """Whether nobody else can put anything into `directory`."""
    status = os.lstat(directory)
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    return is_own and not status.st_mode & _NOBODY_ELSE


def _runs_programs(directory: str) -> bool:
    return os.path.isdir(directory) and not os.statvfs(directory).f_flag & os.ST_NOEXEC


def _remove_old(directory: str) -> None:
    names = os.listdir(directory)
    if len(names) <= _KEPT_FILES:
        return
    oldest = time.time() - _KEPT_SECONDS
    for name in names:
        path = f"{directory}/{name}"
        try:
            if os.stat(path).st_mtime < oldest:
                os.unlink(path)
        except FileNotFoundError:
            # Another run was quicker.
            continue
