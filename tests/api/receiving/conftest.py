"""Instances in the spool of a home, as the receiver writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.filereader import read_file_meta_info

from medsiglip.api.archive.archive import Archive
from medsiglip.ingest.receiving.spool import Announced, Spool
from tests.api.jobs.conftest import write_files

SpoolFile = Callable[..., Path]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive(tmp_path / "home") as opened:
        opened.make()
        yield opened


@pytest.fixture(scope="session")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files of one CT study."""
    return write_files(tmp_path_factory.mktemp("ct"), 1, "chest-ct")


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of as many studies."""
    return write_files(tmp_path_factory.mktemp("skin"), 3, "skin")


def spool_file(home: Path, file: Path, sender: str = "PACS") -> Path:
    """Put an instance into the spool, as the process that receives it does."""
    spool = Spool(home / "incoming", 1 << 30, 0)
    spool.prepare()
    meta = read_file_meta_info(file)
    announced = Announced(
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
        meta.TransferSyntaxUID,
        sender,
        "MEDSIGLIP",
    )
    arriving = spool.begin(announced)
    arriving.write(memoryview(data_set_of(file)))
    return arriving.finish()


def data_set_of(file: Path) -> bytes:
    """The bytes of a data set as they are stored, without what is before it (PS3.10, section 7.1)."""
    with file.open("rb") as stream:
        pydicom.filereader.read_preamble(stream, force=False)
        stream.seek(132 + 12 + int(read_file_meta_info(file).FileMetaInformationGroupLength))
        return stream.read()
