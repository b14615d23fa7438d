"""A child ends with its parent, and its parent hears by which error a child ended."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from outcrop.children import error_message, raise_told
from outcrop.errors import NotFound, TrustError

_ORPHAN = """
import os, signal, time
from outcrop.children import end_with_parent
parent = os.getpid()
ready, told = os.pipe()
if os.fork() == 0:
    end_with_parent(parent, signal.SIGKILL)
    os.write(told, b".")
    time.sleep(60)
os.read(ready, 1)
os._exit(0)
"""


def test_an_error_is_raised_as_it_was_told() -> None:
    error = TrustError(what="{it}", problem="ü \udce9", hint="look")
    with pytest.raises(TrustError) as raised:
        raise_told(json.loads(json.dumps(error_message(error))))
    assert (raised.value.message, raised.value.hint) == (error.message, error.hint)


def test_a_message_of_another_kind_raises_nothing() -> None:
    raise_told({"server": 1})
    raise_told({})


def test_an_error_always_fits_into_a_pipe() -> None:
    message = json.dumps(error_message(NotFound(what="\udce9" * 100_000, hint="look")))
    assert len(message) < 65_536


def test_a_child_whose_parent_has_ended_ends_at_once() -> None:
    script = "from outcrop.children import end_with_parent; end_with_parent(-1, 9); print(1)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, b"")


def test_a_child_ends_with_its_parent() -> None:
    # The child holds the pipe of the output, which is read to its end only when the child is gone.
    ended = subprocess.run([sys.executable, "-c", _ORPHAN], capture_output=True, timeout=30, check=False)
    assert ended.returncode == 0
