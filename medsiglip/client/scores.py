"""The part of `Client` that is about scores of pictures and studies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medsiglip.answers.prompt_sets import PromptSetList, PromptSetSummary
from medsiglip.answers.questions import Classification, ClassifyAnswer, Scoring
from medsiglip.arguments import one_of, several
from medsiglip.client.connection import AnyPath, Connection, read
from medsiglip.client.paths import checked


class ScoreMethods:
    """Methods of `Client`."""

    _service: Connection

    def classify(
        self,
        file: AnyPath | None = None,
        *,
        study: str | None = None,
        labels: Sequence[str] | None = None,
        prompts: str | None = None,
        probe: str | None = None,
        exclusive: bool = False,
        scoring: Scoring | None = None,
        by_image: bool = False,
    ) -> Classification:
        """Scores of a file or a study.

        Give either a file or a study, and one of `labels` (free texts), `prompts` (the name of a prompt set)
        and `probe`. Labels that are `exclusive` compete with each other. `scoring` is "protocol", the
        published one, or "sigmoid", the model's own. `by_image` adds the scores of each image of the study.
        """
        one_of(file=file, study=study)
        body = {**_question(labels, prompts, probe), "exclusive": exclusive or None, "scoring": scoring}
        if file is not None:
            [only] = self._of_files([file], body)
            return only
        body |= {"study_instance_uid": checked("study", "uid", study), "by_image": by_image or None}
        return read(Classification, self._service.post("/v1/classify", body))

    def classify_files(
        self,
        files: Sequence[AnyPath],
        *,
        labels: Sequence[str] | None = None,
        prompts: str | None = None,
        probe: str | None = None,
        exclusive: bool = False,
        scoring: Scoring | None = None,
    ) -> list[Classification]:
        """Scores of each file, as `classify` gives them for one."""
        asked = _question(labels, prompts, probe)
        return self._of_files(files, {**asked, "exclusive": exclusive or None, "scoring": scoring})

    def prompt_sets(self) -> list[PromptSetSummary]:
        """The bundled prompt sets, and what each is for."""
        return list(read(PromptSetList, self._service.get("/v1/prompt-sets")).prompt_sets)

    def _of_files(self, files: Sequence[AnyPath], form: dict[str, Any]) -> list[Classification]:
        form["label"] = form.pop("labels")  # a field for each, which may hold commas
        sent = several("files", files)
        answer = read(ClassifyAnswer, self._service.send_files("/v1/classify", sent, form))
        if answer.results is None:
            return [answer]
        return [
            one.model_copy(update={"space": answer.space, "warnings": (*answer.warnings, *one.warnings)})
            for one in answer.results
        ]


def _question(labels: Sequence[str] | None, prompts: str | None, probe: str | None) -> dict[str, Any]:
    return {
        "labels": None if labels is None else several("labels", labels),
        "prompts": checked("prompts", "name", prompts),
        "probe": checked("probe", "probe", probe),
    }
