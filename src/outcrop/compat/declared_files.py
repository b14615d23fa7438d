"""The files of a `compat` directory that are no sets, by name, and the directory that comes with Outcrop."""

from __future__ import annotations

from pathlib import Path

STANDARD_DIRECTORY = Path(__file__).with_name("data")
LAYER_FILE = "layer.toml"
INSTRUCTIONS_FILE = "instructions.toml"
"""What `outcrop compat verify` knows of programs that ask the processor what it has."""
LIBRARIES_FILE = "libraries.toml"
"""What it knows of libraries that are not found by the loader's search."""
SCRIPTS_FILE = "scripts.toml"
"""What is known of packages' scripts."""
