"""How long readers and proxies may keep what they get, and what it is: the head of every answer with an object.

Source: the reference's Apache configuration. What is signed anew is fresh within a minute, objects never change.
"""

from __future__ import annotations

from dataclasses import dataclass

CHANGING_MAX_AGE_SECONDS = 61
UNCHANGING_MAX_AGE_SECONDS = 3 * 24 * 3600

_CHANGING_TYPE = "application/x-cvmfs"
_OBJECT_TYPE = "application/octet-stream"
_OBJECTS = "data/"


@dataclass(frozen=True, slots=True)
class ServedAs:
    """The `Content-Type` and `Cache-Control` of an answer."""

    content_type: str
    cache_control: str


def served_as(name: str) -> ServedAs:
    """How the object `name` is served, whoever serves it."""
    if name.startswith(_OBJECTS):
        return ServedAs(_OBJECT_TYPE, f"max-age={UNCHANGING_MAX_AGE_SECONDS}")
    return ServedAs(_CHANGING_TYPE, f"max-age={CHANGING_MAX_AGE_SECONDS}")
