"""The image: what it is made of, by whom it runs, and that nothing gets into it that should not."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from medsiglip.api.settings import Settings
from tests.container_files import instructions, words
from tests.repository import ROOT, packaged

KNOWN = set(  # ADD, which may fetch and unpack, is not among them
    "FROM RUN CMD LABEL EXPOSE ENV COPY ENTRYPOINT USER WORKDIR HEALTHCHECK".split()  # noqa: SIM905
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def of(name: str) -> list[str]:
    return [rest for one, rest in instructions() if one == name]


def test_every_instruction_is_known() -> None:
    names = [name for name, _ in instructions()]
    assert names[0] == "FROM"
    assert set(names) <= KNOWN


def test_both_stages_are_one_pinned_python() -> None:
    bases = [rest.split()[0] for rest in of("FROM")]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", bases[0])


def test_copied_files_exist_and_are_the_whole_build_context() -> None:
    copied = [rest.split() for rest in of("COPY") if not rest.startswith("--from=")]
    sources = {source for one in copied for source in one[:-1]}
    assert all((ROOT / source).exists() for source in sources)
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == sources
    assert set(PROJECT["tool"]["setuptools"]["package-dir"].values()) <= sources


def test_libraries_are_those_of_the_constraints() -> None:
    installs = [
        command for rest in of("RUN") for command in re.split(r"&&|;", rest) if "pip install" in command
    ]
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in one for one in installs)
    assert "--no-deps" in installs[1]


def test_it_has_what_several_machines_need() -> None:
    (named,) = re.findall(r"for name in '([a-z ]+)'\.split", " ".join(of("RUN")))
    assert named.split() == ["postgresql", "oidc", "milvus", "ray", "tracing"]
    assert set(named.split()) <= set(PROJECT["project"]["optional-dependencies"])


def test_a_change_of_code_keeps_the_layer_of_libraries() -> None:
    names = [f"{name} {rest}" for name, rest in instructions()]
    first_install = next(n for n, one in enumerate(names) if "pip install" in one)
    before = " ".join(one for one in names[:first_install] if one.startswith("COPY"))
    assert before.split() == ["COPY", "pyproject.toml", "constraints.txt", "./"]


def test_it_runs_as_an_unprivileged_user() -> None:
    user, group = of("USER")[-1].split(":")
    assert int(user) > 1000
    assert int(group) > 1000
    made = next(rest for rest in of("RUN") if "useradd" in rest)
    assert f"--uid {user} " in made
    last = [name for name, _ in instructions()]
    assert last.index("USER") > max(n for n, name in enumerate(last) if name in ("RUN", "COPY"))


def test_it_starts_the_command_itself_which_gets_the_signals() -> None:
    assert words(of("ENTRYPOINT")[-1]) == ["medsiglip"]
    assert "medsiglip" in PROJECT["project"]["scripts"]
    assert words(of("CMD")[-1])[0] == "serve"
    check = of("HEALTHCHECK")[-1].split("CMD", 1)[1]
    assert compile(words(check)[2], "check", "exec")
    assert "/healthz" in words(check)[2]


def test_its_settings_are_settings() -> None:
    names = re.findall(r"\bMEDSIGLIP_(\w+)=", " ".join(of("ENV")))
    assert names == ["HOME"]
    assert {name.lower() for name in names} <= set(Settings.model_fields)


def test_the_package_contains_every_file_that_the_code_reads() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    for package, folder_name in PROJECT["tool"]["setuptools"]["package-dir"].items():
        folder = ROOT / folder_name
        for file in packaged(folder):
            name = file.relative_to(folder)
            if file.is_dir() or file.suffix in (".py", ".pyc"):
                continue
            of_folder = ((package, name), *_packages_above(package, name))
            assert any(
                _matches(below, pattern) for owner, below in of_folder for pattern in patterns.get(owner, ())
            ), f"{folder_name}/{name}"


def _packages_above(package: str, name: Path) -> list[tuple[str, Path]]:
    """The packages in the folders between a package and one of its files, with the file's path in each."""
    parts = name.parts
    return [(".".join((package, *parts[:count])), Path(*parts[count:])) for count in range(1, len(parts))]


def _matches(name: Path, pattern: str) -> bool:
    """As setuptools does: a star stays within its folder."""
    parts = pattern.split("/")
    return len(parts) == len(name.parts) and all(map(fnmatch, name.parts, parts))
