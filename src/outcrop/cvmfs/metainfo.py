"""Meta-information: who runs a repository and what it is for, a JSON object of kind M."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Metainfo:
    """What a repository says of itself; `custom` is free for its owner."""

    administrator: str = ""
    email: str = ""
    organisation: str = ""
    description: str = ""
    url: str = ""
    recommended_stratum0: str = ""
    recommended_stratum1s: tuple[str, ...] = ()
    custom: Mapping[str, object] = field(default_factory=dict)

    def encode(self) -> bytes:
        document: dict[str, object] = {key: getattr(self, attribute) for key, attribute in _TEXTS.items()}
        document["recommended-stratum1s"] = list(self.recommended_stratum1s)
        document["custom"] = dict(self.custom)
        return json.dumps(document, indent=2).encode("ascii") + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Metainfo:
        """What `data` says; FormatError names the field that is malformed. Unknown fields are passed over."""
        try:
            document = json.loads(data)
            # What no other reader takes is refused here: NaN and infinities, texts that are not Unicode.
            json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
        except (ValueError, RecursionError) as error:
            raise FormatError(what=_WHAT, field="the JSON text", problem=f"cannot be read ({error})") from error
        if not isinstance(document, dict):
            raise FormatError(what=_WHAT, field="the document", problem="is not an object")
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
        return cls(**texts, recommended_stratum1s=tuple(stratum1s), custom=custom)
