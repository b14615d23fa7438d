"""A GCC that EasyBuild builds from source on a layer is told of the layer's loader, headers, assembler and linker, and
its own libraries have run paths as all others.

The compiler itself is pretended: what its sources say of loaders is GCC's own text, and what is installed calls the
layer's. A real one takes an hour; what came of it is told in the internals.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from outcrop.compat.relocate.elf_image import DT_RPATH, ElfImage
from outcrop.software.build import prepare, run
from tests.compat.layers import BUILDS_ON_TOP, SharedLayer
from tests.software.small_stack import tarball, write_small_stack
from tests.software.sources.pretended import digest_of

pytestmark = BUILDS_ON_TOP

TRIPLET = "x86_64-pc-linux-gnu"

LOADERS = {
    "i386/linux64.h": '#define GLIBC_DYNAMIC_LINKER64 "/lib64/ld-linux-x86-64.so.2"\n',
    "aarch64/aarch64-linux.h": '#define GLIBC_DYNAMIC_LINKER "/lib/ld-linux-aarch64%{mbig-endian:_be}'
    '%{mabi=ilp32:_ilp32}.so.1"\n',
    "riscv/linux.h": '#define GLIBC_DYNAMIC_LINKER "/lib/ld-linux-riscv" XLEN_SPEC "-" ABI_SPEC ".so.1"\n',
}
"""Lines of GCC 12.2.0, by their file below `gcc/config`."""

CONFIGURE = """#!/bin/sh
for word; do
    echo "$word"
    case $word in --prefix=*) prefix=${word#*=};; --with-sysroot=*) layer=${word#*=};; esac
done > arguments
sed -e "s|@prefix@|$prefix|" -e "s|@layer@|$layer|" -e "s|@linker@|${LD-$(gcc -print-prog-name=ld)}|" \
    ../Makefile.in > Makefile
"""

MAKEFILE = r"""prefix = @prefix@
place = gcc/x86_64-pc-linux-gnu/@version@
bootstrap:
install:
	mkdir -p $(prefix)/bin $(prefix)/lib64 $(prefix)/lib/$(place) $(prefix)/libexec/$(place)
	echo 'int puts(const char *); void greet(void) { puts("greeted"); }' > library.c
	@layer@/usr/bin/gcc -fPIC -c library.c
	@linker@ -shared library.o -o $(prefix)/lib64/libgcc_s.so -L@layer@/usr/lib/x86_64-linux-gnu -lc
	touch $(prefix)/libexec/$(place)/collect2
	cp -r arguments ../gcc/config $(prefix)
	printf '#!/bin/sh\nexec @layer@/usr/bin/$${0##*/} "$$@"\n' > $(prefix)/bin/gcc
	cp $(prefix)/bin/gcc $(prefix)/bin/g++
	cp $(prefix)/bin/gcc $(prefix)/bin/gfortran
	chmod +x $(prefix)/bin/*
"""

EASYCONFIG = """
easyblock = 'EB_GCC'
name = 'GCCcore'
version = '{version}'
homepage = 'https://example.org'
description = "Calls the layer's compiler."
toolchain = SYSTEM
sources = ['gcc-%(version)s.tar.gz']
checksums = ['{sha256}']
start_dir = 'gcc-%(version)s'
preconfigopts = 'chmod +x ../configure && '
languages = ['c', 'c++', 'fortran']
sanity_check_paths = {{'files': ['bin/gcc', 'bin/cc'], 'dirs': []}}
moduleclass = 'compiler'
"""


def test_it_is_told_of_the_layer(layer_with_compilers: SharedLayer, tmp_path: Path) -> None:
    layer, tree = layer_with_compilers, tmp_path / "tree"
    prefix, version = layer.layout.prefix, "12.2.0"
    shutil.copytree(layer.tree, tree / layer.layout.relative, symlinks=True, copy_function=_same_file)
    small = write_small_stack(tmp_path, version, repository=layer.layout.repository)
    texts = {"configure": CONFIGURE, "Makefile.in": MAKEFILE.replace("@version@", version)}
    texts |= {f"gcc/config/{name}": text for name, text in LOADERS.items()}
    files = {f"gcc-{version}/{name}": text for name, text in texts.items()}
    source = tarball(files | dict.fromkeys(("gmp-6.2.1/README", "mpfr-4.2.0/README", "mpc-1.3.1/README"), ""))
    shelf = small.mirror / "g/GCCcore"
    shelf.mkdir(parents=True)
    (shelf / f"gcc-{version}.tar.gz").write_bytes(source)
    easyconfig = EASYCONFIG.format(version=version, sha256=digest_of(source))
    (tmp_path / f"stack/easyconfigs/GCCcore-{version}.eb").write_text(easyconfig)

    prepared = prepare(small.request(tree))
    outcome = run(prepared)
    assert not outcome.held_back.needs
    compiler = tree / prepared.layout.installation(f"GCCcore/{version}")
    assert f"--with-sysroot={prefix}" in (compiler / "arguments").read_text().splitlines()
    for name, text in LOADERS.items():
        assert (compiler / "config" / name).read_text() == text.replace('"/lib', f'"{prefix}/lib')
    assert f'"{layer.layout.loader}"' in (compiler / "config/i386/linux64.h").read_text()
    for name in ("as", "ld"):
        assert str((compiler / TRIPLET / "bin" / name).readlink()) == f"{prefix}/usr/bin/{name}"
    library = ElfImage((compiler / "lib64/libgcc_s.so").read_bytes())
    entries = {entry for text in library.dynamic_strings(DT_RPATH) for entry in text.decode().split(":")}
    assert "$ORIGIN/../lib64" in entries
    assert not any(entry.startswith(str(prefix)) for entry in entries)
    hello = tree / prepared.layout.installation(f"hello/1.0-GCCcore-{version}") / "bin/hello"
    assert ElfImage(hello.read_bytes()).interpreter == layer.layout.loader.encode()


def _same_file(source: str, target: str) -> str:
    os.link(source, target, follow_symlinks=False)
    return target
