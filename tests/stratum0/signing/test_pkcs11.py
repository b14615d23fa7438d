"""A master key on a token: URIs read strictly, and a real (software) token that signs what clients believe.

PKCS#11 modules keep global state and read their configuration once, so whatever loads one runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest

from outcrop.client.trust import verify_whitelist
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.objects import WHITELIST_NAME
from outcrop.cvmfs.signatures import load_public_key
from outcrop.errors import InvalidValue, MissingCapability, NotFound
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.settings import RepositorySettings, load_settings
from outcrop.stratum0.signing.pkcs11_key import TokenAccess, open_token_key, pin_from_environment
from outcrop.stratum0.signing.pkcs11_uri import TokenUri
from tests.stratum0.conftest import NAME

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")
PIN = "4711"

# URIs


def test_every_part_of_a_uri_is_understood() -> None:
    text = "pkcs11:token=The%20Token;manufacturer=SoftHSM;serial=0a1b;object=my%3Bkey;id=%01%ff;type=private"
    uri = TokenUri.parse(f"{text}?module-path=/usr/lib/m.so")
    assert (uri.token, uri.manufacturer, uri.serial, uri.object) == ("The Token", "SoftHSM", "0a1b", "my;key")
    assert (uri.id, uri.module_path) == (b"\x01\xff", "/usr/lib/m.so")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("token=x", "does not begin"),
        ("pkcs11:", "names no token"),
        ("pkcs11:object=key", "names no token"),
        ("pkcs11:token=x;token=y", "says 'token' twice"),
        ("pkcs11:token", "without a value"),
        ("pkcs11:token=x;colour=red", "'colour', which is not known"),
        ("pkcs11:token=x;type=cert", "something other than a private key"),
        ("pkcs11:token=x?pin-value=1234", "holds a PIN"),
        ("pkcs11:token=x?pin-source=file:/pin", "holds a PIN"),
    ],
)
def test_what_is_no_uri_of_a_key_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidValue, match=problem) as caught:
        TokenUri.parse(text)
    assert "1234" not in str(caught.value)


def test_a_pin_comes_from_the_environment_or_is_said_to_be_missing() -> None:
    assert pin_from_environment("the token x", {"OUTCROP_PKCS11_PIN": PIN}) == PIN
    with pytest.raises(MissingCapability, match="OUTCROP_PKCS11_PIN is not set"):
        pin_from_environment("the token x", {})


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    access = TokenAccess(str(tmp_path / "module.so"))
    with (
        pytest.raises(NotFound, match=r"module\.so does not exist"),
        open_token_key(TokenUri.parse("pkcs11:token=x"), access),
    ):
        pytest.fail("there is no such module")


# A software token


@dataclass(frozen=True)
class SoftToken:
    """A token of SoftHSM below a directory of the test's own, and a repository whose master key may move there."""

    data: Path
    storage: Path
    environment: dict[str, str]

    def outcrop(self, *arguments: str, pin: str | None = PIN) -> subprocess.CompletedProcess[str]:
        """Runs a command of ours that may speak to the token."""
        environment = self.environment | ({"OUTCROP_PKCS11_PIN": pin} if pin is not None else {})
        return subprocess.run(
            [sys.executable, "-m", "outcrop", "repo", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def answer(self, *arguments: str) -> dict[str, object]:
        done = self.outcrop(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert isinstance(document, dict)
        return document

    def settings(self) -> RepositorySettings:
        return load_settings(self.data, NAME)

    def is_trusted(self) -> bool:
        key = load_public_key((self.data / f"{NAME}.pub").read_bytes(), "the public key")
        data = (self.storage / WHITELIST_NAME).read_bytes()
        return verify_whitelist(data, NAME, [key], datetime.now(UTC)).whitelist.repository == NAME


@pytest.fixture
def token(tmp_path: Path, test_keys: Path) -> SoftToken:
    """An initialised token with the label `outcrop`."""
    module = next((module for module in MODULES if os.path.exists(module)), None)
    if module is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM is not installed (softhsm2)")
    if find_spec("pkcs11") is None:
        pytest.skip("python-pkcs11 is not installed (outcrop[pkcs11])")
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\n")
    data, storage = tmp_path / "data", tmp_path / "storage" / NAME
    environment = {
        **os.environ,
        "SOFTHSM2_CONF": str(configuration),
        "OUTCROP_PKCS11_MODULE": module,
        "OUTCROP_DATA_DIR": str(data),
    }
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "outcrop", "--pin", PIN, "--so-pin", "0815"],
        env=environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    shutil.copytree(test_keys, data)
    settings = RepositorySettings(name=NAME, storage=str(storage))
    create_repository(plan_creation(data, settings, Metainfo()), datetime.now(UTC) - timedelta(days=20))
    return SoftToken(data, storage, environment)


@pytest.mark.integration
def test_a_master_key_moves_to_a_token_and_signs_from_there(token: SoftToken) -> None:
    key_file = token.data / f"{NAME}.masterkey"
    moved = token.answer("keys", NAME, "--move-master-to-token", "pkcs11:token=outcrop")
    assert moved["imported"] is True
    assert token.settings().master_key == f"pkcs11:token=outcrop;object={NAME}"
    assert key_file.exists()
    report = token.answer("keys", NAME)
    assert any("still holds a master key" in warning for warning in report["warnings"])  # type: ignore[attr-defined]
    kept = key_file.read_bytes()
    key_file.unlink()
    before = (token.storage / WHITELIST_NAME).read_bytes()
    assert token.answer("resign", NAME, "--days", "40")["signed"] is True
    assert (token.storage / WHITELIST_NAME).read_bytes() != before
    assert token.is_trusted()
    master = token.answer("keys", NAME)["master_key"]
    assert isinstance(master, dict)
    assert master["kind"] == "token"
    key_file.write_bytes(kept)
    key_file.chmod(0o600)
    again = token.answer("keys", NAME, "--move-master-to-token", "pkcs11:token=outcrop")
    assert again["imported"] is False


@pytest.mark.integration
def test_a_token_signs_a_request_where_there_is_no_repository(token: SoftToken, tmp_path: Path) -> None:
    token.answer("keys", NAME, "--move-master-to-token", "pkcs11:token=outcrop;object=master")
    asked, signature = str(tmp_path / "request"), str(tmp_path / "signature")
    token.answer("resign", NAME, "--export-request", asked)
    elsewhere = SoftToken(
        tmp_path / "nothing", token.storage, {**token.environment, "OUTCROP_DATA_DIR": "/nonexistent"}
    )
    uri = "pkcs11:token=outcrop;object=master"
    elsewhere.answer("resign", NAME, "--sign-request", asked, "--master-key", uri, "--signature", signature)
    assert token.answer("resign", NAME, "--import-signature", signature)["signed"] is True
    assert token.is_trusted()


@pytest.mark.integration
def test_what_is_wrong_with_a_token_is_told(token: SoftToken) -> None:
    uri = "pkcs11:token=outcrop"
    wrong = token.outcrop("keys", NAME, "--move-master-to-token", uri, pin="1234")
    assert (wrong.returncode, "the PIN for the token outcrop is wrong" in wrong.stderr) == (1, True), wrong.stderr
    silent = token.outcrop("keys", NAME, "--move-master-to-token", uri, pin=None)
    assert (silent.returncode, "there is no terminal to ask on" in silent.stderr) == (9, True), silent.stderr
    absent = token.outcrop("keys", NAME, "--move-master-to-token", "pkcs11:token=another")
    assert (absent.returncode, "the token another on" in absent.stderr) == (1, True), absent.stderr
    (token.data / f"{NAME}.masterkey").rename(token.data / "kept")
    empty = token.outcrop("keys", NAME, "--move-master-to-token", uri)
    assert (empty.returncode, f"object={NAME} does not exist" in empty.stderr) == (1, True), empty.stderr
    assert token.settings().master_key == ""


@pytest.mark.integration
def test_another_key_on_the_token_is_not_taken_for_the_master_key(token: SoftToken) -> None:
    made = [
        "pkcs11-tool", "--module", token.environment["OUTCROP_PKCS11_MODULE"], "--login", "--pin", PIN,
        "--keypairgen", "--key-type", "rsa:2048", "--label", NAME, "--token-label", "outcrop",
    ]  # fmt: skip
    if shutil.which("pkcs11-tool") is None:
        pytest.skip("pkcs11-tool is not installed (opensc)")
    subprocess.run(made, env=token.environment, capture_output=True, check=True, timeout=60)
    done = token.outcrop("keys", NAME, "--move-master-to-token", "pkcs11:token=outcrop")
    assert (done.returncode, "it is not the one whose public half is" in done.stderr) == (4, True), done.stderr
    assert token.settings().master_key == ""
