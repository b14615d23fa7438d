"""How tests say that a malformed field must be refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from outcrop.errors import FormatError


@contextmanager
def refused(field: str) -> Iterator[None]:
    """The block must end in a FormatError whose `field`, or whose `what`, holds the text `field`."""
    with pytest.raises(FormatError) as caught:
        yield
    named = f"{caught.value.fields['what']}: {caught.value.fields['field']}"
    assert field in named, f"the error names {named!r}, not {field!r}"
    assert caught.value.hint
