"""`python -m provision [--system] GOAL`: make this machine ready for `make GOAL`.

`--system` stops after the system packages: what root does for a user who then installs the rest.
"""

from __future__ import annotations

import sys
from pathlib import Path

from provision.environment import Environment
from provision.machine import provide
from provision.packages import read_list
from provision.pins import GOALS

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """Provide for the one goal in `arguments`; the exit code says whether that went well."""
    system_only = "--system" in arguments
    goals = [argument for argument in arguments if argument != "--system"]
    if len(goals) != 1 or goals[0] not in GOALS:
        print(f"usage: python -m provision [--system] {'|'.join(GOALS)}", file=sys.stderr)
        return 2
    (goal,) = goals
    packages = read_list((ROOT / "provision" / "system-packages.toml").read_text(encoding="utf-8"))
    try:
        return 0 if provide(goal, packages) and (system_only or Environment(ROOT).provide(goal)) else 1
    except KeyboardInterrupt:
        print("\nstopped\n\nhint: the same command starts again", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"error: {error.filename or 'the set-up'}: {error.strerror}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
