"""What S3's errors mean for whoever publishes there. The one border through which boto3's exceptions come.

A bucket that is not there is no NotFound: that would read as "this repository has nothing yet".
Source of the codes: Amazon S3 API Reference, Error Responses; MinIO and Ceph use the same and few of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from outcrop.errors import InvalidValue, NetworkError, NotFound, OutcropError, StorageError
from outcrop.storage.s3_address import S3Address

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_CREDENTIALS_HINT = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (as in ~/.aws/credentials)"
_WRONG_KEY = ("is refused: the server does not accept the credentials", _CREDENTIALS_HINT)
_FORBIDDEN = (
    "may not be accessed with these credentials",
    "publishing needs s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on its objects",
)
_NO_BUCKET = ("cannot be used: there is no such bucket", "create the bucket, for instance with `aws s3 mb s3://{}`")
_ELSEWHERE = (
    "cannot be used: the bucket is in another region",
    "say which behind the address: `?region=NAME`, or set AWS_REGION",
)
_CLOCK = ("is refused: this machine's clock differs too much from the server's", "set the clock (`timedatectl`)")
_FULL = ("cannot be written: the server has no space left for it", "ask whoever runs the server")

_REFUSALS = {
    "NoSuchBucket": _NO_BUCKET,
    "InvalidAccessKeyId": _WRONG_KEY,
    "SignatureDoesNotMatch": _WRONG_KEY,
    "InvalidToken": _WRONG_KEY,
    "ExpiredToken": ("is refused: the credentials have expired", _CREDENTIALS_HINT),
    "AccessDenied": _FORBIDDEN,
    "AllAccessDisabled": _FORBIDDEN,
    "403": _FORBIDDEN,
    "301": _ELSEWHERE,
    "PermanentRedirect": _ELSEWHERE,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "RequestTimeTooSkewed": _CLOCK,
    "QuotaExceeded": _FULL,
    "EntityTooLarge": ("cannot be written: it is larger than the server takes", "ask whoever runs the server"),
    "XMinioStorageFull": _FULL,
    "507": _FULL,
}

_OVERLOADED = frozenset(
    {"500", "502", "503", "504", "InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "Throttling"}
)


@contextmanager
def told_of(what: str, address: S3Address) -> Iterator[None]:
    """Within the block, what boto3 raises about `what` at `address` becomes an error of ours."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _answered(error, what, address) from error
    except BotoCoreError as error:
        raise _unanswered(error, what, address) from error


def refused(code: str, message: str, what: str, address: S3Address) -> OutcropError:
    """The error that the server's `code` means for `what`."""
    if code in _MISSING:
        return NotFound(what=what)
    if code in _OVERLOADED:
        problem = f"is answered with {code}, again and again"
        return NetworkError(what=what, problem=problem, hint="the server is overloaded or broken; try again later")
    if code == "PreconditionFailed":
        return NetworkError(what=what, problem="changed while it was read", hint="try again")
    problem, hint = _REFUSALS.get(code, (f"is refused: {code} ({message})", "ask whoever runs the server"))
    return StorageError(what=what, problem=problem, hint=hint.format(address.bucket))


def _answered(error: ClientError, what: str, address: S3Address) -> OutcropError:
    details = error.response.get("Error", {})
    code = str(details.get("Code") or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "an error"))
    return refused(code, str(details.get("Message", "no reason given")), what, address)


def _unanswered(error: BotoCoreError, what: str, address: S3Address) -> OutcropError:
    from botocore import exceptions as of

    server = address.endpoint or "Amazon S3"
    match error:
        case of.NoCredentialsError() | of.PartialCredentialsError() | of.CredentialRetrievalError():
            problem = f"cannot be used without credentials for {server}"
            return StorageError(what=what, problem=problem, hint=_CREDENTIALS_HINT)
        case of.ProfileNotFound() | of.ConfigParseError() | of.InvalidConfigError() | of.InvalidRegionError():
            hint = "check AWS_PROFILE, AWS_REGION and ~/.aws/config"
            return InvalidValue(what="the configuration of S3", problem=f"cannot be used: {error}", hint=hint)
        case of.SSLError():
            hint = "name the file with your site's authorities in AWS_CA_BUNDLE"
            return NetworkError(what=what, problem=f"cannot be reached: {server} has no valid certificate", hint=hint)
        case of.EndpointConnectionError() | of.ConnectTimeoutError() | of.ProxyConnectionError():
            return NetworkError(what=what, problem=f"cannot be reached: {server} does not answer")
        case of.ReadTimeoutError():
            return NetworkError(what=what, problem=f"is answered too slowly by {server}")
        case of.HTTPClientError() | of.IncompleteReadError():
            return NetworkError(what=what, problem=f"was cut short: {server} ended the transfer too early")
    return NetworkError(what=what, problem=f"cannot be used: {error}")
