"""pyproject.toml, constraints.txt, environment.yml, Makefile, workflow and README tell one story."""

import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import minimoshi

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
CONDA_PYTHON = "3.11"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def requirement_lines(text: str) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def pins(requirements: list[Requirement], python: str) -> dict[str, str]:
    """The exact version each package is pinned to on that Python, by canonical name."""
    chosen = {}
    for requirement in requirements:
        if requirement.marker and not requirement.marker.evaluate({"python_version": python}):
            continue
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", f"{requirement} is not an exact version"
        name = canonicalize_name(requirement.name)
        assert name not in chosen, f"{name} is pinned twice for Python {python}"
        chosen[name] = specifier.version
    return chosen


PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
EXTRAS = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
CONSTRAINTS = requirement_lines(read("constraints.txt"))
README = read("README.md")


def conda_pip_section() -> list[str]:
    (pip,) = [item["pip"] for item in yaml.safe_load(read("environment.yml"))["dependencies"] if isinstance(item, dict)]
    return pip


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_every_dependency_is_pinned_within_its_range(python: str) -> None:
    pinned = pins(CONSTRAINTS, python)
    for requirement in [*RUNTIME, *sum(EXTRAS.values(), [])]:
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"constraints.txt has no version of {requirement.name} for Python {python}"
        assert requirement.specifier.contains(version), f"{requirement.name}=={version} is outside {requirement}"


def test_this_environment_has_the_pinned_versions() -> None:
    pinned = pins(CONSTRAINTS, f"{sys.version_info.major}.{sys.version_info.minor}")
    for requirement in [*RUNTIME, *EXTRAS["test"], *EXTRAS["parity"], *EXTRAS["serve"]]:
        installed = metadata.version(requirement.name).split("+")[0]
        assert installed == pinned[canonicalize_name(requirement.name)], f"{requirement.name} {installed} is installed"


def test_conda_installs_what_the_tests_are_run_with() -> None:
    section = conda_pip_section()
    named = pins(requirement_lines("\n".join(section)), CONDA_PYTHON)
    wanted = pins(CONSTRAINTS, CONDA_PYTHON)
    direct = {canonicalize_name(r.name) for r in [*RUNTIME, *EXTRAS["test"], *EXTRAS["parity"], *EXTRAS["serve"]]}
    assert named == {name: wanted[name] for name in direct}
    assert [line for line in section if line.startswith("-")] == ["-c constraints.txt", "-e ."]
    assert f"python={CONDA_PYTHON}" in yaml.safe_load(read("environment.yml"))["dependencies"]


def test_the_official_package_is_named_in_one_version() -> None:
    assert [str(r) for r in requirement_lines(read("tests/parity/requirements.txt"))] == ["moshi==0.2.13"]
    assert metadata.version("moshi") == "0.2.13"
    assert not [r for r in [*RUNTIME, *sum(EXTRAS.values(), [])] if r.name in ("moshi", "torchaudio")]


def test_one_version_number() -> None:
    assert minimoshi.__version__ == PROJECT["version"] == str(yaml.safe_load(read("CITATION.cff"))["version"])


def test_readme_names_the_versions_that_are_true() -> None:
    assert f"Python {PROJECT['requires-python'].removeprefix('>=')} or newer" in README
    assert f"torch {pins(CONSTRAINTS, CONDA_PYTHON)['torch']}" in README


@pytest.mark.parametrize("command", ["lab", "test", "bench"])
def test_readme_shows_the_make_commands(command: str) -> None:
    assert f"make {command}" in README
    assert re.search(rf"^{command}:", read("Makefile"), re.MULTILINE)


def test_plain_commands_do_what_make_does() -> None:
    """The README's and the workflow's Windows commands install and run exactly what the Makefile does."""
    flags = re.search(r"-m pytest (.*) \$\(TEST_ARGS\)", read("Makefile"))
    assert flags
    for place in ("README.md", ".github/workflows/test.yml"):
        text = read(place)
        assert f"-m pytest {flags[1]}\n" in text, place
        assert '-m pip install -c constraints.txt -e ".[test,parity,serve]"\n' in text, place
        assert "-m pip install --no-deps -r tests/parity/requirements.txt\n" in text, place


def test_ci_calls_make_test() -> None:
    assert read(".ci/run").rstrip().splitlines()[-1] == "make test"


def test_files_the_readme_points_to_exist() -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_extras_the_readme_installs_exist() -> None:
    named = {extra for extras in re.findall(r"\.\[([a-z,]+)\]", README) for extra in extras.split(",")}
    assert named == set(EXTRAS)
