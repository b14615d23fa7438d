"""How large a catalog should be: what clients bear, and when the publisher splits and merges on its own.

Sizes are in entries: rows of one catalog, its own directory and the mountpoints of catalogs nested in it included.
"""

from __future__ import annotations

from dataclasses import dataclass

from outcrop.errors import InvalidValue

DEFAULT_MAXIMUM_ENTRIES = 10_000
DEFAULT_MINIMUM_ENTRIES = 500
"""A tenth and half of the reference's (CVMFS_AUTOCATALOGS_MAX_WEIGHT, …_MIN_WEIGHT). A catalog is what a client
fetches before it sees a single name, and what a publish of one file writes anew: with 10,000 entries (2 MB) that takes
0.1 s, with 48,000 three times as long. One of fewer than 500 costs a round trip that its parent could have answered."""

REFERENCE_ROOT_LIMIT = 200_000
REFERENCE_NESTED_LIMIT = 500_000
"""Beyond these the reference publisher warns: every client loads the root catalog, few load any one of the others."""


@dataclass(frozen=True, slots=True)
class CatalogLimits:
    """When catalogs are split and merged.

    A catalog beyond `maximum` is split until half of it is left, as the reference does: the next split is then half a
    maximum of entries away, not one publish. What is split off has `minimum` entries at least.
    """

    maximum: int = DEFAULT_MAXIMUM_ENTRIES
    minimum: int = DEFAULT_MINIMUM_ENTRIES

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.maximum // 2:
            raise InvalidValue(
                what=f"a catalog of {self.minimum:,} to {self.maximum:,} entries",
                problem="cannot be split in two: the minimum is not between 1 and half of the maximum",
                hint=f"the defaults are {DEFAULT_MINIMUM_ENTRIES} and {DEFAULT_MAXIMUM_ENTRIES}",
            )

    @property
    def after_split(self) -> int:
        """A catalog that is split is left with no more than this, where its directories allow."""
        return self.maximum // 2

    @property
    def after_merge(self) -> int:
        """A catalog is merged into its parent only if the parent then has no more than this.

        A quarter of the maximum lies between a merge and the next split, so a publish here and there beside a limit
        does not move the same entries to and fro.
        """
        return self.maximum - self.maximum // 4
