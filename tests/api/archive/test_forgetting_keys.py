"""A patient's key that would mean several in a filter forgets nobody."""

from __future__ import annotations

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.index.errors import CatalogError
from tests.api.conftest import Home


@pytest.mark.parametrize("joined", ["|", " or patient_key="])
def test_two_keys_at_once_are_one_unknown_patient(own_home: Home, joined: str) -> None:
    with Archive(own_home.path) as archive:
        keys = [one.patient_key for one in archive.studies().studies][:2]
        before = archive.index.info().studies
        with pytest.raises(CatalogError) as refused:
            archive.forget(patient=joined.join(keys))
        assert refused.value.code == "unknown-patient"
        assert archive.index.info().studies == before
