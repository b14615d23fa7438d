"""One thing broken at a time in a copy of a sample, with the rules that must name it, and legal variants."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from .section16.digests import Algorithm, parse_digest, path_hash
from .section16.rsa import certificate_as_der, digest_info
from .section16_republisher import MANIFEST, REFLOG, Republisher, replaced, sql, write_anew

TEST, RMD = "test.example.org", "rmd.example.org"

ROOT = ""
"""The mountpoint of the root catalog."""

LONE_FILE = "45a24ae970d3a28170161817ef7c61f5a9d723c5-rmd160"
"""The object of /second, which nothing else in its sample refers to."""
LAST_CHUNK = "c29ae0504d05c54f5210aeab900d57557c86ca14-rmd160"
"""The object of the last chunk of /big.bin."""
UNKNOWN_DIGEST = "ab" * 20

Break = Callable[[Republisher], object]


@dataclass(frozen=True, slots=True)
class Mutation:
    """Something broken, and exactly the rules that must name it: no more, so that a finding points at its cause."""

    name: str
    expected: frozenset[str]
    apply: Break
    fqrn: str


def breaks(rules: str, name: str, apply: Break, fqrn: str = RMD) -> Mutation:
    return Mutation(name, frozenset(rules.split()), apply, fqrn)


def in_catalog(path: str, *statements: str) -> Break:
    return lambda repository: repository.change_catalog(path, sql(*statements))


def in_image(path: str, position: int, octets: bytes) -> Break:
    return lambda repository: repository.change_catalog(path, replaced(position, octets))


def in_history(*statements: str) -> Break:
    return lambda repository: repository.change_history(sql(*statements))


def in_reflog(*statements: str) -> Break:
    return lambda repository: repository.change_reflog(sql(*statements))


def in_manifest(**fields: str | None) -> Break:
    return lambda repository: repository.change_manifest(**fields)


def in_whitelist(line: int, text: bytes) -> Break:
    def change(body: bytes) -> bytes:
        lines = body.split(b"\n")
        lines[line - 1] = text
        return b"\n".join(lines)

    return lambda repository: repository.change_whitelist(change)


def in_row(path: str, assignments: str, catalog: str = ROOT) -> Break:
    return in_catalog(catalog, f"UPDATE catalog SET {assignments} WHERE {at(path)}")


def in_property(key: str, value: str, catalog: str = ROOT) -> Break:
    return in_catalog(catalog, f"UPDATE properties SET value = '{value}' WHERE key = '{key}'")


def with_xattr(blob: bytes) -> Break:
    return in_row("/xattr/file", f"xattr = x'{blob.hex()}'")


def at(path: str) -> str:
    first, second = path_hash(path.encode())
    return f"md5path_1 = {first} AND md5path_2 = {second}"


def renamed(path: str) -> str:
    first, second = path_hash(path.encode())
    return f"md5path_1 = {first}, md5path_2 = {second}, name = '{path.rpartition('/')[2]}'"


def moved(path: str) -> str:
    first, second = path_hash(path.encode().rpartition(b"/")[0])
    return f"{renamed(path)}, parent_1 = {first}, parent_2 = {second}"


def _store_plain_catalog(repository: Republisher) -> None:
    repository.change_catalog("/nest", bytes, pack=bytes)


def _append_to_stream(repository: Republisher) -> None:
    repository.change_catalog("/nest", bytes, pack=lambda image: zlib.compress(image) + b"\n")


def _store_plain_certificate(repository: Republisher) -> None:
    repository.change_object("X", "X", 1, repository.read(parse_digest(repository.fields["X"]), "X"))


def _store_other_certificate(repository: Republisher) -> None:
    repository.change_object("X", "X", 1, zlib.compress(b"-----BEGIN CERTIFICATE-----\n"))


def _store_rubbish_metainfo(repository: Republisher) -> None:
    repository.change_object("M", "M", 3, zlib.compress(b"administrator: nobody"))


def _overwrite_object(repository: Republisher) -> None:
    write_anew(repository.object_path(parse_digest(LONE_FILE), ""), zlib.compress(b"else"))


def _remove_object(repository: Republisher) -> None:
    repository.object_path(parse_digest(LONE_FILE), "").unlink()


def _remove_chunk(repository: Republisher) -> None:
    repository.object_path(parse_digest(LAST_CHUNK), "P").unlink()


def _remove_nested_catalog(repository: Republisher) -> None:
    repository.object_path(parse_digest("c271d60eceec9b4ed704351959f759a641df40f0-rmd160"), "C").unlink()


def _store_uncompressed_file(repository: Republisher) -> None:
    digest = repository.store(b"1234", Algorithm.RMD160, "")
    in_row("/second", f"hash = x'{digest.hexadecimal}'")(repository)


def _add_stray_file(repository: Republisher) -> None:
    (repository.directory / "data" / "00" / "note").write_bytes(b"")


def _list_fingerprint_of_pem(repository: Republisher) -> None:
    pem = repository.read(parse_digest(repository.fields["X"]), "X")
    assert certificate_as_der(pem) != pem
    digits = hashlib.sha1(pem).hexdigest().upper()
    in_whitelist(4, ":".join(digits[place : place + 2] for place in range(0, 40, 2)).encode())(repository)


def _body(repository: Republisher) -> bytes:
    return (repository.directory / MANIFEST).read_bytes().partition(b"--\n")[0]


def _sign_manifest_like_a_whitelist(repository: Republisher) -> None:
    repository.write_manifest(_body(repository), seal=bytes)


def _sign_manifest_with_line_end(repository: Republisher) -> None:
    repository.write_manifest(_body(repository), seal=lambda line: digest_info(line + b"\n"))


def _change_manifest_without_signing(repository: Republisher) -> None:
    content = (repository.directory / MANIFEST).read_bytes()
    write_anew(repository.directory / MANIFEST, content.replace(b"\nGyes", b"\nGno", 1))


def _cut_signature(repository: Republisher) -> None:
    content = (repository.directory / MANIFEST).read_bytes()
    write_anew(repository.directory / MANIFEST, content[:-1])


def _sign_whitelist_like_a_manifest(repository: Republisher) -> None:
    repository.change_whitelist(bytes, seal=digest_info)


def _repeat_field(repository: Republisher) -> None:
    repository.write_manifest(_body(repository) + f"N{RMD}\n".encode())


def _remove_reflog(repository: Republisher) -> None:
    (repository.directory / REFLOG).unlink()


def _change_reflog_behind_the_manifest(repository: Republisher) -> None:
    reflog = repository.directory / REFLOG
    write_anew(reflog, sql("UPDATE refs SET timestamp = timestamp + 1")(reflog.read_bytes()))


def _store_shake128_file(repository: Republisher) -> None:
    digest = repository.store(b"1234", Algorithm.SHAKE128, "")
    in_row("/second", f"hash = x'{digest.hexadecimal}', flags = {4 | 2 << 8 | 1 << 11}")(repository)


def _make_file_external(repository: Republisher) -> None:
    in_catalog(
        ROOT,
        f"UPDATE catalog SET flags = {4 | 1 << 7 | 1 << 11}, hash = x'{UNKNOWN_DIGEST}' WHERE {at('/second')}",
        "UPDATE statistics SET value = 1 WHERE counter = 'self_external'",
        "UPDATE statistics SET value = 4 WHERE counter = 'self_external_file_size'",
    )(repository)


def _publish_without_bookkeeping(repository: Republisher) -> None:
    repository.change_manifest(H=None, M=None, Y=None, B=None, T=None, G=None, A=None)
    (repository.directory / REFLOG).unlink()


VARIANTS = (
    breaks(
        "",
        "schema revision 6",
        in_catalog(
            ROOT,
            "ALTER TABLE catalog DROP COLUMN mtimens",
            "UPDATE properties SET value = '6' WHERE key = 'schema_revision'",
        ),
        TEST,
    ),
    breaks("", "pages of 4096 bytes", in_catalog(ROOT, "PRAGMA page_size = 4096", "VACUUM")),
    breaks("", "empty previous_revision", in_property("previous_revision", "")),
    breaks("", "uncompressed file under SHAKE-128", _store_shake128_file),
    breaks("", "external file", _make_file_external),
    breaks("", "hidden file with direct I/O", in_row("/second", f"flags = {260 | 0x18000}")),
    breaks("", "marker in the root", in_row("/second", renamed("/.cvmfscatalog"))),
    breaks(
        "",
        "fields in another order",
        lambda repository: repository.write_manifest(b"".join(sorted(_body(repository).splitlines(keepends=True)))),
    ),
    breaks("", "no history, no reflog, no meta-info", _publish_without_bookkeeping),
    breaks(
        "",
        "comment after the fingerprint",
        lambda repository: repository.change_whitelist(lambda body: body[:-1] + b" # build machine\n"),
    ),
    breaks(
        "",
        "chain of certificates asked for",
        lambda repository: repository.change_whitelist(lambda body: body.replace(b"\nCF:", b"\nWcachain\nCF:")),
    ),
    breaks("", "link target in Latin-1", in_row("/lnk", "symlink = CAST(x'706b6730e4' AS TEXT), size = 5")),
)
"""Unusual but legal: no rule may name these."""

MUTATIONS = (
    breaks("16.1", "counter missing", in_catalog(ROOT, "DELETE FROM statistics WHERE counter = 'self_xattr'")),
    breaks("16.1", "own counter", in_catalog(ROOT, "UPDATE statistics SET value = 15 WHERE counter = 'self_regular'")),
    breaks(
        "16.1", "subtree counter", in_catalog(ROOT, "UPDATE statistics SET value = 0 WHERE counter = 'subtree_dir'")
    ),
    breaks("16.1", "counter is text", in_catalog(ROOT, "UPDATE statistics SET value = 'x' WHERE counter = 'self_dir'")),
    breaks("16.1", "no mtimens", in_catalog(ROOT, "ALTER TABLE catalog DROP COLUMN mtimens"), TEST),
    breaks("16.2", "root's link target is NULL", in_row(ROOT, "symlink = NULL")),
    breaks("16.2", "file's link target is NULL", in_row("/second", "symlink = NULL")),
    breaks("16.2", "root has a name", in_row(ROOT, "name = '/'")),
    breaks("16.2", "root has a parent", in_row(ROOT, "parent_1 = 1")),
    breaks("16.3", "no links", in_row("/second", "hardlinks = 0")),
    breaks("16.3", "links of a directory", in_row("/pkg1", "hardlinks = hardlinks - 1")),
    breaks("16.3", "links without a group", in_row("/second", "hardlinks = 2")),
    breaks("16.3", "directory in a group", in_row("/pkg1", f"hardlinks = hardlinks + {1 << 32}")),
    breaks("16.3", "group lacks a member", in_row("/hard/a", "hardlinks = 1"), TEST),
    breaks("16.3", "group differs in metadata", in_row("/hard/a", "mtime = mtime + 1"), TEST),
    breaks("16.3", "group spans directories", in_row("/hard/a", moved("/links/a")), TEST),
    breaks("16.4", "size of root catalog", in_manifest(B="1")),
    breaks("16.4", "revision", in_manifest(S="7")),
    breaks("16.4", "time to live", in_manifest(D="62")),
    breaks("16.4", "size of nested catalog", in_catalog(ROOT, "UPDATE nested_catalogs SET size = 1")),
    breaks("16.4", "size of nested catalog is NULL", in_catalog(ROOT, "UPDATE nested_catalogs SET size = NULL")),
    breaks("16.4 16.1", "plain catalog", _store_plain_catalog),
    breaks("16.4 16.1", "bytes after the catalog", _append_to_stream),
    breaks(
        "16.5 16.1",
        "letter in nested_catalogs",
        in_catalog(ROOT, "UPDATE nested_catalogs SET sha1 = sha1 || 'C' WHERE path = '/nest'"),
    ),
    breaks("16.5", "letter in previous_revision", in_property("previous_revision", UNKNOWN_DIGEST + "C")),
    breaks(
        "16.5", "letter in the history", in_history("UPDATE properties SET value = value || 'H' WHERE key LIKE 'prev%'")
    ),
    breaks(
        "16.5", "letter in the reflog", in_reflog("UPDATE refs SET hash = hash || 'M' WHERE type = 0 AND rowid = 1")
    ),
    breaks("0.digest", "upper case", in_property("previous_revision", UNKNOWN_DIGEST.upper())),
    breaks("0.digest", "unknown algorithm", in_property("previous_revision", UNKNOWN_DIGEST + "-sha3")),
    breaks("16.6", "time before the predecessor", in_property("last_modified", "1")),
    breaks("16.6", "revision of nested catalog", in_property("revision", "1", "/.cvmfs")),
    breaks("16.6", "tag of the future", in_history("UPDATE tags SET timestamp = 2000000000 WHERE name = 't2'")),
    breaks("16.6 5.history", "tag above the revision", in_history("UPDATE tags SET revision = 9 WHERE name = 't2'")),
    breaks("16.7", "issue time", in_whitelist(1, b"2026112102101")),
    breaks("16.7", "expiry without E", in_whitelist(2, b"20461116021013")),
    breaks("16.7", "expiry is no date", in_whitelist(2, b"E20461316021013")),
    breaks("16.7", "name", in_whitelist(3, b"Nrmd.example.com")),
    breaks("16.8", "manifest signed bare", _sign_manifest_like_a_whitelist),
    breaks("16.8", "manifest signed with line end", _sign_manifest_with_line_end),
    breaks("16.8", "manifest changed", _change_manifest_without_signing),
    breaks("16.8", "signature cut", _cut_signature),
    breaks("16.8", "whitelist signed with DigestInfo", _sign_whitelist_like_a_manifest),
    breaks("16.9", "mountpoint differs", in_row("/nest", "mtime = mtime + 1")),
    breaks("16.9", "nested root differs", in_row("/nest", "uid = 5", "/nest")),
    breaks("16.9 16.1", "no reference", in_catalog(ROOT, "DELETE FROM nested_catalogs WHERE path = '/nest'")),
    breaks("16.9", "not flagged as mountpoint", in_row("/nest", "flags = 1")),
    breaks("16.9", "not flagged as nested root", in_row("/nest", "flags = 1", "/nest")),
    breaks("16.9", "no marker", in_row("/nest/.cvmfscatalog", renamed("/nest/.cvmfscatalo"), "/nest")),
    breaks("16.9", "marker elsewhere", in_row("/pkg1/sub2/f22.txt", renamed("/pkg1/sub2/.cvmfscatalog"))),
    breaks("16.9", "children left in the parent", in_row("/second", moved("/nest/second"))),
    breaks("16.10", "WAL", in_image(ROOT, 18, b"\x02\x02")),
    breaks("16.10", "more bytes than pages", in_image(ROOT, 28, struct.pack(">I", 18))),
    breaks("16.10", "history in WAL", lambda repository: repository.change_history(replaced(18, b"\x02\x02"))),
    breaks("16.10", "reflog in WAL", lambda repository: repository.change_reflog(replaced(18, b"\x02\x02"))),
    breaks("16.11", "object overwritten", _overwrite_object),
    breaks("16.11", "object missing", _remove_object),
    breaks("16.11 16.1", "nested catalog missing", _remove_nested_catalog),
    breaks("0.objects", "file not compressed", _store_uncompressed_file),
    breaks("0.layout", "stray file", _add_stray_file),
    breaks("16.12", "chunk missing", _remove_chunk),
    breaks(
        "16.12", "gap between chunks", in_catalog(ROOT, "UPDATE chunks SET offset = offset + 1 WHERE offset > 9000000")
    ),
    breaks("16.12", "size of chunk", in_catalog(ROOT, "UPDATE chunks SET size = size + 1 WHERE offset > 9000000")),
    breaks("16.12 16.11", "chunked file with a hash", in_row("/big.bin", f"hash = x'{UNKNOWN_DIGEST}'")),
    breaks("16.12", "file without a hash", in_row("/second", "hash = NULL, flags = 4")),
    breaks("16.12 16.1", "no chunks", in_catalog(ROOT, "DELETE FROM chunks")),
    breaks("16.12", "chunks of nothing", in_catalog(ROOT, f"UPDATE chunks SET {at('/nothing').replace(' AND', ',')}")),
    breaks("16.13", "fingerprint of PEM", _list_fingerprint_of_pem),
    breaks("16.13", "unknown fingerprint algorithm", in_whitelist(4, b"00:" * 19 + b"00-SHA3")),
    breaks("16.13", "plain certificate", _store_plain_certificate),
    breaks("16.13 16.8", "broken certificate", _store_other_certificate),
    breaks("16.14", "size of link", in_row("/lnk", "size = 8")),
    breaks("16.14", "size of pipe", in_row("/special/fifo", "size = 1"), TEST),
    breaks("16.15", "reflog changed", _change_reflog_behind_the_manifest),
    breaks("16.15", "reflog missing", _remove_reflog),
    breaks("16.15", "no checksum", in_manifest(Y=None)),
    breaks("16.15", "certificate not recorded", in_reflog("DELETE FROM refs WHERE type = 1")),
    breaks("0.bootstrap", "no bootstrap links", in_manifest(A="yes")),
    breaks("1.manifest", "no name", in_manifest(N=None)),
    breaks("1.manifest", "other name", in_manifest(N="rmd.example.com")),
    breaks("1.manifest", "other root path", in_manifest(R=UNKNOWN_DIGEST)),
    breaks("1.manifest", "neither yes nor no", in_manifest(G="maybe")),
    breaks("1.manifest", "time is no number", in_manifest(T="today")),
    breaks("1.manifest", "field twice", _repeat_field),
    breaks("1.manifest", "meta-info is no JSON", _store_rubbish_metainfo),
    breaks("3.types", "time is text", in_row("/second", "mtime = 'today'")),
    breaks("3.types", "name is a blob", in_row("/second", "name = CAST(name AS BLOB)")),
    breaks("3.types", "hash on a directory", in_row("/pkg1", f"hash = x'{UNKNOWN_DIGEST}'")),
    breaks("3.types", "owner out of range", in_row("/second", f"uid = {1 << 32}")),
    breaks("3.types", "nanoseconds out of range", in_row("/second", "mtimens = 1000000000")),
    breaks("3.schema", "no index", in_catalog(ROOT, "DROP INDEX idx_catalog_parent")),
    breaks("3.schema", "another column", in_catalog(ROOT, "ALTER TABLE catalog ADD COLUMN birth INTEGER")),
    breaks("3.schema", "no table", in_catalog("/nest", "DROP TABLE bind_mountpoints")),
    breaks("3.properties", "schema", in_property("schema", "2.4")),
    breaks("3.properties", "schema revision", in_property("schema_revision", "8")),
    breaks("3.properties", "root prefix", in_property("root_prefix", "/nests", "/nest")),
    breaks("3.properties", "no time", in_catalog(ROOT, "DELETE FROM properties WHERE key = 'last_modified'")),
    breaks("3.path", "path hash", in_row("/second", "md5path_1 = 1")),
    breaks("3.path", "orphan", in_row("/second", "parent_1 = 1")),
    breaks("3.path", "slash", in_row("/second", renamed("/second/third").replace("'third'", "'second/third'"))),
    breaks("3.path", "empty name", in_row("/second", renamed("/"))),
    breaks("3.path", "same name", in_row("/second", "name = 'empty'")),
    breaks("3.path", "below a file", in_row("/second", moved("/empty/second"))),
    breaks("3.flags", "unknown algorithm", in_row("/second", f"flags = {4 | 7 << 8}")),
    breaks("3.flags", "unknown compression", in_row("/second", f"flags = {260 | 2 << 11}")),
    breaks("3.flags", "algorithm without a hash", in_row("/lnk", f"flags = {12 | 1 << 8}")),
    breaks("3.flags", "mode of another type", in_row("/second", f"mode = {0o120644}")),
    breaks("3.flags", "direct I/O on a link", in_row("/lnk", f"flags = {12 | 0x10000}")),
    breaks("3.flags", "unknown bit", in_row("/second", f"flags = {260 | 1 << 20}")),
    breaks("3.flags 3.types 16.1", "link without the file bit", in_row("/lnk", "flags = 0")),
    breaks("3.size 16.1", "size of file", in_row("/second", "size = 5")),
    breaks("3.xattr", "version", with_xattr(b"\x02\x01\x08\x01user.binx"), TEST),
    breaks("3.xattr", "not sorted", with_xattr(b"\x01\x02\x06\x01user.bx\x06\x01user.ax"), TEST),
    breaks("3.xattr", "cut short", with_xattr(b"\x01\x02\x06\x01user.bx"), TEST),
    breaks("3.xattr", "trailing bytes", with_xattr(b"\x01\x01\x06\x01user.bxx"), TEST),
    breaks("3.xattr", "no namespace", with_xattr(b"\x01\x01\x04\x01userx"), TEST),
    breaks("3.xattr", "no attributes", with_xattr(b"\x01\x00"), TEST),
    breaks("3.bind", "not listed", in_catalog("/.cvmfs", "DELETE FROM bind_mountpoints WHERE path LIKE '%/t1'")),
    breaks("3.bind", "not flagged", in_row("/.cvmfs/snapshots/t2", "flags = 1, hardlinks = 2", "/.cvmfs")),
    breaks("3.rowid", "sparse row numbers", in_catalog(ROOT, "UPDATE catalog SET rowid = rowid + 100")),
    breaks("3.rowid", "no inode", in_catalog(ROOT, f"UPDATE catalog SET rowid = -1 WHERE {at('/second')}")),
    breaks("5.history", "size of tag", in_history("UPDATE tags SET size = 1 WHERE name = 't1'")),
    breaks("5.history", "lost tag", in_history(f"UPDATE tags SET hash = '{UNKNOWN_DIGEST}' WHERE name = 't1'")),
    breaks("5.history", "blank in a tag's name", in_history("UPDATE tags SET name = 't 1' WHERE name = 't1'")),
    breaks(
        "5.history",
        "trunk is not the head",
        in_history(
            "DELETE FROM tags WHERE name = 'trunk'", "UPDATE tags SET name = 'trunk' WHERE name = 'trunk-previous'"
        ),
    ),
    breaks("5.history", "channel", in_history("UPDATE tags SET channel = 64 WHERE name = 't1'")),
    breaks("5.history", "branch", in_history("UPDATE tags SET branch = 'side' WHERE name = 't1'")),
    breaks("5.history", "name of the repository", in_history("UPDATE properties SET value = 'x' WHERE key = 'fqrn'")),
    breaks("6.reflog", "type", in_reflog("UPDATE refs SET type = 4 WHERE rowid = 1")),
    breaks("6.reflog", "lost object", in_reflog(f"INSERT INTO refs VALUES ('{UNKNOWN_DIGEST}', 0, 1)")),
    breaks("6.reflog", "time is text", in_reflog("UPDATE refs SET timestamp = 'now' WHERE rowid = 1")),
)
