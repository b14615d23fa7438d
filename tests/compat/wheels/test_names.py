from __future__ import annotations

import re

import pytest

from outcrop.compat.wheels.names import WheelName, wheel_name
from outcrop.errors import FormatError


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("archspec-0.2.7-py3-none-any.whl", WheelName("archspec", "0.2.7")),
        ("Ruamel.Yaml_x-1.0.0-2-py2.py3-none-any.whl", WheelName("ruamel-yaml-x", "1.0.0")),
        ("thing-1.0rc1-py312-none-any.whl", WheelName("thing", "1.0rc1")),
    ],
)
def test_a_wheel_is_named_by_its_file(file: str, named: WheelName) -> None:
    assert wheel_name(file, "a set") == named


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("numpy-2.0-cp311-cp311-manylinux_2_17_x86_64.whl", "a layer takes pure-Python wheels only"),
        ("thing-1.0-py3-none-linux_x86_64.whl", "a layer takes pure-Python wheels only"),
        ("thing-1.0-cp311-cp311-any.whl", "a layer takes pure-Python wheels only"),
        ("thing-1.0-py2-none-any.whl", "is not for Python 3"),
        ("thing-1.0.tar.gz", "is not the name of a wheel"),
        ("thing-py3-none-any.whl", "is not the name of a wheel"),
        ("thing-one-py3-none-any.whl", "is not the name of a wheel"),
        ("../thing-1.0-py3-none-any.whl", "is not the name of a wheel"),
        ("", "is not the name of a wheel"),
    ],
)
def test_another_file_is_refused(file: str, problem: str) -> None:
    with pytest.raises(FormatError, match=re.escape(problem)) as raised:
        wheel_name(file, "python.toml")
    assert raised.value.message.startswith("python.toml is malformed: file ")
