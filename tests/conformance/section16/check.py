"""All rules, in the order of the description, applied to one repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

from . import rules_rows, rules_signed, rules_stored, rules_tree
from .findings import Violation, guarded
from .inspection import Inspection, load
from .storage import Storage

RULES: tuple[tuple[str, Callable[[Inspection], Iterator[Violation]]], ...] = (
    ("16.1", rules_tree.rule_1_counters),
    ("16.2", rules_tree.rule_2_root_rows),
    ("16.3", rules_tree.rule_3_link_counts),
    ("16.4", rules_signed.rule_4_sizes_and_equalities),
    ("16.5", rules_signed.rule_5_no_type_letters_in_texts),
    ("16.6", rules_signed.rule_6_monotonic),
    ("16.7", rules_signed.rule_7_whitelist_lines),
    ("16.8", rules_signed.rule_8_signatures),
    ("16.9", rules_tree.rule_9_nested_catalogs),
    ("16.10", rules_stored.rule_10_databases),
    ("16.11", rules_stored.rule_11_objects),
    ("16.12", rules_tree.rule_12_chunks),
    ("16.13", rules_signed.rule_13_certificate),
    ("16.14", rules_tree.rule_14_sizes_of_links_and_devices),
    ("16.15", rules_stored.rule_15_reflog_checksum),
    ("0.layout", rules_stored.section_0_layout),
    ("1.manifest", rules_signed.section_1_manifest),
    ("3.types", rules_rows.section_3_types),
    ("3.schema", rules_rows.section_3_schema),
    ("3.properties", rules_rows.section_3_properties),
    ("3.path", rules_rows.section_3_path),
    ("3.flags", rules_rows.section_3_flags),
    ("3.size", rules_tree.section_3_content),
    ("3.xattr", rules_rows.section_3_xattr),
    ("3.bind", rules_tree.section_3_bind_mountpoints),
    ("3.rowid", rules_rows.section_3_rowid),
    ("3.limits", rules_rows.section_3_limits),
    ("5.history", rules_stored.section_5_history),
    ("6.reflog", rules_stored.section_6_reflog),
)


def check_repository(
    directory: Path, public_keys: Sequence[bytes], fqrn: str, *, now: datetime, all_revisions: bool = False
) -> list[Violation]:
    """Everything that is wrong with a published repository; empty for one that stock tools accept.

    Never raises for what is in the directory: what cannot be read is a violation.

    Args:
        directory: the repository as served, with `.cvmfspublished` and `data/` in it.
        public_keys: master keys in PEM; the whitelist must be signed by one of them.
        fqrn: the fully qualified name under which the repository is mounted.
        now: the time at which the whitelist must be valid, with its time zone.
        all_revisions: checks the trees of all tags and of the reflog too, not only the published one.
    """
    with closing(Inspection(directory, fqrn, now, Storage(directory))) as repository:
        try:
            load(repository, public_keys, all_revisions=all_revisions)
        except Exception as error:
            return [Violation("0.layout", str(directory), f"cannot be loaded: {type(error).__name__}: {error}")]
        found = list(repository.found)
        for rule, look in RULES:
            found.extend(guarded(rule, "repository", look(repository)))
    return list(dict.fromkeys(found))
