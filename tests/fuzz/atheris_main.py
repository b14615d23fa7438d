"""The long search for rubbish that breaks a parser, guided by coverage (atheris).

`python -m tests.fuzz.atheris_main [--target NAME]… [--seconds N]` searches the named targets, or all. Every target runs
in a process of its own, since libFuzzer ends the one it is in. An input that breaks a parser is left in `build/fuzz`,
and `--replay FILE` with its target runs it again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

OUTPUT = Path("build/fuzz")
DEFAULT_SECONDS = 60
MAXIMUM_INPUT_BYTES = 64 * 1024
"""Four times the smallest catalog, and far more than a manifest or a whitelist has: more would only slow the search."""
MAXIMUM_MEMORY_MIB = 1024
MAXIMUM_SECONDS_AN_INPUT = 10
"""An input that needs more memory or time than this has found something without bound."""


def search(name: str, seconds: int, replayed: Path | None) -> None:
    """Searches one target in this process, which does not return."""
    import atheris

    with atheris.instrument_imports(include=["outcrop"]):
        from tests.fuzz.targets import ALLOWED, TARGETS

    target = TARGETS[name]

    def one_input(data: bytes) -> None:
        try:
            target.parse(data)
        except ALLOWED:
            return

    corpus = OUTPUT / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MAXIMUM_INPUT_BYTES}",
        f"-timeout={MAXIMUM_SECONDS_AN_INPUT}",
        f"-rss_limit_mb={MAXIMUM_MEMORY_MIB}",
        f"-artifact_prefix={OUTPUT}/{name}-",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    atheris.Setup([name, *options, str(replayed or corpus)], one_input)
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """Searches what the command line names; 1 if a parser broke."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets to search (all)")
    parser.add_argument("--target", action="append", default=[], metavar="NAME", help="a target to search")
    default = int(os.environ.get("FUZZ_SECONDS", DEFAULT_SECONDS))
    parser.add_argument("--seconds", type=int, default=default, help=f"for each target ({default})")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run the one target on this input")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.here:
        search(options.target[0], options.seconds, options.replay)

    # Only now: a search has to import the parsers itself, so that atheris sees them.
    from tests.fuzz.targets import TARGETS

    names = [*options.names, *options.target] or list(TARGETS)
    if unknown := sorted(set(names) - set(TARGETS)):
        parser.error(f"there is no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if options.replay is not None and len(names) != 1:
        parser.error("an input is run again on one target: name it")
    broken = []
    for name in names:
        sys.stderr.write(f"== {name}\n")
        command = [sys.executable, "-m", "tests.fuzz", "--here", "--target", name, "--seconds", str(options.seconds)]
        if options.replay is not None:
            command += ["--replay", str(options.replay)]
        if subprocess.run(command, check=False).returncode:
            broken.append(name)
    sys.stderr.write(f"broken: {', '.join(broken)}; see {OUTPUT}\n" if broken else "every parser held\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
