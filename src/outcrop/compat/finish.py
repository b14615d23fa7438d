"""What the scripts of packages do when they are installed, done here: links, caches, certificates, locales, compilers.

No script is run. Each step says which script's work it does; steps that need a program run the layer's own, in a root
that holds nothing else.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from outcrop.compat.debian.alternatives import Alternative, chosen
from outcrop.compat.indices import shorten_lists
from outcrop.compat.layout import STARTPREFIX, LayerLayout
from outcrop.compat.left_out import glob_pattern
from outcrop.compat.locales import CHARACTER_SETS, SOURCES, locales_to_make
from outcrop.compat.package_sets import LayerDescription
from outcrop.compat.redirection import redirections
from outcrop.compat.sealed_root import SealedRoot
from outcrop.compat.unpack import merged_path
from outcrop.errors import CommandFailed, FormatError, storage_error
from outcrop.progress import SILENT, Progress
from outcrop.software.layout import CATALOG_MARKER

_AUTHORITIES = "usr/share/ca-certificates"
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_LOCALE_HINT = "take it out of `locales` in `layer.toml`, or report it"
_LOCALES = "usr/lib/locale"
_LMOD_PACKAGE_PATH = 'getenv("LMOD_PACKAGE_PATH") or '
_BEHIND = "usr/libexec/outcrop"
"""Programs that are only to be called by the scripts in their places."""

_EMPTY_ARCHIVE = b"PK\5\6" + bytes(18)
"""Of zip's format only the end."""


def add_links(tree: Path, layout: LayerLayout, description: LayerDescription, asked: Iterable[Alternative]) -> None:
    """Links that no package has: alternatives, declared ones, those that a site can redirect. StorageError,
    InvalidValue."""
    add_alternatives(tree, asked)
    try:
        for declared in description.links:
            _link(tree, declared.path, declared.target, replace=True)
        add_redirections(tree, layout, description, merged_path)
    except OSError as error:
        raise storage_error(error) from error


def add_alternatives(tree: Path, asked: Iterable[Alternative]) -> list[str]:
    """Links to the alternatives that are chosen of those that are `asked` for, each where nothing is yet; the paths of
    those that were made. StorageError."""
    made = []
    try:
        for link, target in chosen(asked).items():
            path = merged_path(link.lstrip("/"))
            if (tree / merged_path(target.lstrip("/"))).exists() and _link(tree, path, target, replace=False):
                made.append(path)
    except OSError as error:
        raise storage_error(error) from error
    return made


def add_redirections(
    tree: Path, layout: LayerLayout, description: LayerDescription, place_of: Callable[[str], str] = str
) -> None:
    """Links that a site can redirect: to the host's files, and to what it puts before the layer's libraries. `place_of`
    says where a path of the layer is. OSError, InvalidValue."""
    for link in redirections(layout, description).layer:
        _link(tree, place_of(link.path), link.target, replace=True)


def _link(tree: Path, path: str, target: str, *, replace: bool) -> bool:
    """Whether the link was made."""
    place = tree / path
    if not f"{os.path.realpath(place.parent)}/".startswith(f"{os.path.realpath(tree)}/"):
        raise FormatError(what="a link of a package", field=path, problem="leaves the tree")
    if place.is_symlink() or place.exists():
        if not replace:
            return False
        if place.is_dir() and not place.is_symlink():
            for name in list(os.scandir(place)):
                os.unlink(name.path)
            place.rmdir()
        else:
            place.unlink()
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)
    return True


def finish(
    root: SealedRoot,
    description: LayerDescription,
    progress: Progress = SILENT,
    told: Callable[[str], None] = lambda _: None,
    take_away: Callable[[], None] = lambda: None,
) -> None:
    """Everything that is generated; `told` hears of each step when it is done. `root` is writable. `take_away` takes
    what is only there for building out of the tree: nothing is generated from it but locales. CommandFailed where one
    of the layer's programs fails, StorageError."""

    def _only_for_building(_: SealedRoot, __: LayerDescription) -> None:
        take_away()

    steps = (
        _locales,
        _only_for_building,
        _write_own_files,
        _profile,
        _certificates,
        _compiler_specs,
        _compilers_tools,
        _linker_scripts,
        _lmod_places,
        _lists,
        _loader_cache,
        _character_sets,
        _locale_list,
        _python_archive,
        _bytecode,
    )
    progress.start("Finishing the layer", total=len(steps), unit="steps")
    for step in steps:
        try:
            step(root, description)
        except OSError as error:
            raise storage_error(error) from error
        name = step.__name__.strip("_").replace("_", " ")
        progress.advance(1, name)
        told(f"finished: {name}")
    progress.finish()


