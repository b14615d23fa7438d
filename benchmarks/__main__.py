"""`python -m benchmarks [NAME...]`: run the benchmarks of those names, or all of them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def names() -> list[str]:
    """Every benchmark: the modules `bench_NAME.py` beside this one, each with a `main()` that prints its result."""
    return sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def main(wanted: list[str]) -> int:
    """Run the benchmarks one after the other; 2 when a name is unknown."""
    known = names()
    if unknown := set(wanted) - set(known):
        print(f"no benchmark named {', '.join(sorted(unknown))}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    for name in wanted or known:
        print(f"== {name}", flush=True)
        importlib.import_module(f"benchmarks.bench_{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
