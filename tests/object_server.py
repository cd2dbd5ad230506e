"""A server that speaks S3, on loopback: moto's, once for each test run that needs it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medsiglip.index.objects.opening import ObjectPlace

KEY, SECRET = "planted-key", "planted-secret"


class ObjectServer:
    """The server, a client of its own to look at what lies there, and places in new buckets."""

    def __init__(self, url: str, folder: Path) -> None:
        import boto3

        self.url = url
        self.credentials = folder / "credentials"
        self.credentials.write_text(
            f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
        )
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )
        self._numbers = itertools.count()

    def new_bucket(self, *, versioned: bool = False, locked: bool = False) -> str:
        """The name of a new bucket, which keeps versions, or holds each for a day."""
        name = f"bucket-{next(self._numbers)}"
        self.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=locked)
        if versioned:
            rule = {"Status": "Enabled"}
            self.client.put_bucket_versioning(Bucket=name, VersioningConfiguration=rule)
        if locked:
            kept = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
            lock = {"ObjectLockEnabled": "Enabled", "Rule": kept}
            self.client.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=lock)
        return name

    def place(self, bucket: str, prefix: str = "archive", cache_bytes: int = 1 << 30) -> ObjectPlace:
        """A place in a bucket, as a setting names it."""
        url = f"s3://{bucket}/{prefix}?endpoint_override={self.url}&region=us-east-1"
        return ObjectPlace(url, self.credentials, cache_bytes)

    def names(self, bucket: str) -> list[str]:
        """The keys that are in a bucket now."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return sorted(one["Key"] for page in pages for one in page.get("Contents", ()))

    def versions(self, bucket: str) -> list[str]:
        """The keys of all versions, and of marks of deletion."""
        answer = self.client.list_object_versions(Bucket=bucket)
        return sorted(one["Key"] for kind in ("Versions", "DeleteMarkers") for one in answer.get(kind, ()))


@contextmanager
def object_server(folder: Path) -> Iterator[ObjectServer]:
    """The server while the block runs."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield ObjectServer(f"http://{host}:{port}", folder)
    finally:
        server.stop()
