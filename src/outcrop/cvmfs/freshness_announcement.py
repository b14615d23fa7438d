"""The promise of a freshness record, as a repository makes it in its meta-information (`outcrop.cvmfs.metainfo`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import FormatError

DAY_SECONDS = 24 * 3600
MINIMUM_FRESHNESS_SECONDS = 60
MAXIMUM_FRESHNESS_SECONDS = 3650 * DAY_SECONDS
"""What is renewed more often than caches forget it protects nobody, what holds for more than ten years neither."""

DEFAULT_REPLICATION_SECONDS = 6 * 3600
"""How long a new revision may take to every server. Replicas are commonly brought up to date every hour."""

MAXIMUM_FRESHNESS_SERVERS = 8
"""Each may cost a client a timeout when it is down."""


@dataclass(frozen=True, slots=True)
class FreshnessAnnouncement:
    """The promise of a freshness record. Times are in seconds.

    A record is `maximum_age` old at most. `servers` are URLs of the repository, `@fqrn@` and `@org@` in them standing
    for its name and the first label of it, where the record lies besides the clients' own servers. `replication` is
    how long a server may go on with a revision after the next one was published.
    """

    maximum_age: int
    servers: tuple[str, ...] = ()
    replication: int = DEFAULT_REPLICATION_SECONDS

    def __post_init__(self) -> None:
        if not MINIMUM_FRESHNESS_SECONDS <= self.maximum_age <= MAXIMUM_FRESHNESS_SECONDS:
            limits = f"from {MINIMUM_FRESHNESS_SECONDS} to {MAXIMUM_FRESHNESS_SECONDS} seconds"
            raise _malformed("maximum_age", f"is not {limits}")
        if not 0 <= self.replication <= MAXIMUM_FRESHNESS_SECONDS:
            raise _malformed("replication", f"is not from 0 to {MAXIMUM_FRESHNESS_SECONDS} seconds")
        if len(self.servers) > MAXIMUM_FRESHNESS_SERVERS:
            raise _malformed("servers", f"are more than {MAXIMUM_FRESHNESS_SERVERS}")
        for server in self.servers:
            if not is_web_address(server):
                raise _malformed("servers", f"holds {server[:80]!r}, which is no http or https URL")

    def server_urls(self, repository: RepositoryName) -> tuple[str, ...]:
        """`servers` with the names of `repository` filled in."""
        organisation = repository.partition(".")[0]
        return tuple(server.replace("@fqrn@", repository).replace("@org@", organisation) for server in self.servers)

    def encode(self) -> dict[str, object]:
        """The JSON object that says it."""
        document: dict[str, object] = {"maximum_age": self.maximum_age}
        if self.servers:
            document["servers"] = list(self.servers)
        if self.replication != DEFAULT_REPLICATION_SECONDS:
            document["replication"] = self.replication
        return document

    @classmethod
    def parse(cls, document: object) -> FreshnessAnnouncement:
        """What the JSON object `document` says; FormatError names the field that is malformed. Unknown fields are
        passed over."""
        if not isinstance(document, dict):
            raise _malformed("", "is not an object")
        servers = document.get("servers", [])
        if not isinstance(servers, list) or not all(isinstance(server, str) for server in servers):
            raise _malformed("servers", "is not a list of texts")
        return cls(
            _seconds(document, "maximum_age", None),
            tuple(servers),
            _seconds(document, "replication", DEFAULT_REPLICATION_SECONDS),
        )


def _seconds(document: Mapping[str, object], key: str, default: int | None) -> int:
    value = document.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _malformed(key, "is not a whole number")
    return value


def _malformed(key: str, problem: str) -> FormatError:
    field = f"the announcement of freshness, {key}," if key else "the announcement of freshness"
    return FormatError(what="the meta-information", field=field, problem=problem)


def is_web_address(text: str) -> bool:
    """Whether `text` is an http or https URL that a path can be put behind."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
    except ValueError:
        return False