def _program(root: SealedRoot, place: str) -> str | None:
    """The program at `place`, relative to the layer, as the layer's own programs name it; None without it."""
    return f"{root.layout.prefix}/{place}" if (root.tree / place).exists() else None


def _write_own_files(root: SealedRoot, _: LayerDescription) -> None:
    write_own_files(root.tree, root.layout)


def write_own_files(tree: Path, layout: LayerLayout) -> None:
    """The command that runs another one with the layer's environment, as Gentoo Prefix has it, and the mark that gives
    the layer a catalog of its own; OSError."""
    (tree / CATALOG_MARKER).touch()
    place = tree / STARTPREFIX
    place.write_text(_filled(f"{STARTPREFIX}.sh", layout), encoding="utf-8")
    place.chmod(0o755)


def _filled(template: str, layout: LayerLayout) -> str:
    text = (Path(__file__).with_name("templates") / template).read_text(encoding="utf-8")
    return text.replace("@PREFIX@", str(layout.prefix)).replace("@VARIABLES@", layout.variable_prefix)


def _profile(root: SealedRoot, _: LayerDescription) -> None:
    """`base-files`: what login shells read. Debian's own sets the path of a machine."""
    (root.tree / "etc").mkdir(exist_ok=True)
    (root.tree / "etc/profile").write_text(_filled("profile.sh", root.layout), encoding="utf-8")


def _certificates(root: SealedRoot, _: LayerDescription) -> None:
    """`ca-certificates`: one bundle of all authorities, and links by the hash of their names."""
    authorities = sorted((root.tree / _AUTHORITIES).rglob("*.crt"))
    openssl = _program(root, "usr/bin/openssl")
    if not authorities:
        return
    bundle = root.tree / _BUNDLE
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_bytes(b"".join(path.read_bytes().rstrip(b"\n") + b"\n" for path in authorities))
    for path in authorities:
        link = bundle.parent / f"{path.stem}.pem"
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(path, bundle.parent))
    if openssl:
        root.require([openssl, "rehash", f"{root.layout.prefix}/{bundle.parent.relative_to(root.tree)}"])


_ABSOLUTE_LIBRARY = re.compile(r"(?<=[\s(])/\S*/(?=[^/\s]+\.(?:so[.\d]*|a)\b)")


def _linker_scripts(root: SealedRoot, _: LayerDescription) -> None:
    """`libc.so` and its like are texts that name libraries. Without directories they are found by the linker's own
    path, also with `--sysroot`, which it would put before a path that has the prefix already."""
    directory = root.tree / "usr/lib" / root.layout.family.triplet
    for path in (*directory.glob("lib*.so"), *directory.glob("lib*.a")):
        if path.is_symlink() or path.stat().st_size > 4096:
            continue
        data = path.read_bytes()
        if b"GNU ld script" in data[:64]:
            path.write_text(_ABSOLUTE_LIBRARY.sub("", data.decode()), encoding="utf-8")


_SYSROOT = " %{{!-sysroot=*:--sysroot={prefix}}}"
_LINK = " %{{!static:%{{!static-pie:%{{!shared:%{{!r:--dynamic-linker={loader}}}}}}}}}"


def _compiler_specs(root: SealedRoot, _: LayerDescription) -> None:
    """The compilers' own file of specs: headers and libraries are the layer's, and what they link names the layer's
    loader, which knows where its libraries are. A run path would come before that of whoever links. A driver that finds
    such a file uses no built-in specs, so these are in it, too."""
    layout = root.layout
    added = {
        "self_spec": _SYSROOT.format(prefix=layout.prefix),
        "link": _LINK.format(loader=layout.loader),
        # In the place of `/lib/` and `/usr/lib/`. The first is the end of the second, so it cannot be moved.
        "startfile_prefix_spec": f" {layout.prefix}/usr/lib/",
    }
    # Newer releases have the programs below `usr/libexec`; specs are read from beside the libraries.
    for library in sorted((root.tree / "usr/lib/gcc" / layout.family.triplet).glob("*/libgcc.a")):
        driver = _program(root, f"usr/bin/{layout.family.triplet}-gcc-{library.parent.name}")
        if driver is None:
            continue
        specs = root.require([driver, "-dumpspecs"]).stdout
        for name, text in added.items():
            specs = _with_added(specs, name, text)
        (library.parent / "specs").write_text(specs, encoding="utf-8")


