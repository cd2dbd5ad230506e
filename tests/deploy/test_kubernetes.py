"""The manifests for Kubernetes: valid by its schemas, confined, and fitting to what they run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from medsiglip.api.http.serving import FINISH_SECONDS
from medsiglip.api.jobs.worker import GRACE_SECONDS
from medsiglip.api.settings import Settings
from tests.container_files import compose
from tests.repository import ROOT

FOLDER = ROOT / "deploy/kubernetes"
VERSIONS = ("1.30", "1.33")
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
THINGS: list[dict[str, Any]] = [
    one for path in FILES for one in yaml.safe_load_all(path.read_text()) if one is not None
]
DEPLOYMENTS = {one["metadata"]["name"]: one for one in THINGS if one["kind"] == "Deployment"}
POLICIES = {one["metadata"]["name"]: one["spec"] for one in THINGS if one["kind"] == "NetworkPolicy"}


def named(kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in THINGS if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    return spec


def container(name: str) -> dict[str, Any]:
    (found,) = pod(name)["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "thing", THINGS, ids=lambda thing: f"{thing['kind']}-{thing['metadata']['name']}".lower()
)
def test_each_is_valid_by_the_schema_of_its_kind(thing: dict[str, Any], version: str) -> None:
    # Its import makes a grammar of addresses, for seconds: not whenever tests are collected.
    import kubernetes_validate  # type: ignore[import-untyped]

    assert str(kubernetes_validate.validate(thing, version, strict=True)).startswith(version)


def test_the_schema_refuses_what_is_wrong() -> None:
    import kubernetes_validate

    wrong = copy.deepcopy(DEPLOYMENTS["medsiglip-api"])
    wrong["spec"]["template"]["spec"]["containers"][0]["readyProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_kustomize_is_given_every_file_but_the_choice_of_a_gpu() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert {*listed, "worker-gpu.yaml"} == {path.name for path in FILES}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_each_pod_is_confined(name: str) -> None:
    spec, runs = pod(name), container(name)
    user = int(compose()["services"]["api"]["user"].split(":")[0])
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == security["fsGroup"] == user
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert runs["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert runs["resources"]["requests"].keys() >= {"cpu", "memory"}
    assert "memory" in runs["resources"]["limits"]
    assert ":" in runs["image"].split("/")[-1]
    assert not runs["image"].endswith(":latest")
    assert spec["terminationGracePeriodSeconds"] > max(FINISH_SECONDS, GRACE_SECONDS) + 5


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_settings_exist_and_files_that_they_name_are_mounted(name: str) -> None:
    spec, runs = pod(name), container(name)
    settings = named("ConfigMap", runs["envFrom"][0]["configMapRef"]["name"])["data"]
    given = settings | {one["name"]: one["value"] for one in runs["env"]}
    ours = {key[10:].lower() for key in given if key.startswith("MEDSIGLIP_")}
    assert ours <= set(Settings.model_fields)
    mounted = {one["mountPath"]: one["name"] for one in runs["volumeMounts"]}
    volumes = {one["name"]: one for one in spec["volumes"]}
    assert set(mounted.values()) == set(volumes)
    secret = volumes["secrets"]["secret"]
    files = {f"{'/run/secrets/medsiglip'}/{one['path']}" for one in secret["items"]}
    for variable, value in given.items():
        if value.startswith("/"):
            assert value in {*mounted, *files}, variable
        if any(word in variable for word in ("PASSWORD", "TOKEN", "KEY")):
            assert variable.endswith(("_FILE", "_PATH")), f"{variable} must be given as a file"
    for volume in volumes.values():
        if "persistentVolumeClaim" in volume:
            named("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
    assert next(one for one in runs["volumeMounts"] if one["mountPath"] == "/data")["readOnly"] is True
    assert ("bootstrap_key" in str(secret)) == (runs["args"][0] == "serve")


def test_they_run_what_compose_runs() -> None:
    services = compose()["services"]
    assert [word for word in container("medsiglip-api")["args"] if word != "--wait"] == services["api"][
        "command"
    ]
    for name in ("medsiglip-worker", "medsiglip-worker-gpu"):
        assert container(name)["args"] == services["worker"]["command"]
        check = container(name)["livenessProbe"]["exec"]["command"]
        assert ["CMD", *check] == services["worker"]["healthcheck"]["test"]
    limits = container("medsiglip-worker-gpu")["resources"]
    assert limits["limits"]["nvidia.com/gpu"] == limits["requests"]["nvidia.com/gpu"] == 1


def test_a_server_is_asked_whether_it_is_ready_and_whether_it_lives() -> None:
    runs = container("medsiglip-api")
    paths = {name: runs[name]["httpGet"]["path"] for name in runs if name.endswith("Probe")}
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    service = named("Service", "medsiglip")["spec"]
    (port,) = service["ports"]
    assert port["targetPort"] in {one["name"] for one in runs["ports"]}
    labels = DEPLOYMENTS["medsiglip-api"]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()


def test_nothing_is_open_but_what_is_named() -> None:
    closed = POLICIES["medsiglip-closed"]
    assert closed["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(closed)
    for one in DEPLOYMENTS.values():
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert closed["podSelector"]["matchLabels"].items() <= labels.items()
        assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
    settings = named("ConfigMap", "medsiglip-settings")["data"]
    ports = {port["port"] for rule in POLICIES["medsiglip-asks"]["egress"] for port in rule["ports"]}
    for name in ("MEDSIGLIP_DATABASE_URL", "MEDSIGLIP_VECTOR_URL", "MEDSIGLIP_OTLP_ENDPOINT"):
        assert int(settings[name].split("?")[0].rsplit(":", 1)[1].split("/")[0]) in ports
    asked = POLICIES["medsiglip-asked"]
    assert asked["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 8000}]


def test_no_secret_is_among_them() -> None:
    assert not [one for one in THINGS if one["kind"] == "Secret"]
    page = Path(ROOT / "docs/operations.md").read_text()
    keys = {item["key"] for name in DEPLOYMENTS for volume in pod(name)["volumes"] for item in _items(volume)}
    assert "create secret generic medsiglip" in page
    for key in keys:
        assert f"--from-file={key}" in page


def _items(volume: dict[str, Any]) -> list[dict[str, str]]:
    items: list[dict[str, str]] = volume.get("secret", {}).get("items", [])
    return items
