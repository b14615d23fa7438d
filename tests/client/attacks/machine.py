"""A machine that reads for the tests, in namespaces of its own. It is started once for many tests:

    python -m tests.client.attacks.machine

reads orders from standard input, a JSON document a line, until there are no more:

    {"do": "read", "order": FILE}   reads everything once; the answer lies beside the order
    {"do": "open", "order": FILE}   mounts, says `open`, and answers what `open_mount.Program` is asked, until `end`

FILE is what `Order.save` wrote. Each order is carried out by a process of its own, whose exit code is the last line
that is said of it. What is imported here is there for all of them.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

# Runs import these when they come to need them.
from outcrop.client.ladder import layer_server, layer_trial
from tests.client.attacks.open_mount import keep_open
from tests.client.attacks.reading_once import Order, answer_beside, read_by_the_kernel

_IMPORTED = (layer_server, layer_trial)


def serve() -> None:
    """Has orders carried out, one after the other."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _end_with(json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
        with suppress(ChildProcessError):
            # Servers of runs are nobody's children, so they end up here.
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _end_with(request: Mapping[str, Any]) -> None:
    """Carries `request` out, and ends this process."""
    place = Path(request["order"])
    try:
        if request["do"] == "open":
            keep_open(Order.load(place))
        else:
            # A command has no part in the conversation.
            os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
            read_by_the_kernel(Order.load(place), answer_beside(place))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    serve()
