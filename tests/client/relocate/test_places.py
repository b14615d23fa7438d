"""Where a prefix is a path of its own: the rules of words, in text, binary data and bytecode."""

from __future__ import annotations

import marshal

import pytest

from outcrop.client.relocate.places import Context, find_places

OLD = b"/cvmfs/repo.example"
TEXT, BINARY, BYTECODE = Context.TEXT, Context.BINARY, Context.BYTECODE


def found(data: bytes, context: Context) -> bool:
    return bool(find_places(data, OLD, context).places)


@pytest.mark.parametrize(
    "before",
    [
        b"", b"#!", b" ", b'"', b"'", b"=", b":", b"/usr/bin:", b"-L", b"-isystem", b"--prefix=", b"-Wl,-rpath,",
        b"file://", b"\t", b"(", b"[", b"a\\n", b"\\033[1m", "\u201c".encode(), b"'-DX=\\\"",
        b"see ", b"`", b";", b"!", b"x/ ",
    ],
)  # fmt: skip
@pytest.mark.parametrize("context", [TEXT, BINARY])
def test_a_path_begins_after(before: bytes, context: Context) -> None:
    assert found(before + OLD + b"/bin", context)


@pytest.mark.parametrize(
    "before",
    [
        b"http://s1.example.org", b"http://s1.example.org:8000", b"/mnt", b"/mnt/", b"$ROOT", b"${ROOT}", b"$(DESTDIR)",
        b"{{ root }}", b"@SYSROOT@", b"%(root)s", b"{root}", b"~", b"~user", b"a/b", b"/a.b-c",
    ],
)  # fmt: skip
@pytest.mark.parametrize("context", [TEXT, BINARY])
def test_a_path_that_goes_on_is_left(before: bytes, context: Context) -> None:
    occurrences = find_places(b" " + before + OLD + b"/bin", OLD, context)
    assert occurrences.places == ()
    assert occurrences.inner == 1


@pytest.mark.parametrize("before", [b"x", b"word", b"..", b"."])
def test_a_word_ends_a_path_in_text_only(before: bytes) -> None:
    assert not found(b" " + before + OLD, TEXT)
    assert found(b"\0" + before + OLD, BINARY)


@pytest.mark.parametrize(
    "after",
    [b"", b"/", b"/bin", b'"', b" ", b"\0", b":", b".", b". ", b"\\n", b"\n", b"%s", b",", b"*", b"\xe2\x80\x9d"],
)
@pytest.mark.parametrize("context", list(Context))
def test_a_path_ends_before(after: bytes, context: Context) -> None:
    assert found(b" " + OLD + after, context)


@pytest.mark.parametrize("after", [b"-other", b"x", b"_", b".org", b"9", b"~", b"+x", b"@tag"])
@pytest.mark.parametrize("context", list(Context))
def test_another_name_is_no_match(after: bytes, context: Context) -> None:
    occurrences = find_places(b" " + OLD + after, OLD, context)
    assert (occurrences.places, occurrences.inner) == ((), 0)


@pytest.mark.parametrize("tail", ["", "/", "/lib/" + "x" * 40, "/lib/" + "x" * 300])
def test_marshalled_strings_begin_where_their_length_says(tail: str) -> None:
    # Whatever the length byte is, a letter or a slash: it is no part of the path.
    for number in range(60):
        value = OLD.decode() + tail + "y" * (number if tail else 0)
        data = marshal.dumps(("usr/lib", "name", value, "z", value.encode()))
        assert len(find_places(data, OLD, BYTECODE).places) == 2


def test_what_stands_before_a_path_in_its_marshalled_string_counts() -> None:
    for number in range(60):
        assert found(marshal.dumps(("name", f"-L{OLD.decode()}/lib" + "x" * number)), BYTECODE)
        assert not found(marshal.dumps(("name", f"./x{OLD.decode()}/lib" + "x" * number)), BYTECODE)


def test_inner_paths_in_bytecode_are_left() -> None:
    data = marshal.dumps(("http://s1.example.org:8000/cvmfs/repo.example/x",))
    assert not found(data, BYTECODE)


def test_all_places_are_found_in_order() -> None:
    data = b":".join([OLD + b"/a"] * 5)
    assert find_places(data, OLD, TEXT).places == tuple(number * (len(OLD) + 3) for number in range(5))
