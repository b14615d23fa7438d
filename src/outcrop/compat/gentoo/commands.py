"""How the commands of a build run: at the prefix that users will see, as an ordinary user, with nothing of the caller's
environment but its proxies.

A prefix cannot move: what is built has its path inside. So the tree is bound at its prefix by bubblewrap, in a view in
which the rest of the machine is there, and cannot be written. In it there is one account, whoever runs the build, since
the script writes into the layer who that was, and refuses root.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from outcrop.compat.gentoo.portage_files import account_files
from outcrop.compat.gentoo.portage_log import failure
from outcrop.compat.gentoo.workplace import SCRIPT, Workplace
from outcrop.compat.layout import LayerLayout
from outcrop.errors import CommandFailed, Interrupted, storage_error
from outcrop.software.sandbox import Bind, LocalHost, View, arguments, ensure_available

ACCOUNT = "builder"
ACCOUNT_NUMBER = 1000

RESUME_HINT = "finished stages are kept; the same command goes on from there"

_POLL_SECONDS = 0.2
_NEWS = 1 << 16
_LAST_WORDS = 1 << 22
"""How many bytes at the end of a log are read: while a command runs, and once it has ended."""

_TEMPORARY = PurePosixPath("/tmp")
_HOST_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
_OWN_PATH = ("usr/sbin", "usr/bin", "sbin", "bin")
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy")

SCRIPT_IN_VIEW = _TEMPORARY / SCRIPT


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs the commands of the build in `work`. Without `network` they reach none; `further` are variables that all of
    them have."""

    layout: LayerLayout
    work: Workplace
    network: bool
    further: Mapping[str, str]

    def host_environment(self) -> dict[str, str]:
        """For programs of this machine, which build the first ones of the prefix."""
        return {
            "PATH": _HOST_PATH,
            "HOME": str(_TEMPORARY),
            "USER": ACCOUNT,
            "LOGNAME": ACCOUNT,
            "SHELL": "/bin/bash",
            "TERM": "dumb",
            "LC_ALL": "C",
        } | dict(self.further)

    def own_environment(self) -> dict[str, str]:
        """For programs of the prefix."""
        prefix = self.layout.prefix
        path = ":".join((*(f"{prefix}/{place}" for place in _OWN_PATH), _HOST_PATH))
        return self.host_environment() | {"PATH": path, "EPREFIX": str(prefix), "SHELL": f"{prefix}/bin/bash"}

    def view(self, environment: Mapping[str, str]) -> View:
        """What a command sees."""
        return View(
            binds=(
                Bind(self.work.temporary, _TEMPORARY, writable=True),
                *(
                    Bind(self.work.accounts / name, PurePosixPath("/etc", name))
                    for name in account_files(ACCOUNT, ACCOUNT_NUMBER)
                ),
                Bind(self.work.tree, self.layout.prefix, writable=True),
            ),
            network=self.network,
            host_writable=False,
            host_devices=False,
            isolated_processes=True,
            environment=environment,
            directory=_TEMPORARY,
            user=ACCOUNT_NUMBER,
        )

    def require_view(self) -> None:
        """Raises MissingCapability where this machine cannot make the view."""
        try:
            for name, text in account_files(ACCOUNT, ACCOUNT_NUMBER).items():
                (self.work.accounts / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise storage_error(error) from error
        ensure_available(self.view(self.host_environment()), LocalHost())

    def require(
        self,
        what: str,
        stage: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        listen: Callable[[str], None] = lambda _: None,
    ) -> str:
        """Runs `command` and gives what it wrote last, which `stage`'s log has too; `listen` hears it as it comes.
        `what` is its name in errors. CommandFailed with its last words, Interrupted; then nothing runs any more."""
        line = arguments(self.view(environment), command, LocalHost())
        log = self.work.log(stage)
        try:
            with log.open("ab") as output:
                start = output.tell()
                code = self._wait(line, output.fileno(), lambda: listen(_text_from(log, start, _NEWS)))
            text = _text_from(log, start, _LAST_WORDS)
        except OSError as error:
            raise storage_error(error) from error
        if code != 0:
            raise self._failed(what, text, code, log)
        return text

    def _wait(self, line: Sequence[str], output: int, listen: Callable[[], None]) -> int:
        process = subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A program that outlives us still holds the lock.
            pass_fds=(self.work.lock,),
        )
        try:
            while True:
                try:
                    return process.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    listen()
        except KeyboardInterrupt:
            raise Interrupted(hint=RESUME_HINT) from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _failed(self, what: str, text: str, code: int, log: Path) -> CommandFailed:
        found = failure(text, code)
        shown = [str(log)]
        prefix = f"{self.layout.prefix}/"
        if found.build_log.startswith(prefix):
            shown.append(str(self.work.tree / found.build_log.removeprefix(prefix)))
        return CommandFailed(
            what=what, problem=found.problem, hint=f"the whole log is {' and '.join(shown)}; {RESUME_HINT}"
        )


def ways_out(mirrors: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that say where sources come from: the `mirrors`, and the proxies of `environment`. A mirror on this
    machine is a plain path: of Portage's layout for Portage, of files side by side for the script."""
    places = []
    for url in mirrors:
        path = url.removeprefix("file://")
        places += [url] if path == url else [path, f"{path}/distfiles"]
    names = (*_PROXIES, *(name.upper() for name in _PROXIES))
    proxies = {name: environment[name] for name in names if name in environment}
    return ({"GENTOO_MIRRORS": " ".join(places)} if places else {}) | proxies


def _text_from(path: Path, start: int, limit: int) -> str:
    with path.open("rb") as file:
        file.seek(max(start, file.seek(0, os.SEEK_END) - limit))
        return file.read().decode("utf-8", "replace")
