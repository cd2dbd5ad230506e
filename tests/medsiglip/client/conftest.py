"""The live service of `tests.api`, for tests of its client."""

from __future__ import annotations

from tests.api.conftest import encoders as encoders
from tests.api.conftest import forked_encoders as forked_encoders
from tests.api.conftest import home as home
from tests.api.conftest import phantoms as phantoms
from tests.api.conftest import service as service