_BINUTILS = ("ar", "as", "ld", "ld.bfd", "ld.gold", "nm", "objcopy", "objdump", "ranlib", "strip")


def _compilers_tools(root: SealedRoot, _: LayerDescription) -> None:
    """Compilers look for an assembler and a linker in a directory of their own before they ask the search path, which
    may have the host's first."""
    directory = root.tree / "usr" / root.layout.family.triplet / "bin"
    if not (root.tree / "usr/lib/gcc" / root.layout.family.triplet).is_dir():
        return
    for name in _BINUTILS:
        if (root.tree / "usr/bin" / name).exists():
            directory.mkdir(parents=True, exist_ok=True)
            (directory / name).symlink_to(f"../../bin/{name}")


def _with_added(specs: str, name: str, text: str) -> str:
    """`specs` with `text` at the end of the one that is called `name`."""
    return re.sub(rf"(?m)^\*{name}:\n.*$", lambda match: match[0] + text, specs)


def _lmod_places(root: SealedRoot, _: LayerDescription) -> None:
    """Lmod where EESSI's initialisation looks for it: `usr/share/Lmod`. Where nobody says where a site's own package
    is, Lmod would look for it in the machine's root. The pager that Debian's build has found waits for a key even where
    all fits on a screen; Lmod's options are those of `less`."""
    home = root.tree / "usr/share/lmod/lmod"
    if not home.exists():
        return
    _link(root.tree, "usr/share/Lmod", "lmod/lmod", replace=True)
    settings = home / "libexec/myGlobals.lua"
    text = settings.read_text(encoding="utf-8")
    default = f'{_LMOD_PACKAGE_PATH}"{root.layout.prefix}/usr/share/lmod/lmod/libexec"'
    text = text.replace(f'{_LMOD_PACKAGE_PATH}""', default)
    if less := _program(root, "usr/bin/less"):
        text = text.replace(f'"{root.layout.prefix}/bin/more"', f'"{less}"')
    settings.write_text(text, encoding="utf-8")


def _lists(root: SealedRoot, _: LayerDescription) -> None:
    """Lists of what there is, without what a layer leaves out; before anything is made of them."""
    shorten_lists(root.tree, root.layout.family.triplet)


def _loader_cache(root: SealedRoot, _: LayerDescription) -> None:
    """`libc-bin`: the index of libraries, for who asks `ldconfig -p`; the loader reads none. The program that makes it
    has its own copy of the loader, whose paths cannot be changed: it is told them by a script in its place."""
    program = root.tree / "usr/sbin/ldconfig"
    if not program.exists():
        return
    prefix = root.layout.prefix
    real = _put_behind(root, "usr/sbin/ldconfig")
    text = f'#!{prefix}/usr/bin/sh\nLC_ALL=C exec {real} -C {prefix}/etc/ld.so.cache -f /dev/null "$@"\n'
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    (root.tree / "etc").mkdir(exist_ok=True)
    cache = [real, "-X", "-C", f"{prefix}/etc/ld.so.cache", "-f", "/dev/null"]
    root.require([*cache, root.layout.libraries])


def _put_behind(root: SealedRoot, path: str) -> str:
    """Puts the program `path` where no path of programs leads; how a script names it there."""
    place = root.tree / _BEHIND / Path(path).name
    place.parent.mkdir(parents=True, exist_ok=True)
    (root.tree / path).rename(place)
    return f"{root.layout.prefix}/{_BEHIND}/{place.name}"


def _character_sets(root: SealedRoot, _: LayerDescription) -> None:
    """`libc-bin`: the index of conversions between character sets."""
    iconvconfig = _program(root, "usr/sbin/iconvconfig")
    modules = f"{root.layout.libraries}/gconv"
    if iconvconfig and (root.tree / "usr/lib" / root.layout.family.triplet / "gconv").is_dir():
        root.require([iconvconfig, "--nostdlib", "-o", f"{modules}/gconv-modules.cache", modules])


_LIST_LOCALES = """\
#!{prefix}/usr/bin/sh
if [ "$*" = -a ] || [ "$*" = --all-locales ]; then
    printf 'C\\nPOSIX\\n'
    exec {prefix}/usr/bin/ls {prefix}/usr/lib/locale
fi
exec {real} "$@"
"""


