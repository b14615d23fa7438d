"""`python -m tests.fuzz`: what `make fuzz` runs."""

from __future__ import annotations

import sys

from tests.fuzz.atheris_main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
