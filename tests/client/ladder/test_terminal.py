"""A command that runs at a terminal has it to itself: Ctrl-C is its own, and so is the answer."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time

import pytest

from tests.client.ladder.site import NAME, ROOT, Site, reason_against_machines

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("ladder")]

_SECONDS = 60
_COMMAND = "trap 'echo stopped; exit 3' INT; tty; echo ready; while :; do sleep 0.1; done"


def test_ctrl_c_goes_to_the_command(site: Site) -> None:
    reason = reason_against_machines()
    if reason:
        pytest.skip(reason)
    key = str(site.directory / f"{NAME}.pub")
    line = site.outcrop("run", "--way", "fuse", "--key", key, site.url, "--", "sh", "-c", _COMMAND)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, line, environment)
    try:
        said = _read_until(terminal, b"ready")
        assert b"/dev/pts/" in said
        os.write(terminal, b"\x03")
        assert b"stopped" in _read_until(terminal, b"stopped")
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 3
    except BaseException:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise
    finally:
        os.close(terminal)


def _read_until(terminal: int, wanted: bytes) -> bytes:
    """What the terminal shows, up to `wanted`."""
    said = b""
    deadline = time.monotonic() + _SECONDS
    while wanted not in said:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, said
        said += os.read(terminal, 4096)
    return said
