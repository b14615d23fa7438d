"""Meta-information: who runs a repository and what it is for, a JSON object of kind M.

A key of ours stands beside the reference's. It announces that the repository has a freshness record
(`outcrop.cvmfs.freshness_record`), which clients then demand; the reference ignores it:

    "outcrop": {"freshness": {"maximum_age": 604800, "servers": ["http://s0.example.org/cvmfs/@fqrn@"]}}

Meta-information is named by the signed manifest and copied by every replica, so nobody can leave the announcement out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from outcrop.cvmfs.freshness_announcement import FreshnessAnnouncement
from outcrop.errors import FormatError

_WHAT = "the meta-information"
_TEXTS = {
    "administrator": "administrator",
    "email": "email",
    "organisation": "organisation",
    "description": "description",
    "url": "url",
    "recommended-stratum0": "recommended_stratum0",
}
_OURS = "outcrop"
_FRESHNESS = "freshness"


@dataclass(frozen=True, slots=True)
class Metainfo:
    """What a repository says of itself; `custom` is free for its owner. `freshness` is None where none is announced."""

    administrator: str = ""
    email: str = ""
    organisation: str = ""
    description: str = ""
    url: str = ""
    recommended_stratum0: str = ""
    recommended_stratum1s: tuple[str, ...] = ()
    custom: Mapping[str, object] = field(default_factory=dict)
    freshness: FreshnessAnnouncement | None = None

    def encode(self) -> bytes:
        document: dict[str, object] = {key: getattr(self, attribute) for key, attribute in _TEXTS.items()}
        document["recommended-stratum1s"] = list(self.recommended_stratum1s)
        document["custom"] = dict(self.custom)
        if self.freshness is not None:
            document[_OURS] = {_FRESHNESS: self.freshness.encode()}
        return json.dumps(document, indent=2).encode("ascii") + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Metainfo:
        """What `data` says; FormatError names the field that is malformed. Unknown fields are passed over."""
        document = _document(data)
        texts: dict[str, str] = {}
        for key, attribute in _TEXTS.items():
            value = document.get(key, "")
            if not isinstance(value, str):
                raise FormatError(what=_WHAT, field=key, problem="is not a text")
            texts[attribute] = value
        stratum1s = document.get("recommended-stratum1s", [])
        if not isinstance(stratum1s, list) or not all(isinstance(url, str) for url in stratum1s):
            raise FormatError(what=_WHAT, field="recommended-stratum1s", problem="is not a list of texts")
        custom = document.get("custom", {})
        if not isinstance(custom, dict):
            raise FormatError(what=_WHAT, field="custom", problem="is not an object")
        return cls(
            **texts,
            recommended_stratum1s=tuple(stratum1s),
            custom=custom,
            freshness=_announcement(document),
        )


def announced_freshness(data: bytes) -> FreshnessAnnouncement | None:
    """The announcement in the meta-information `data`, None if there is none.

    Whatever else is in it does not matter: what is no meta-information announces nothing. FormatError for an
    announcement that is malformed, since that was meant."""
    try:
        document = _document(data)
    except FormatError:
        return None
    return _announcement(document)


def with_freshness(data: bytes, announcement: FreshnessAnnouncement | None) -> bytes:
    """The meta-information `data` with `announcement` in it, or without any; all else stays as it is."""
    document = _document(data)
    ours = document.pop(_OURS, None)
    kept = {key: value for key, value in ours.items() if key != _FRESHNESS} if isinstance(ours, dict) else {}
    if announcement is not None:
        kept[_FRESHNESS] = announcement.encode()
    if kept:
        document[_OURS] = kept
    return json.dumps(document, indent=2).encode("ascii") + b"\n"


def _document(data: bytes) -> dict[str, object]:
    try:
        document = json.loads(data)
        # What no other reader takes is refused here: NaN and infinities, texts that are not Unicode.
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise FormatError(what=_WHAT, field="the JSON text", problem=f"cannot be read ({error})") from error
    if not isinstance(document, dict):
        raise FormatError(what=_WHAT, field="the document", problem="is not an object")
    return document


def _announcement(document: Mapping[str, object]) -> FreshnessAnnouncement | None:
    ours = document.get(_OURS)
    if not isinstance(ours, dict) or _FRESHNESS not in ours:
        return None
    return FreshnessAnnouncement.parse(ours[_FRESHNESS])
