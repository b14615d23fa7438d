"""What a layer can be made from. Each way has functions of its own to plan and build; one is chosen here."""

from __future__ import annotations

from enum import Enum

from outcrop.compat.package_sets import LayerDescription
from outcrop.errors import InvalidValue


class BackEnd(Enum):
    """By the name in `layer.toml`."""

    DEBIAN = "debian"
    GENTOO_PREFIX = "gentoo-prefix"


def back_end_of(description: LayerDescription) -> BackEnd:
    """The back end that `description` names; InvalidValue for one that there is not."""
    try:
        return BackEnd(description.back_end)
    except ValueError:
        known = " or ".join(f'`back_end = "{one.value}"`' for one in BackEnd)
        raise InvalidValue(
            what=f"the back end {description.back_end!r}", problem="is not there", hint=f"write {known} in `layer.toml`"
        ) from None
