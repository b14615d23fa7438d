"""EasyBuild on a layer: a build sees the layer and nothing of the host, and what needs the host is refused."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.compat.relocate.elf_image import ElfImage
from outcrop.errors import InvalidValue
from outcrop.software.build import prepare, run
from outcrop.software.stack import Foreign
from tests.compat.layers import BUILDS_ON_TOP, SharedLayer
from tests.compat.linked_elf import linked, write
from tests.software.small_stack import write_small_stack

pytestmark = BUILDS_ON_TOP

LOOKS_FOR_THE_HOST = r"""hello: hello.c
	test -z "$$(ls -d /etc /lib /lib64 /usr/include /usr/lib /usr/share /usr/bin/gcc /bin/ls 2>/dev/null)"
	printf '#!/bin/bash\necho $$BASH\n' > said.bash
	printf '#!/usr/bin/perl\nprint "$$^X\n"\n' > said.perl
	printf '#!/usr/bin/python3\nimport ssl; print(ssl.__file__)\n' > said.python
	chmod +x said.*
	test "$$(./said.bash)" = /bin/bash
	./said.perl | grep ^/cvmfs/
	./said.python | grep ^/cvmfs/
	$(CC) $(CFLAGS) -DPREFIX='"$(PREFIX)"' -o $@ $< $(LDFLAGS)
"""


def test_a_build_on_a_layer_sees_the_layer_alone(layer_with_compilers: SharedLayer, tmp_path: Path) -> None:
    layer, tree = layer_with_compilers, tmp_path / "tree"
    shutil.copytree(layer.tree, tree / layer.layout.relative, symlinks=True, copy_function=_same_file)
    gcc = layer.root().require([f"{layer.layout.prefix}/usr/bin/gcc", "-dumpfullversion"]).stdout.strip()
    small = write_small_stack(tmp_path, gcc, LOOKS_FOR_THE_HOST, repository=layer.layout.repository)
    prepared = prepare(small.request(tree))
    outcome = run(prepared)
    module = f"hello/1.0-GCCcore-{gcc}"
    assert {one.module for one in outcome.changes.installations} == {f"GCCcore/{gcc}", module}
    place = tree / prepared.layout.installation(module)
    assert ElfImage((place / "bin/hello").read_bytes()).interpreter == layer.layout.loader.encode()

    # Nothing is missing now, and what is to be published is looked at all the same.
    (place / "bin").chmod(0o755)
    write(place / "bin/foreign", linked(interpreter="/lib64/ld-linux-x86-64.so.2"))
    again = run(prepared)
    with pytest.raises(InvalidValue, match=r"bin/foreign is started by /lib64/ld-linux-x86-64\.so\.2"):
        again.held_back.require_nothing(tree / prepared.layout.software)
    assert {one.module for one in again.changes.installations} == {f"GCCcore/{gcc}"}
    assert module not in (tree / prepared.layout.lmod / "cache/spiderT.lua").read_text()
    allowed = replace(prepared.request.stack, foreign=(Foreign(("hello/*/bin/foreign",), "a vendor's"),))
    assert not run(prepare(replace(prepared.request, stack=allowed))).held_back.needs


def _same_file(source: str, target: str) -> str:
    os.link(source, target, follow_symlinks=False)
    return target
