"""Words in reports find what counting them one by one finds, with the same scores, on both databases."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.full_text import ranking
from medsiglip.index.catalogue.report_search import WordHit
from medsiglip.index.errors import CatalogError
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, sqlite_only, unit_vectors

COUNT = 60
VOCABULARY = [
    "pleural",
    "of",
    "effusion",
    "lung",
    "nodule",
    "pneumothorax",
    "the",
    "left",
    "no",
    "clear",
    "rib",
]
HELPING = {"of", "the"}
Text = tuple[str, list[str]]


def text_of(draw: random.Random) -> list[str]:
    """Words of which the first are common, none in the plural."""
    return draw.choices(VOCABULARY, [1 / (i + 1) for i in range(len(VOCABULARY))], k=draw.randrange(1, 15))


def make_texts() -> dict[int, list[Text]]:
    """The texts of each study, with their sources: none, one or two."""
    draw = random.Random(3)
    sources = ["accepted", "import", "metadata"]
    return {
        study: [(source, text_of(draw)) for source in sorted(draw.sample(sources, draw.choice((0, 1, 1, 2))))]
        for study in range(COUNT)
    }


TEXTS = make_texts()


@pytest.fixture(scope="module")
def filled(
    make_catalogue: Callable[[], Catalogue], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CaseIndex]:
    with make_catalogue().open(tmp_path_factory.mktemp("words") / "home") as index:
        index.activate(SPACE)
        bundles = [
            make_bundle(n, 1, patient=f"patient-{n % 7}", series_fields={"modality": "CT" if n % 3 else "MR"})
            for n in range(COUNT)
        ]
        index.add(bundles, unit_vectors(COUNT, 1))
        for source in ("metadata", "import", "accepted"):
            texts = {f"2.25.{n}": " ".join(w) for n, own in TEXTS.items() for s, w in own if s == source}
            index.report_texts.put(texts, source)
        yield index


def frequency(sought: str, words: list[str]) -> int:
    """How often a word, a `phrase in blanks` or a `beginning*` stands in a text, from left to right."""
    if sought.endswith("*"):
        return sum(word.startswith(sought[:-1]) for word in words)
    phrase, count, place = sought.split(), 0, 0
    while place <= len(words) - len(phrase):
        found = words[place : place + len(phrase)] == phrase
        count += found
        place += len(phrase) if found else 1
    return count


def expected(
    wanted: list[str], excluded: list[str], passing: Callable[[int], bool] = lambda _study: True
) -> list[tuple[int, float, tuple[str, ...], str]]:
    """Study, score, what was found and the source of its best text, by BM25 as it is written in books. Words
    that every text holds count in the score alone, and cannot be left out.
    """
    excluded = [one for one in excluded if one not in HELPING]
    every = [words for own in TEXTS.values() for _, words in own]
    mean = sum(map(len, every)) / len(every)
    weight = {}
    for one in wanted:
        holding = sum(frequency(one, words) > 0 for words in every)
        weight[one] = math.log(1 + (len(every) - holding + 0.5) / (holding + 0.5))
    best = []
    for study, own in TEXTS.items():
        if not passing(study) or any(frequency(one, words) for one in excluded for _, words in own):
            continue
        ranked = []
        for source, words in own:
            counts = {one: frequency(one, words) for one in wanted}
            penalty = 1.2 * (1 - 0.75 + 0.75 * len(words) / mean)
            score = sum(weight[one] * n * 2.2 / (n + penalty) for one, n in counts.items())
            found = tuple(one for one, n in counts.items() if n and one not in HELPING)
            if found:
                ranked.append((-len(found), -score, source, found))
        if ranked:
            count, score, source, found = min(ranked)
            best.append((count, score, study, found, source))
    return [(study, -score, found, source) for _, score, study, found, source in sorted(best)]


def check(index: CaseIndex, wanted: list[str], excluded: list[str], limit: int = COUNT) -> None:
    words = [f'"{one}"' if " " in one else one for one in wanted]
    words += [f'-"{one}"' if " " in one else f"-{one}" for one in excluded]
    hits = index.report_texts.find(" ".join(words), limit=limit)
    found = [(int(one.study_instance_uid.rpartition(".")[2]), one.matched, one.source) for one in hits]
    truth = expected(wanted, excluded)[:limit]
    assert found == [(study, matched, source) for study, _, matched, source in truth]
    assert [one.score for one in hits] == pytest.approx([score for _, score, _, _ in truth], rel=1e-12)


CHOICES = [*VOCABULARY, "pn*", "pl*", "pleural effusion", "no pneumothorax", "pleural pleural", "absent"]


@pytest.mark.long(every=2)
def test_random_questions_find_what_counting_finds(filled: CaseIndex) -> None:
    draw = random.Random(11)
    kinds = {"all words": 0, "some words": 0, "excluded": 0, "helped": 0}
    for _ in range(150):
        chosen = draw.sample(CHOICES, draw.randrange(1, 6))
        excluded = [chosen.pop() for _ in range(draw.choice((0, 0, 1, 2))) if len(chosen) > 1]
        if HELPING.issuperset(chosen):
            continue
        check(filled, chosen, excluded, draw.choice((1, 3, 10, COUNT)))
        truth = expected(chosen, excluded)
        words = len(set(chosen) - HELPING)
        kinds["all words"] += any(len(one[2]) == words > 1 for one in truth)
        kinds["some words"] += any(len(one[2]) < words for one in truth)
        kinds["helped"] += bool(HELPING.intersection(chosen))
        kinds["excluded"] += bool(excluded) and len(truth) < len(expected(chosen, []))
    assert min(kinds.values()) > 20, kinds


def uids(hits: list[WordHit]) -> list[int]:
    return [int(one.study_instance_uid.rpartition(".")[2]) for one in hits]


def test_filters_and_patients_left_out(filled: CaseIndex) -> None:
    everything = uids(filled.report_texts.find("pleural effusion", limit=COUNT))
    of_mr = filled.report_texts.find("pleural effusion", limit=COUNT, where=["modality=MR"])
    assert uids(of_mr) == [n for n in everything if n % 3 == 0]
    assert [one.score for one in of_mr] == pytest.approx(
        [score for _, score, _, _ in expected(["pleural", "effusion"], [], lambda n: n % 3 == 0)], rel=1e-12
    )
    others = filled.report_texts.find(
        "pleural effusion", limit=5, where=["modality=CT"], exclude_patients=["patient-1", "patient-6", "x"]
    )
    assert uids(others) == [n for n in everything if n % 3 and n % 7 not in (1, 6)][:5]
    assert filled.report_texts.find("pleural", where=["modality=US"]) == []
    with pytest.raises(CatalogError, match="no field") as caught:
        filled.report_texts.find("pleural", where=["nothing=1"])
    assert caught.value.code == "bad-filter"


def test_what_is_not_there_finds_nothing_and_nonsense_is_refused(filled: CaseIndex) -> None:
    assert filled.report_texts.find("absent") == []
    assert filled.report_texts.find('"pneumothorax absent"') == []
    for words, limit in (("", 1), ("the", 1), ("lung", 0)):
        with pytest.raises(CatalogError) as caught:
            filled.report_texts.find(words, limit=limit)
        assert caught.value.code == "bad-query"


@pytest.mark.parametrize(
    "words",
    [
        'lung" OR "rib',
        "lung) OR (rib",
        "lung:rib",
        "lung NEAR rib",
        "l'ung' | 'rib",
        "lung:* & !rib",
        "%_\\ lung",
    ],
)
def test_no_syntax_of_a_database_reaches_it(filled: CaseIndex, words: str) -> None:
    """What it would mean to FTS5 or to `tsquery` are words like any others here."""
    assert all(isinstance(one, WordHit) for one in filled.report_texts.find(words))


@sqlite_only
def test_without_fts5_the_same_is_found(filled: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = [
        "pleural effusion",
        '"no pneumothorax" lung',
        "pneumo* -rib",
        'lung -"left lung"',
        "absent lung",
    ]
    found = [filled.report_texts.find(words, limit=20) for words in questions]
    monkeypatch.setattr(ranking, "has_search_table", lambda _connection: False)
    assert [filled.report_texts.find(words, limit=20) for words in questions] == found
    assert all(found)


WRITTEN: Mapping[str, str] = {
    "0": "Große Läsion; kein Pleuraerguß.",
    "1": "Ground-glass opacities, COVID-19. T2-weighted. 1,5 cm.",
    "2": "Groundglass opacity of 5mm on x-ray.",
    "3": "Œdème pulmonaire — l'épanchement n'est pas vu.",
    "4": "胸水を認めない。 Follow up 2024-03-01, 3/1/2024.",
    "5": "Patient's Crohn\u2019s disease, and/or masses. 100% sure_thing \\ back",
}
ASKED: Mapping[str, list[str]] = {
    "GROSSE läsion": ["0"],
    "pleuraerguss": ["0"],
    "ground glass opacity": ["1", "2"],
    "ground-glass": ["1", "2"],
    "groundglass": ["1", "2"],
    "covid19": ["1"],
    "covid-19": ["1"],
    '"covid 19"': ["1"],
    "t2": ["1"],
    "1.5cm": ["1"],
    "5-mm": ["2"],
    "xray": ["2"],
    "x-rays": ["2"],
    "oedeme": ["3"],
    "epanchement": ["3"],
    "胸水": ["4"],
    "胸": ["4"],
    "水胸": [],
    "2024-03-01": ["4"],
    "3/1/2024": ["4"],
    "followup": [],
    "crohn mass": ["5"],
    "mass* -crohn": [],
    "opac*": ["1", "2"],
    "thing": ["5"],
}


def test_what_is_written_in_several_ways_is_found(index: CaseIndex) -> None:
    index.add([make_bundle(n, 1) for n in range(6)], unit_vectors(6, 1))
    index.report_texts.put({f"2.25.{n}": text for n, text in WRITTEN.items()}, "import")
    found = {
        words: sorted(one.study_instance_uid[5:] for one in index.report_texts.find(words)) for words in ASKED
    }
    assert found == ASKED


def test_the_same_scores_on_both_databases(tmp_path: Path, new_database: Callable[[], str]) -> None:
    """To the last bit, with texts of all scripts, and at ties."""
    draw = random.Random(2)
    pieces = [
        *WRITTEN.values(),
        "effusion",
        "nodule " * 9,
        "Ärger",
        "ﬁbrosis",
        "\u0130stanbul",
        "a-b-c",
        "1.5 1,5",
    ]
    texts = {f"2.25.{n}": " ".join(draw.choices(pieces, k=draw.randrange(1, 6))) for n in range(40)}
    asked = [" ".join(draw.choices([*ASKED, "nodule", "effusion", "fibro*"], k=3)) for _ in range(40)]
    found = []
    for place, url in (("here", None), ("there", new_database())):
        with CaseIndex.open(tmp_path / place, database_url=url) as index:
            index.activate(SPACE)
            index.add([make_bundle(n, 1) for n in range(40)], unit_vectors(40, 1))
            index.report_texts.put(texts, "import")
            found.append([index.report_texts.find(words, limit=12) for words in asked])
    assert found[0] == found[1]
    assert sum(map(len, found[0])) > 200
