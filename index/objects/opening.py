"""Which place a setting names, and opening it; nothing is asked of a server before it is needed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.folder_store import FolderStore
from medsiglip.index.objects.local_cache import LocalCache
from medsiglip.index.objects.object_store import ObjectStore
from medsiglip.index.objects.s3_store import S3Store

CACHE_BYTES = 64 << 30
"""How much of a bucket a machine keeps as copies unless told otherwise."""
# docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PART = re.compile(r"[A-Za-z0-9!_.*'()-]{1,200}")
_ENDPOINT = re.compile(r"https?://(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?/?")
_REGION = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """Where objects are to lie: None or `file:` for the home, or `s3://bucket/prefix`, which may end with
    `?endpoint_override=http://host:port` and `region=...`.

    Credentials are those of AWS's usual chain, or of a file as AWS's command line has it.
    """

    url: str | None = None
    credentials_file: Path | None = field(default=None, repr=False)
    cache_bytes: int = CACHE_BYTES


IN_THE_HOME = ObjectPlace()


def open_store(home: Path, place: ObjectPlace) -> ObjectStore:
    """The store of a home; raises `CatalogError` `bad-object-url` or `no-object-client`."""
    if place.url is None or place.url == "file:":
        return FolderStore(home)
    bucket, prefix, options = _parsed(place.url)
    if find_spec("boto3") is None:
        raise CatalogError(
            "no-object-client", "Objects in a bucket need boto3, which is not installed: add medsiglip[s3]."
        )
    cache = LocalCache(home, place.cache_bytes)
    return S3Store(bucket, prefix, cache, lambda: _client(place, options))


def _parsed(url: str) -> tuple[str, str, dict[str, str]]:
    """Bucket, prefix and options of a URL."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise _bad_url("it is no URL") from None
    if parts.scheme != "s3" or parts.fragment:
        raise _bad_url("it neither is file: nor begins with s3://")
    if "@" in parts.netloc or ":" in parts.netloc:
        raise _bad_url("credentials and ports do not belong there")
    if _BUCKET.fullmatch(parts.netloc) is None:
        raise _bad_url("the name of its bucket is none")
    folders = [one for one in parts.path.split("/") if one]
    if any(_PART.fullmatch(one) is None or one in (".", "..") for one in folders) or len(folders) > 20:
        raise _bad_url("its prefix may have letters, digits and !_.*'()- between slashes")
    rules = {"endpoint_override": _ENDPOINT, "region": _REGION}
    for name, value in options.items():
        if name not in rules:
            raise _bad_url("it may have endpoint_override and region, and nothing else")
        if rules[name].fullmatch(value) is None:
            raise _bad_url(f"its {name} is none")
    return parts.netloc, "/".join(folders), options


def _client(place: ObjectPlace, options: dict[str, str]) -> Any:
    import boto3
    import botocore.session
    from botocore.config import Config

    session = botocore.session.Session()
    if place.credentials_file is not None:
        if not place.credentials_file.is_file():
            raise CatalogError(
                "object-store-refused",
                f"{place.credentials_file} (MEDSIGLIP_OBJECT_CREDENTIALS_FILE) is not there; name a file "
                "with aws_access_key_id and aws_secret_access_key below [default].",
            )
        session.set_config_variable("credentials_file", str(place.credentials_file))
        # A file that was named comes before what the environment has.
        found = botocore.credentials.SharedCredentialProvider(str(place.credentials_file)).load()
        if found is None:
            raise CatalogError(
                "object-store-refused",
                f"{place.credentials_file} (MEDSIGLIP_OBJECT_CREDENTIALS_FILE) holds no aws_access_key_id "
                "and aws_secret_access_key below [default].",
            )
        session.set_credentials(found.access_key, found.secret_key, found.token)
    endpoint = options.get("endpoint_override")
    config = Config(
        retries={"mode": "standard", "max_attempts": 4},
        connect_timeout=5,
        read_timeout=60,
        # A server of one's own seldom has a name for each bucket.
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    return boto3.Session(botocore_session=session).client(
        "s3", endpoint_url=endpoint, region_name=options.get("region"), config=config
    )


def _bad_url(why: str) -> CatalogError:
    return CatalogError(
        "bad-object-url",
        f"MEDSIGLIP_OBJECT_URL cannot be used ({why}): give one such as s3://bucket/prefix, or none for "
        "files in the home.",
    )
