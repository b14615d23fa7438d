"""An independent checker of a published CernVM-FS repository.

It is written from the description of the format alone and imports nothing of the package under test, so that one
misreading cannot hide on both sides. `check_repository` is the whole interface; the rules are numbered after the
description: "16.3" is the third rule of its checklist for writers, "3.xattr" a rule of its third section.
"""

from __future__ import annotations

from .check import check_repository
from .findings import Severity, Violation

__all__ = ["Severity", "Violation", "check_repository"]
