"""File Meta Information of instances that arrive by DIMSE, where none is sent (PS3.10, section 7.1)."""

from __future__ import annotations

import warnings

from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID
from pynetdicom.dsutils import encode_file_meta

from medsiglip.ingest.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


def meta_information(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, sender: str, receiver: str
) -> bytes:
    """Preamble and File Meta Information (PS3.10, section 7.1) of an instance that an AE `sender` sent to the
    AE `receiver`.
    """
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0
    meta.FileMetaInformationVersion = b"\0\1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as they quote what is no UID, and may name a person
        meta.MediaStorageSOPClassUID = UID(sop_class_uid)
        meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
        meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    meta.SourceApplicationEntityTitle = sender
    meta.SendingApplicationEntityTitle = sender
    meta.ReceivingApplicationEntityTitle = receiver
    return bytes(128) + b"DICM" + encode_file_meta(meta)
