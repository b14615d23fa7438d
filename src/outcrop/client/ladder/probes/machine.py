"""What else a node has: limits, memory, tracing, preloading, the user's own entry."""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import signal
import subprocess
from pathlib import Path

from outcrop.client.ladder.findings import Finding, Topic, degraded, no, ok
from outcrop.client.ladder.system_calls import let_parent_trace, stop_tracing
from outcrop.client.ladder.trial import tried
from outcrop.errors import CommandFailed

_FEWEST_FILES, _FEWEST_PROCESSES = 256, 64
"""With fewer open files, the server of a mount has too few for its readers (`client.mount.open_files`)."""

_LEAST_MEMORY = 256 * 1024 * 1024
"""A server needs some 150 MB after walking a large repository; the command wants some, too."""

_SMALL_LIBRARIES = ("libffi.so", "libz.so", "libm.so", "liblzma.so", "libbz2.so")
_UNLIMITED = "no limit"


def open_files() -> Finding:
    """How many files a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = f"a process may have {_shown(soft)} open, and raise that to {_shown(hard)}"
    if 0 <= soft < _FEWEST_FILES:
        return degraded(Topic.OPEN_FILES, told, f"raise it: `ulimit -n {_FEWEST_FILES}`")
    return ok(Topic.OPEN_FILES, told)


def processes() -> Finding:
    """How many processes this user may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    told = f"this user may have {_shown(soft)}"
    if 0 <= soft < _FEWEST_PROCESSES:
        return degraded(Topic.PROCESSES, told, "raise it: `ulimit -u`")
    return ok(Topic.PROCESSES, told)


def locked_memory() -> Finding:
    """How much memory a process may lock, which software for fast networks wants."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    told = _UNLIMITED if soft == resource.RLIM_INFINITY else f"{soft:,} bytes a process"
    return ok(Topic.LOCKED_MEMORY, told)


def memory(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> Finding:
    """How much memory is left, for the machine and for the control group of this process."""
    try:
        lines = (proc / "meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return degraded(Topic.MEMORY, "how much is free cannot be known")
    limit = _group_limit(proc, groups)
    told = f"{available:,} bytes are free" + (f", and this job may have {limit:,}" if limit is not None else "")
    if min(available, limit if limit is not None else available) < _LEAST_MEMORY:
        return degraded(Topic.MEMORY, told, f"a mount wants {_LEAST_MEMORY:,} bytes")
    return ok(Topic.MEMORY, told)


def _group_limit(proc: Path, groups: Path) -> int | None:
    """The limit that the control group sets, or one above it; None where there is none."""
    try:
        text = (proc / "self" / "cgroup").read_text()
    except OSError:
        return None
    group = next((line[3:] for line in text.splitlines() if line.startswith("0::")), "")
    limits = []
    for directory in (Path(group), *Path(group).parents):
        try:
            limits.append(int((groups / str(directory).lstrip("/") / "memory.max").read_text()))
        except (OSError, ValueError):
            continue
    return min(limits, default=None)


def users() -> Finding:
    """Whether the machine knows who this user is, and where its home is."""
    outcome = tried(lambda: pwd.getpwuid(os.getuid()).pw_name)
    home = os.environ.get("HOME", "")
    hint = "let OUTCROP_CACHE_DIR and OUTCROP_STATE_DIR name directories that can be written"
    if not outcome.succeeded:
        told = f"nobody is known by the number {os.getuid()} ({outcome.problem})"
        return degraded(Topic.USERS, told, "" if home else hint)
    if not home or not os.access(home, os.W_OK | os.X_OK):
        state = f"the home {home} cannot be written" if home else "HOME is not set"
        return degraded(Topic.USERS, f"{outcome.answer} (number {os.getuid()}), but {state}", hint)
    return ok(Topic.USERS, f"{outcome.answer} (number {os.getuid()}), at home in {home}")


def ptrace() -> Finding:
    """Whether a process may trace another that it started, as PRoot and `outcrop trace` do."""

    def work() -> None:
        child = os.fork()
        if child == 0:
            try:
                let_parent_trace()
                os.kill(os.getpid(), signal.SIGSTOP)
            finally:
                os._exit(3)
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            raise CommandFailed(what="ptrace", problem="a process may not be traced")
        stop_tracing(child)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    outcome = tried(work)
    if outcome.succeeded:
        return ok(Topic.PTRACE, "a process may trace those that it starts")
    return no(Topic.PTRACE, outcome.problem, "PRoot and `outcrop trace` need it: allow ptrace(2) in the container")


def preload() -> Finding:
    """Whether the loader takes a library in front of all others into a program."""
    library = _mapped_library()
    program = shutil.which("cat")
    if library is None or program is None:
        return degraded(Topic.PRELOAD, "there is nothing here to try it with")

    def work() -> str:
        ended = subprocess.run(
            [program, "/proc/self/maps"], env={"LD_PRELOAD": library}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", check=False,
        )  # fmt: skip
        return "taken" if library in ended.stdout else ended.stderr.strip() or "it is ignored"

    outcome = tried(work)
    if outcome.answer == "taken":
        return ok(Topic.PRELOAD, "the loader takes libraries in front of others")
    return no(Topic.PRELOAD, f"the loader does not take them ({outcome.problem or outcome.answer})")


def _mapped_library() -> str | None:
    """A small library that this process uses and `cat` does not."""
    try:
        lines = Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    paths = {line.split(None, 5)[5] for line in lines if ".so" in line and line.count(" ") > 5}
    named = (path for stem in _SMALL_LIBRARIES for path in sorted(paths) if Path(path).name.startswith(stem))
    return next(named, None)


def _shown(limit: int) -> str:
    return _UNLIMITED if limit == resource.RLIM_INFINITY else f"{limit:,}"
