"""Errors of a bucket as sentences: none quotes a key, a token or what the server answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from medsiglip.index.errors import CatalogError

_ABSENT = {"404", "NoSuchKey", "NotFound"}
_REFUSED = {
    "403": "it refuses these credentials, or they may not do this",
    "AccessDenied": "these credentials may not do this",
    "InvalidAccessKeyId": "it does not know these credentials",
    "SignatureDoesNotMatch": "the secret of these credentials is wrong",
    "ExpiredToken": "these credentials have expired",
    "NoSuchBucket": "there is no such bucket",
    "PermanentRedirect": "the bucket is in another region",
    "AuthorizationHeaderMalformed": "the bucket is in another region",
    "EntityTooLarge": "a file is larger than it takes at once",
}
# Answers of a server that is away or overloaded; the client has tried again before it reports them.
_AWAY = {"500", "502", "503", "504", "InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout"}


def code_of(error: Any) -> str:
    """The code of an error that the server answered with."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(url: str, name: str = "") -> Iterator[None]:
    """Turn errors of botocore into FileNotFoundError and `CatalogError`."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
    from botocore.exceptions import ConnectionError as NotConnectedError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as error:
        code = code_of(error)
        if code in _ABSENT:
            raise FileNotFoundError(f"{url}/{name}") from None
        if code in _AWAY:
            raise unreachable(url, "it answers with an error of its own") from None
        raise refused(url, _REFUSED.get(code, f"it answered {code[:60]}")) from None
    except (HTTPClientError, NotConnectedError, IncompleteReadError, HTTPError) as error:
        raise unreachable(url, f"there is no whole answer: {type(error).__name__}") from None
    except BotoCoreError as error:
        raise refused(url, _CREDENTIALS.get(type(error).__name__, type(error).__name__)) from None


_CREDENTIALS = {
    "NoCredentialsError": "there are no credentials",
    "PartialCredentialsError": "the credentials are incomplete",
    "NoRegionError": "it needs a region",
    "ProfileNotFound": "the credentials' profile is not there",
    "CredentialRetrievalError": "the credentials cannot be had",
}


def unreachable(url: str, why: str) -> CatalogError:
    """The error of a bucket that is away for a while."""
    return CatalogError(
        "object-store-unreachable",
        f"The object store {url} cannot be reached ({why}); check that it runs and that this machine can "
        "reach it, then try again.",
    )


def refused(url: str, why: str) -> CatalogError:
    """The error of a bucket that does not do what it was asked for."""
    return CatalogError(
        "object-store-refused",
        f"The object store {url} refused this ({why}); check MEDSIGLIP_OBJECT_URL, the credentials "
        "(MEDSIGLIP_OBJECT_CREDENTIALS_FILE or those of AWS) and what they may do.",
    )