def _locale_list(root: SealedRoot, _: LayerDescription) -> None:
    """The program that lists locales has their directory in its code: a script lists them."""
    program = root.tree / "usr/bin/locale"
    if program.exists():
        real = _put_behind(root, "usr/bin/locale")
        program.write_text(_LIST_LOCALES.format(prefix=root.layout.prefix, real=real), encoding="utf-8")
        program.chmod(0o755)


def _locales(root: SealedRoot, description: LayerDescription) -> None:
    """`locales`: the declared ones, each in a directory of its own."""
    prefix = root.layout.prefix
    environment = root.environment() | {"LC_ALL": "C", "I18NPATH": f"{prefix}/usr/share/i18n"}
    for locale in locales_to_make(root.tree, description.locales):
        command = [f"{prefix}/usr/bin/localedef", "--no-archive", "-c", "-i", f"{prefix}/{SOURCES}/{locale.source}"]
        with _unpacked(root.tree / CHARACTER_SETS / locale.charset):
            made = root.run([*command, "-f", locale.charset, f"{prefix}/{_LOCALES}/{locale.directory}"], environment)
            root.require_room(made)
        if not (root.tree / _LOCALES / locale.directory).is_dir():
            words = made.stderr.strip().splitlines()
            problem = f"it made no {locale.name}" + (f": {words[-1]}" if words else "")
            raise CommandFailed(what="the layer's `localedef`", problem=problem, hint=_LOCALE_HINT)


@contextmanager
def _unpacked(place: Path) -> Iterator[None]:
    """The file `place` while the block runs, which packages have compressed: the layer's program would call another one
    to unpack it, which QEMU cannot do for a foreign processor."""
    packed = place.with_name(f"{place.name}.gz")
    if place.exists() or not packed.exists():
        yield
        return
    place.write_bytes(gzip.decompress(packed.read_bytes()))
    try:
        yield
    finally:
        place.unlink()


def _python_archive(root: SealedRoot, _: LayerDescription) -> None:
    """Python looks for an archive of its library in all directories above its own, and so out of the prefix, up to
    where clients mount repositories on being asked. An empty one ends that. Source: CPython's `Modules/getpath.py`."""
    for place in _pythons(root.tree):
        name = place.name.replace(".", "") + ".zip"
        place.with_name(name).write_bytes(_EMPTY_ARCHIVE)


_NOT_COMPILED = re.compile(r"^\*\*\* Error compiling '(.*)'\.\.\.$", re.MULTILINE)
_BYTECODE_HINT = "a file that nobody imports is declared in `[[uncompiled]]` of `layer.toml`, with its reason"


def _bytecode(root: SealedRoot, description: LayerDescription) -> None:
    """Python's packages: bytecode, so that no user's import has to compile, with the checksum of its source instead of
    a time, so that it is the same whenever it is made. All but the files that are declared must have some."""
    python = _program(root, "usr/bin/python3")
    if python is None:
        return
    prefix = root.layout.prefix
    places = _existing(root, ("usr/lib/python3", *(f"usr/lib/{path.name}" for path in _pythons(root.tree))))
    options = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    if any((path / "concurrent").is_dir() for path in _pythons(root.tree)):  # the least Python compiles one by one
        options += ["-j", "0"]
    without = "|".join(glob_pattern(path) for one in description.uncompiled for path in one.paths)
    if without:
        options += ["-x", rf"\A{re.escape(str(prefix))}/(?:{without})\Z"]
    ended = root.run([python, "-I", *options, *(f"{prefix}/{place}" for place in places)])
    root.require_room(ended)
    if ended.returncode != 0:
        names = [name.removeprefix(f"{prefix}/") for name in _NOT_COMPILED.findall(ended.stdout)]
        words = (ended.stderr.strip() or ended.stdout.strip()).splitlines() or [f"exit code {ended.returncode}"]
        problem = f"it cannot compile {', '.join(names)}" if names else words[-1]
        raise CommandFailed(what="the layer's `compileall`", problem=problem, hint=_BYTECODE_HINT)


def _pythons(tree: Path) -> Sequence[Path]:
    return sorted((tree / "usr/lib").glob("python3.*"))


def _existing(root: SealedRoot, places: Iterable[str]) -> list[str]:
    return [place for place in places if (root.tree / place).is_dir()]
