"""The services: valid for Compose, confined, closed to the network, and fitting to what they run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]
from sqlalchemy.engine import make_url

from medsiglip.api.archive.drafts.generators import read_generators
from medsiglip.api.http.serving import FINISH_SECONDS
from medsiglip.api.jobs.worker import GRACE_SECONDS
from medsiglip.api.settings import Settings, read_settings
from tests.container_files import COMPOSE, compose, instructions, mounts
from tests.repository import ROOT

SERVICES: dict[str, Any] = compose()["services"]
OURS = ["api", "worker", "api-gpu", "worker-gpu"]
NODES = ["ray-head", "ray-worker"]


def test_it_is_valid_by_the_schema_of_compose() -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(COMPOSE),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_a_profile_there_are_a_server_a_worker_and_a_database() -> None:
    assert [name for name, one in SERVICES.items() if "profiles" not in one] == ["api", "worker", "database"]
    assert {name for one in SERVICES.values() for name in one.get("profiles", ())} == {
        "gpu",
        "medgemma",
        "milvus",
        "ray",
    }


@pytest.mark.parametrize("name", SERVICES)
def test_each_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert not service.get("privileged")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:")


def test_one_service_builds_our_image_and_the_others_are_pinned() -> None:
    builders = [name for name, one in SERVICES.items() if "build" in one]
    assert builders == ["api"]
    for name, one in SERVICES.items():
        if one["image"] == SERVICES["api"]["image"]:
            assert name in {*OURS, *NODES}
            assert name in builders or one["pull_policy"] == "never"
        else:
            assert re.search(r":v?\d", one["image"])


def test_published_ports_differ_so_that_all_profiles_can_be_up() -> None:
    published = [port.split(":")[1] for one in SERVICES.values() for port in one.get("ports", ())]
    assert len(set(published)) == len(published) == 2


@pytest.mark.parametrize("name", [*OURS, "database"])
def test_the_root_file_system_is_read_only_and_the_user_is_not_root(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert any(one.startswith("/tmp:") for one in service["tmpfs"])
    user = next(rest for instruction, rest in reversed(instructions()) if instruction == "USER")
    assert service["user"] == ("postgres" if name == "database" else user)


@pytest.mark.parametrize("name", SERVICES)
def test_volumes_and_secrets_of_a_service_are_declared_and_mounted(name: str) -> None:
    whole, service = compose(), SERVICES[name]
    for kind in ("secrets", "networks"):
        assert set(service.get(kind, ())) <= set(whole[kind])
    mounted = mounts(service)
    for source in mounted.values():
        assert source in {*whole["volumes"], *whole["secrets"], *whole["configs"]} or source.startswith("./")
    for variable, value in service["environment"].items():
        if value.startswith("/"):
            assert {value, str(PurePosixPath(value).parent)} & set(mounted), variable
        if re.search("PASSWORD|TOKEN|KEY", variable):
            assert variable.endswith(("_FILE", "_PATH")), f"{variable} must be given as a file"
    for other, how in service.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert "test" in SERVICES[other]["healthcheck"]


@pytest.mark.parametrize("name", OURS)
def test_servers_and_workers_share_everything(name: str) -> None:
    service, api = SERVICES[name], SERVICES["api"]
    settings = {key[10:].lower() for key in service["environment"] if key.startswith("MEDSIGLIP_")}
    assert settings <= set(Settings.model_fields)
    assert service["volumes"] == api["volumes"]
    own = {"MEDSIGLIP_DEVICE", "NVIDIA_DRIVER_CAPABILITIES", "MEDSIGLIP_BOOTSTRAP_KEY_FILE"}
    shared = {key: value for key, value in service["environment"].items() if key not in own}
    assert shared == {key: value for key, value in api["environment"].items() if key not in own}
    assert ("bootstrap_key" in service["secrets"]) == (service["command"][0] == "serve")
    seconds = re.fullmatch(r"(\d+)s", service["stop_grace_period"])
    assert seconds is not None
    assert int(seconds[1]) > max(FINISH_SECONDS, GRACE_SECONDS) + 5
    data = next(one for one in service["volumes"] if isinstance(one, dict))
    assert data["read_only"] is True
    assert data["target"] == service["environment"]["MEDSIGLIP_INGEST_ROOTS"]


@pytest.mark.parametrize("name", ["api-gpu", "worker-gpu", "medgemma"])
def test_a_gpu_is_reserved(name: str) -> None:
    (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert SERVICES[name]["environment"].get("MEDSIGLIP_DEVICE", "cuda") == "cuda"


def test_the_database_is_the_one_of_the_servers() -> None:
    database = SERVICES["database"]
    url = make_url(SERVICES["api"]["environment"]["MEDSIGLIP_DATABASE_URL"])
    environment = database["environment"]
    assert SERVICES[str(url.host)] is database
    assert (url.username, url.database) == (environment["POSTGRES_USER"], environment["POSTGRES_DB"])
    assert url.password is None
    file = environment["POSTGRES_PASSWORD_FILE"]
    assert file == SERVICES["api"]["environment"]["MEDSIGLIP_DATABASE_PASSWORD_FILE"]
    assert re.fullmatch(r"postgres:\d+-[a-z]+", database["image"])
    assert "ports" not in database
    assert database["networks"] == ["catalogue"]
    assert compose()["networks"]["catalogue"]["internal"] is True


def test_the_generator_is_the_one_that_is_served() -> None:
    service = SERVICES["medgemma"]
    source = compose()["configs"][mounts(SERVICES["api"])["/etc/medsiglip/generators.toml"]]["file"]
    named = read_generators(read_settings(generators=ROOT / source))
    assert list(named) == ["medgemma"]
    generator = named["medgemma"]
    model, *flags = service["command"]
    given = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
    assert generator.model == model
    url = urlsplit(dict(generator.own)["url"])
    assert SERVICES[str(url.hostname)] is service
    assert str(url.port) == given["port"]
    assert int(given["max-model-len"]) == generator.budget.context_tokens
    assert json.loads(given["limit-mm-per-prompt"]) == {"image": generator.budget.most_pictures}
    assert given["dtype"] == "bfloat16"
    assert "ports" not in service
    assert generator.make() is not None


def test_milvus_is_reached_by_servers_and_workers_alone() -> None:
    milvus, vectors = SERVICES["milvus"], compose()["networks"]["vectors"]
    assert vectors == {"internal": True}
    assert milvus["networks"] == ["vectors"]
    assert "ports" not in milvus
    assert {name for name, one in SERVICES.items() if "vectors" in one["networks"]} == {"milvus", *OURS}
    folder = PurePosixPath(milvus["environment"]["ETCD_DATA_DIR"])
    assert str(folder.parent) in mounts(milvus)  # it lasts as the vectors do
    etcd = yaml.safe_load((ROOT / compose()["configs"]["milvus_etcd"]["file"]).read_text())
    assert milvus["environment"]["ETCD_CONFIG_PATH"] in mounts(milvus)
    assert urlsplit(etcd["listen-client-urls"]).hostname == "127.0.0.1"


def test_the_addresses_in_the_comments_are_those_of_the_services() -> None:
    said = dict(re.findall(r"(MEDSIGLIP_\w+): \$\{\w+:-\} # (\S+) with the profile", COMPOSE.read_text()))
    vectors, engine = urlsplit(said["MEDSIGLIP_VECTOR_URL"]), urlsplit(said["MEDSIGLIP_INGEST_ENGINE"])
    assert (vectors.scheme, engine.scheme) == ("milvus", "ray")
    assert (vectors.port, "milvus") == (19530, vectors.hostname)
    assert SERVICES[str(engine.hostname)]["command"].count(f"--ray-client-server-port={engine.port}") == 1
    moved = compose(MEDSIGLIP_VECTOR_URL=vectors.geturl())["services"]
    assert {moved[name]["environment"]["MEDSIGLIP_VECTOR_URL"] for name in OURS} == {vectors.geturl()}


@pytest.mark.parametrize("name", NODES)
def test_nodes_of_ray_see_the_files_of_workers_and_are_closed(name: str) -> None:
    node, worker = SERVICES[name], SERVICES["worker"]
    assert mounts(node) == {
        path: source for path, source in mounts(worker).items() if source in set(mounts(node).values())
    }
    assert {"/data", "/var/cache/medsiglip"} < set(mounts(node))
    assert "home" not in mounts(node).values()  # the key of pseudonyms lies there
    token = {name: worker["environment"][name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH")}
    assert token.items() <= node["environment"].items()
    assert token["RAY_AUTH_MODE"] == "token"
    assert mounts(node)[token["RAY_AUTH_TOKEN_PATH"]] == mounts(worker)[token["RAY_AUTH_TOKEN_PATH"]]
    assert node["networks"] == ["cluster"]
    assert compose()["networks"]["cluster"] == {"internal": True}
    assert "ports" not in node
    assert node["read_only"] is True
    assert node["user"] == worker["user"]
    words = [*node["entrypoint"], *node["command"]]
    assert words[:2] == ["ray", "start"]
    assert "--disable-usage-stats" in words
    (store,) = [int(word.split("=")[1]) for word in words if word.startswith("--object-store-memory=")]
    assert node["shm_size"].endswith("gb")
    assert 1 << 30 < store < int(node["shm_size"].removesuffix("gb")) << 30
    given = [word.split("=")[1] for word in words if "port=" in word]
    assert len(set(given)) == len(given)
    if name == "ray-head":
        assert "--include-dashboard=false" in words
    else:
        (address,) = [word.split("=")[1] for word in words if word.startswith("--address=")]
        host, port = address.split(":")
        assert f"--port={port}" in SERVICES[host]["command"]


def test_variables_are_documented() -> None:
    variables = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    head = COMPOSE.read_text().split("\nname:")[0]
    assert variables == set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", head))
    moved = compose(MEDSIGLIP_ADDRESS="10.0.0.1", MEDSIGLIP_PORT="80", DICOM_FOLDER="/srv/dicom")
    assert moved["services"]["api"]["ports"] == ["10.0.0.1:80:8000"]
    assert moved["services"]["worker"]["volumes"][2]["source"] == "/srv/dicom"


def test_secrets_stay_out_of_the_repository_and_the_image() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/secrets/", "/.env"} <= set(ignored)
    assert all(one["file"].startswith("./secrets/") for one in compose()["secrets"].values())
