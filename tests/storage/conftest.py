"""The S3 server that this session's tests share, and credentials for it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.storage.s3_server import CREDENTIALS, S3Server


@pytest.fixture(scope="session")
def running_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that nobody stops."""
    pytest.importorskip("nanio", reason="the S3 server for the tests is not installed")
    server = S3Server(tmp_path_factory.mktemp("s3")).start()
    yield server
    server.stop()


@pytest.fixture
def s3(running_s3: S3Server, home: object) -> S3Server:
    """The shared server, with credentials for it in the environment. Each test takes a prefix of its own."""
    os.environ.update(CREDENTIALS, AWS_EC2_METADATA_DISABLED="true")
    return running_s3


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return f"test-{uuid.uuid4()}"
