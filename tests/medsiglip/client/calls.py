"""How each method of the client is called, and the request that it sends."""

from __future__ import annotations

from typing import Any

from medsiglip.answers.jobs import Job

JOB = Job.model_validate(
    {
        "id": "0" * 32,
        "kind": "ingest",
        "status": "queued",
        "progress": {"done": 0, "total": None, "stage": ""},
        "attempts": 0,
        "created_at": "2030-01-01T00:00:00+00:00",
    }
)
# Arguments of each method with which it sends one request, and that request.
CALLS: dict[str, tuple[dict[str, Any], str]] = {
    "info": ({}, "GET /v1/info"),
    "is_ready": ({}, "GET /readyz"),
    "models": ({}, "GET /v1/models"),
    "classify": (
        {
            "study": "1.2",
            "labels": ["a"],
            "prompts": "p",
            "probe": "q",
            "exclusive": True,
            "scoring": "sigmoid",
            "by_image": True,
        },
        "POST /v1/classify",
    ),
    "classify_files": (
        {"files": ["FILE"], "labels": ["a"], "prompts": "p", "exclusive": True, "scoring": "sigmoid"},
        "POST /v1/classify",
    ),
    "prompt_sets": ({}, "GET /v1/prompt-sets"),
    "search": ({"text": "a", "level": "study", "where": ["modality=CT"]}, "POST /v1/search"),
    "search_many": ({"queries": [{"text": "a"}, {"study": "1.2", "k": 3}]}, "POST /v1/search"),
    "why": ({"file": "FILE", "text": "a", "show_burned_in": True}, "POST /v1/why"),
    "embed_texts": ({"texts": ["a"]}, "POST /v1/embeddings"),
    "embed_images": ({"files": ["FILE"]}, "POST /v1/embeddings"),
    "ingest": ({"path": "/data", "dry_run": True}, "POST /v1/ingest"),
    "upload": ({"metadata": "FILE", "dry_run": True}, "POST /v1/ingest"),
    "studies": ({"where": ["modality=CT"]}, "GET /v1/studies"),
    "study": ({"uid": "1.2"}, "GET /v1/studies/{uid}"),
    "preview": (
        {"image_id": 3, "size": 256, "drawn": "display", "show_burned_in": True},
        "GET /v1/images/{image_id}/preview",
    ),
    "thumbnail": ({"image_id": 3}, "GET /v1/images/{image_id}/thumbnail"),
    "thumbnails": ({"image_ids": [3, 5]}, "GET /v1/thumbnails"),
    "forget_study": ({"uid": "1.2"}, "DELETE /v1/studies/{uid}"),
    "forget_patient": ({"patient_key": "ab12"}, "DELETE /v1/patients/{key}"),
    "import_labels": ({"csv": "FILE"}, "POST /v1/labels"),
    "labels": ({}, "GET /v1/labels"),
    "train_probe": (
        {
            "name": "p",
            "labels": ["a"],
            "level": "image",
            "where": ["modality=CT"],
            "exclusive": True,
            "pooling": "mean",
            "folds": 6,
            "split": "split",
            "class_weight": "balanced",
        },
        "POST /v1/probes",
    ),
    "probes": ({"all_versions": True}, "GET /v1/probes"),
    "probe": ({"name": "p"}, "GET /v1/probes/{name}"),
    "predict": ({"name": "p", "study": "1.2"}, "POST /v1/probes/{name}/predict"),
    "delete_probe": ({"name": "p"}, "DELETE /v1/probes/{name}"),
    "probe_card": ({"name": "p"}, "GET /v1/probes/{name}/card"),
    "suspects": ({"name": "p", "n": 3}, "GET /v1/probes/{name}/suspects"),
    "suggest": ({"name": "p", "n": 3, "where": ["modality=CT"]}, "GET /v1/probes/{name}/suggestions"),
    "store_predictions": ({"name": "p", "where": ["modality=CT"]}, "POST /v1/probes/{name}/predictions"),
    "export_probe": ({"name": "p", "out": "FILE"}, "GET /v1/probes/{name}"),  # first: which version it is
    "import_probe": ({"path": "FILE", "name": "p"}, "POST /v1/probes/import"),
    "calibrate": (
        {
            "prompts": "p",
            "probe": "q",
            "labels": ["a"],
            "level": "study",
            "where": ["modality=CT"],
            "method": "platt",
            "error": 0.2,
        },
        "POST /v1/calibrations",
    ),
    "calibrations": ({"subject": "probe:p", "all_versions": True}, "GET /v1/calibrations/{subject}"),
    "remove_calibration": (
        {"subject": "prompts:p", "level": "study"},
        "DELETE /v1/calibrations/{subject}",
    ),
    "evaluate": (
        {
            "kind": "drift",
            "prompts": "chest-xray",
            "probe": "p",
            "labels": ["a"],
            "level": "study",
            "where": ["modality=CT"],
            "compare": "sets",
            "spaces": ("one", "other"),
            "reference": ["modality=CT"],
            "current": ["modality=MR"],
            "cases": 3,
            "permutations": 99,
        },
        "POST /v1/evaluations",
    ),
    "evaluation_page": ({"job": "0" * 32}, "GET /v1/evaluations/{job_id}/page"),
    "draft": ({"study": "1.2", "route": "r", "generator": "g", "indication": "i"}, "POST /v1/reports"),
    "reports": ({"status": "draft", "study": "1.2"}, "GET /v1/reports"),
    "report_page": (
        {
            "status": "draft",
            "study": "1.2",
            "route": "r",
            "words": "w",
            "verdict": "contradict",
            "limit": 3,
            "cursor": "c",
        },
        "GET /v1/reports",
    ),
    "review": (
        {"report_id": "0" * 32, "revision": 1, "sentences": [{"sentence": 0, "choice": "cut"}]},
        "POST /v1/reports/{draft_id}/review",
    ),
    "report": ({"report_id": "0" * 32}, "GET /v1/reports/{draft_id}"),
    "accept": (
        {
            "report_id": "0" * 32,
            "revision": 1,
            "acknowledge": ["omitted:nodule"],
            "sentences": [{"sentence": 0, "choice": "keep"}],
        },
        "POST /v1/reports/{draft_id}/accept",
    ),
    "edit": ({"report_id": "0" * 32, "text": "t"}, "POST /v1/reports/{draft_id}/edit"),
    "reject": ({"report_id": "0" * 32, "reason": "r"}, "POST /v1/reports/{draft_id}/reject"),
    "export": ({"report_id": "0" * 32, "kind": "pdf"}, "GET /v1/reports/{draft_id}/export"),
    "routes": ({}, "GET /v1/routes"),
    "put_route": ({"name": "r", "rule": {"studies": "all"}}, "PUT /v1/routes/{name}"),
    "remove_route": ({"name": "r"}, "DELETE /v1/routes/{name}"),
    "test_route": ({"name": "r"}, "POST /v1/routes/{name}/test"),
    "run_route": ({"name": "r"}, "POST /v1/routes/{name}/run"),
    "spaces": ({}, "GET /v1/spaces"),
    "reembed": ({"to": "tiny", "allow_missing": True}, "POST /v1/spaces"),
    "drop_space": ({"name": "s"}, "DELETE /v1/spaces/{name}"),
    "job": ({"job_id": "0" * 32}, "GET /v1/jobs/{job_id}"),
    "cancel": ({"job_id": "0" * 32}, "DELETE /v1/jobs/{job_id}"),
    "jobs": ({"status": "failed", "kind": "ingest", "limit": 3, "cursor": "c"}, "GET /v1/jobs"),
    "retry": ({"job_id": "0" * 32}, "POST /v1/jobs/{job_id}/retry"),
    "wait": ({"job": JOB}, "GET /v1/jobs/{job_id}/events"),
    "events": ({"job_id": "0" * 32}, "GET /v1/jobs/{job_id}/events"),
}
OTHERS: dict[str, list[dict[str, Any]]] = {  # arguments that exclude one of the above
    "classify": [{"file": "FILE", "labels": ["a"]}],
    "classify_files": [{"files": ["FILE"], "probe": "q"}],
    "search": [
        *({"image": "FILE"}, {"study": "1.2"}, {"image_id": 4}),
        {"images": ["FILE"], "image_ids": [4, 5], "text": "a", "weights": {"text": 0.5, "image": 0.5}},
        {"studies": ["1.2", "1.3"], "compare": "sets", "per_patient": 2, "per_label": 3},
        {"vector": [0.5, 1.0], "positive": [4], "negative": ["1.2"], "min_score": 0.1, "exact": False},
        {"image": "FILE", "crop": [0, 0, 0.5, 1], "cursor": "abc", "explain": True, "dedupe": 0.99},
        {"words": "nodule", "per_study": 1, "per_series": 2, "diversity": 0.5},
    ],
    "train_probe": [{"name": "p", "labels_csv": "FILE"}],
    "why": [
        *({"study": "1.2", "text": "a"}, {"image_id": 3, "like_study": "1.2"}),
        *({"file": "FILE", "like": "FILE"}, {"file": "FILE", "like_image_id": 4}),
    ],
}
