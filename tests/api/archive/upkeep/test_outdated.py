"""Images that an earlier version drew otherwise are counted and told of."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

from medsiglip.ingest.render.renderings import version_of


def catalogue(home: Any) -> Any:
    return closing(sqlite3.connect(home.path / "catalog.db"))


def test_the_version_of_a_rendering_is_kept_with_each_image(home: Any) -> None:
    with catalogue(home) as connection:
        rows = connection.execute("SELECT rendering, rendering_params FROM images").fetchall()
    assert rows
    for rendering, params in rows:
        assert json.loads(params)["version"] == version_of(rendering)
    assert home.run("index", "info").json["outdated"] == 0
    assert home.run("search", "--text", "a chest radiograph").json["warnings"] == []


def test_images_of_an_earlier_version_are_counted_and_a_search_warns(own_home: Any, phantoms: Any) -> None:
    images = own_home.report["images"]
    with catalogue(own_home) as connection, connection:
        # As they were before versions were stored: all of the first.
        connection.execute("UPDATE images SET rendering_params = '{}' WHERE id % 2 = 0")
        old = connection.execute("SELECT count(*) FROM images WHERE id % 2 = 0").fetchone()[0]
        connection.execute(
            "UPDATE images SET rendering_params = json_set(rendering_params, '$.version', 1000) WHERE id % 2"
        )
    assert 0 < old < images
    assert own_home.run("index", "info").json["outdated"] == old
    assert own_home.run("ingest", phantoms.dicom).json["files_embedded"] == 0
    assert own_home.run("index", "info").json["outdated"] == old
    answer = own_home.run("search", "--text", "a chest radiograph", "-k", str(images))
    hits = answer.json["hits"]
    told = sum(hit["image_id"] % 2 == 0 for hit in hits)
    assert told == old
    (warning,) = answer.json["warnings"]
    assert warning.startswith(f"{told} of the hits")
    assert "`index reembed` renews them" in warning
    odd = own_home.run("search", "--text", "a chest radiograph", "--where", "rendering=no-such")
    assert odd.json["warnings"] == []
