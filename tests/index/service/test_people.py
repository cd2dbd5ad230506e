"""People who sign in elsewhere: one row each, a name of their own, and no secret."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.service.people import person_id

ISSUER = "https://login.example"


def test_a_person_is_the_same_row_and_no_key_opens_it(index: CaseIndex) -> None:
    first = index.people.met(ISSUER, "u-1", "anna", ["write", "read"], signs_in=True)
    assert first is not None
    assert (first.id, first.name, first.scopes) == (person_id(ISSUER, "u-1"), "anna", ("read", "write"))
    assert index.people.met(ISSUER, "u-1", "other", ["admin"], signs_in=False) == first
    later = index.people.met(ISSUER, "u-1", "other", ["admin"], signs_in=True)
    assert later is not None
    assert (later.name, later.scopes) == ("anna", ("admin",))
    namesake = index.people.met("https://other.example", "u-1", "anna", ["read"], signs_in=True)
    assert namesake is not None
    assert namesake.name == f"anna ({namesake.id[:8]})"
    assert index.api_keys.find(f"msk_{first.id[:12]}_{'0' * 64}") is None
    index.api_keys.revoke(first.id)
    assert index.people.met(ISSUER, "u-1", "anna", ["read"], signs_in=True) is None


def test_many_first_meetings_at_once_make_one_row(index: CaseIndex) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(
            threads.map(lambda _: index.people.met(ISSUER, "u", "a\nb ", ["read"], signs_in=True), range(8))
        )
    assert len({one.id for one in made if one is not None}) == 1
    assert [one.name for one in index.api_keys.listed()] == ["ab"]
