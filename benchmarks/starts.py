"""A program by itself, which needs Python's own modules only: how long programs take to start and end.

Reads JSON from standard input: the number of rounds, and commands by name, each with the absolute path of its program.
Prints JSON: the seconds of each start, by name. The commands take turns.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping


def seconds_of_starts(rounds: int, commands: Mapping[str, list[str]]) -> dict[str, list[float]]:
    """What each start took, from asking the kernel for it to its end. RuntimeError for a command that fails."""
    found: dict[str, list[float]] = {name: [] for name in commands}
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    for _ in range(rounds):
        for name, command in commands.items():
            began = time.perf_counter()
            process = os.posix_spawn(command[0], command, os.environ, file_actions=silent)
            _, status = os.waitpid(process, 0)
            found[name].append(time.perf_counter() - began)
            if status:
                raise RuntimeError(f"{name} ended with status {status}")
    return found


if __name__ == "__main__":
    json.dump(seconds_of_starts(*json.load(sys.stdin)), sys.stdout)
