"""Names that people give to revisions: a plan for one change of them, and carrying it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from outcrop.cvmfs.history import TRUNK, History, Tag, tag_name
from outcrop.cvmfs.manifest import Manifest
from outcrop.errors import AlreadyExists, InvalidValue, NotFound
from outcrop.stratum0.history.log import root_reference
from outcrop.stratum0.history.revision_names import is_ambiguous_name, named_revision
from outcrop.stratum0.publishing.publication import publish_tags
from outcrop.stratum0.repository import OwnedRepository


@dataclass(frozen=True, slots=True)
class TagChange:
    """What is done to the tags: `put` one, or `remove` one by name."""

    put: Tag | None = None
    remove: str | None = None


def new_tag_name(text: str) -> str:
    """`text` as the name of a new tag; InvalidValue when it cannot be one, or already means a revision otherwise."""
    if is_ambiguous_name(text):
        raise InvalidValue(
            what=f"the tag name {text!r}",
            problem="is how a revision is named by its number, date or root catalog",
            hint="put a word in front, as in `release-41`",
        )
    return tag_name(text)


def require_new_tag(repository: OwnedRepository, manifest: Manifest, name: str) -> None:
    """Returns if `name` can be given to a revision; AlreadyExists if it is, InvalidValue if it never can."""
    new_tag_name(name)
    existing = _find(repository, manifest, name)
    if existing is not None:
        raise AlreadyExists(
            what=f"the tag {name} (revision {existing.revision})",
            hint=f"`outcrop repo tag {repository.name} --delete {name}` takes it away",
        )


def plan_tag(
    repository: OwnedRepository, manifest: Manifest, name: str, *, revision: str = TRUNK, message: str, now: int
) -> TagChange:
    """The tag `name` for `revision`, named as `revision_names` says; NotFound if there is no such revision."""
    require_new_tag(repository, manifest, name)
    record = named_revision(repository, manifest, revision)
    root = root_reference(repository, record)
    return TagChange(put=Tag(name, root.digest, record.revision, now, message, root.size))


def plan_removal(repository: OwnedRepository, manifest: Manifest, name: str) -> TagChange:
    """The tag `name` taken away; NotFound if there is none."""
    tag_name(name)
    if _find(repository, manifest, name) is None:
        hint = f"`outcrop repo tag {repository.name}` lists them"
        raise NotFound(what=f"the tag {name} of {repository.name}", hint=hint)
    return TagChange(remove=name)


def carry_out(repository: OwnedRepository, plan: Callable[[Manifest], TagChange], now: int) -> TagChange:
    """Makes the plan as the only writer, and publishes the history that it leads to."""
    key = repository.signing_key()
    with repository.publishing():
        manifest = repository.manifest(key)
        change = plan(manifest)

        def edit(history: History) -> None:
            if change.put is not None:
                history.put(change.put)
            if change.remove is not None:
                history.remove(change.remove)

        publish_tags(repository, key, manifest, edit, now)
    return change


def _find(repository: OwnedRepository, manifest: Manifest, name: str) -> Tag | None:
    return next((tag for tag in repository.tags(manifest) if tag.name == name), None)
