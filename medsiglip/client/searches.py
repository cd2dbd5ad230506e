"""The part of `Client` that is about searches."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from medsiglip.answers.questions import SearchAnswer, SearchBatch
from medsiglip.answers.search_fields import SINGLE, SearchFields
from medsiglip.arguments import one_of, several
from medsiglip.client.connection import AnyPath, Connection, given, read
from medsiglip.client.paths import checked

_LISTS = ("images", "image_ids", "studies", "positive", "negative")


class SearchMethods:
    """Methods of `Client`."""

    _service: Connection

    def search(
        self,
        *,
        text: str | None = None,
        image: AnyPath | None = None,
        study: str | None = None,
        image_id: int | None = None,
        k: int = 10,
        level: str | None = None,
        where: Sequence[str] = (),
        include_same_patient: bool = False,
        **more: Unpack[SearchFields],
    ) -> SearchAnswer:
        """The `k` nearest images, series or studies to a text, a file, a study or a stored image; of several
        kinds with `weights` for each. `medsiglip.answers.search_fields` lists what `more` may be asked.
        """
        files, body = _question(
            {
                "text": text,
                "image": image,
                "study": study,
                "image_id": image_id,
                "k": k,
                "level": level,
                "where": several("where", where),
                "include_same_patient": include_same_patient,
                **more,
            }
        )
        if files:
            return read(SearchAnswer, self._service.send_files("/v1/search", files, _form(body)))
        return read(SearchAnswer, self._service.post("/v1/search", body))

    def search_many(self, queries: Sequence[Mapping[str, Any]]) -> SearchBatch:
        """The answers to at most 64 questions, each with the arguments of `search` but no files, in their
        order; one that cannot be answered has an `error`.
        """
        asked = several("queries", queries)
        if not all(isinstance(one, Mapping) for one in asked):
            raise TypeError("queries takes a list of mappings, each of the arguments of search")
        questions = [_question(one) for one in asked]
        if any(files for files, _ in questions):
            raise TypeError("several questions at once cannot be about files: ask about them one by one")
        body = {"queries": [given(question) for _, question in questions]}
        return read(SearchBatch, self._service.post("/v1/search", body))


def _question(arguments: Mapping[str, Any]) -> tuple[list[AnyPath], dict[str, Any]]:
    """The files of a question and its fields over HTTP. Raises TypeError as `Client.search` does."""
    known = SearchFields.__annotations__.keys() | set(SINGLE)
    if unknown := sorted(arguments.keys() - known):
        raise TypeError(f"search takes no {unknown[0]}: it takes {', '.join(sorted(known))}")
    body = dict(arguments)
    for name in _LISTS:
        body[name] = several(name, body.get(name, ()))
    _check_kinds(body)
    files = [one for one in [body.pop("image", None), *body.pop("images")] if one is not None]
    studies = [checked("studies", "uid", one) for one in body.pop("studies")]
    body["study_instance_uid"] = checked("study", "uid", body.pop("study", None))
    body["study_instance_uids"] = studies or None
    for name in ("image_ids", "positive", "negative"):
        body[name] = body[name] or None
    vector: Any = body.get("vector")
    if getattr(vector, "ndim", 0) == 1 and hasattr(vector, "dtype"):
        body["vector"] = b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    for name in ("weights", "crop"):
        if body.get(name) is not None:
            body[name] = dict(body[name]) if name == "weights" else list(body[name])
    return files, body


def _check_kinds(body: Mapping[str, Any]) -> None:
    """Raise TypeError unless a question is about one kind of thing, has weights for several, or has examples
    or words.
    """
    kinds = {
        "text": body.get("text"),
        "image": body.get("image") or body["images"],
        "study": body.get("study") or body["studies"],
        "image_id": body["image_ids"] if body.get("image_id") is None else [body["image_id"]],
        "vector": None if body.get("vector") is None else True,
    }
    count = sum(value is not None and value != [] for value in kinds.values())
    if count > 1 and body.get("weights"):
        return
    if count == 0 and (body["positive"] or body.get("words")):
        return
    one_of(**kinds)


def _form(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as those of a form: weights as `name=number`, numbers separated by commas."""
    fields = dict(body)
    if fields.get("weights") is not None:
        fields["weights"] = [f"{name}={number}" for name, number in fields["weights"].items()]
    if fields.get("crop") is not None:
        fields["crop"] = ",".join(map(str, fields["crop"]))
    if isinstance(fields.get("vector"), list | tuple):
        fields["vector"] = str(list(map(float, fields["vector"])))
    return fields
