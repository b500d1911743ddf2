"""Imports point one way, each SDK has its home, and names keep to the rules of CONTRIBUTING.md."""

from __future__ import annotations

import ast
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("pipeline", "service")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
# SDK -> the modules that may import it
HOMES = {
    "docker": {"pipeline.image", "pipeline.fleet.local"},
    "httpx2": {"pipeline.hosts"},
    "subprocess": {"pipeline.process", "pipeline.bootstrap", "service.images.pool"},
    "rich": {"pipeline.console", "pipeline.show", "pipeline.tree", "pipeline.cli"},
    "jenkinsapi": {"pipeline.jenkins"},
    "requests": {"pipeline.jenkins"},
    "cyclonedx": {"pipeline.sbom"},
    "packageurl": {"pipeline.sbom"},
    "jinja2": {"pipeline.report.run"},
    "click": {"pipeline.cli"},
    "torch": {"service.inference.recogniser", "service.inference.efficientnet_lite"},
    "torchvision": set(),
    "PIL": {"service.images.decode"},
    "sqlite3": {
        "service.storage.sqlite",
        "service.storage.connections",
        "service.storage.migrations",
        "service.storage.rows",
    },
    "boto3": {"service.storage.aws"},
    "botocore": {"service.storage.aws"},
    "argon2": {"service.passwords"},
    "zxcvbn": {"service.passwords"},
    "prometheus_client": {"service.web.metrics"},
    "markupsafe": {"service.web.pages.rendering"},
    "starlette": {"service.app", "service.web"},
    "uvicorn": {"service.serving"},
}
ADAPTERS = {
    "pipeline.image", "pipeline.fleet.local", "pipeline.deploy", "pipeline.playbook", "pipeline.loadtest", "pipeline.testrun",
    "pipeline.hosts", "pipeline.ledger.local", "pipeline.engine", "pipeline.base_image", "pipeline.wheelhouse",
    "pipeline.process", "pipeline.repository",
}  # fmt: skip
# package or module -> what of its own package it may import (itself always)
SERVICE_LAYERS = {
    "service.errors": set(),
    "service.records": set(),
    "service.search": {"service.records"},
    "service.tallies": {"service.records"},
    "service.dashboard": {"service.tallies"},
    "service.logs": set(),
    "service.settings": {"service.errors"},
    "service.limits": {"service.errors"},
    "service.passwords": {"service.errors"},
    "service.inference": {"service.errors", "service.records"},
    "service.images": {"service.errors", "service.records", "service.inference.description"},
    "service.storage": {"service.errors", "service.records", "service.search", "service.tallies", "service.settings"},
    "service.attempts": {"service.errors", "service.storage.protocol"},
    "service.accounts": {"service.errors", "service.records", "service.storage.protocol", "service.passwords", "service.attempts"},
    "service.access": {"service.errors", "service.records", "service.storage.protocol", "service.accounts"},
    "service.administration": {
        "service.errors", "service.records", "service.storage.protocol", "service.accounts", "service.passwords",
    },
    "service.runs": {"service.errors", "service.records", "service.storage.protocol"},
    "service.web": {
        "service.errors", "service.records", "service.settings", "service.accounts", "service.access", "service.administration",
        "service.attempts", "service.passwords", "service.runs", "service.search", "service.tallies", "service.dashboard",
        "service.limits", "service.logs", "service.images", "service.inference", "service.storage.protocol",
    },
}  # fmt: skip
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base", "core"}


@cache
def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in the file; `from a import b` counts as `a.b` when that is a module of ours."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in MODULES else str(node.module))
    return found


GRAPH = {name: {other for other in imports(path) if other in MODULES} for name, path in MODULES.items()}


def within(module: str, places: set[str]) -> bool:
    return any(module == place or module.startswith(place + ".") for place in places)


def reach(module: str) -> set[str]:
    """Everything that a module imports, directly or not."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        for other in GRAPH[todo.pop()] - seen:
            seen.add(other)
            todo.append(other)
    return seen


def test_no_import_goes_round_in_a_circle():
    assert len(tuple(TopologicalSorter(GRAPH).static_order())) == len(MODULES)


@pytest.mark.parametrize(("package", "other"), [("pipeline", "service"), ("service", "pipeline")])
def test_pipeline_and_service_do_not_know_each_other(package: str, other: str):
    strangers = {
        name for name, path in MODULES.items() if within(name, {package}) and any(within(i, {other}) for i in imports(path))
    }
    assert strangers == set()


@pytest.mark.parametrize("sdk", HOMES)
def test_an_sdk_is_imported_at_its_home_alone(sdk: str):
    users = {name for name, path in MODULES.items() if any(within(other, {sdk}) for other in imports(path))}
    assert {user for user in users if not within(user, HOMES[sdk])} == set()
    assert not HOMES[sdk] or users, f"nothing imports {sdk}: the rule is out of date"


def test_use_cases_and_gates_reach_no_adapter():
    assert "pipeline.commands" in MODULES
    for name in MODULES:
        if within(
            name, {"pipeline.commands", "pipeline.gates", "pipeline.verdict", "pipeline.release", "pipeline.ledger.protocol"}
        ):
            assert reach(name) & ADAPTERS == set(), name


def test_only_the_wiring_and_the_command_line_put_adapters_together():
    users = {name for name, others in GRAPH.items() if len(others & (ADAPTERS - {"pipeline.process"})) > 2}
    assert users <= {"pipeline.wiring", "pipeline.image"}


@pytest.mark.parametrize("layer", SERVICE_LAYERS)
def test_a_layer_of_the_service_imports_only_what_is_below_it(layer: str):
    for name in [name for name in MODULES if within(name, {layer})]:
        ours = {other for other in GRAPH[name] if within(other, {"service"}) and other != "service"}
        assert {other for other in ours if not within(other, {layer, *SERVICE_LAYERS[layer]})} == set(), name


def test_the_load_test_knows_only_urls():
    for path in (ROOT / "loadtests").rglob("*.py"):
        assert not {other for other in imports(path) if within(other, set(PACKAGES))}


def test_the_set_up_runs_on_a_bare_python():
    assert {name.partition(".")[0] for name in imports(MODULES["pipeline.bootstrap"])} <= sys.stdlib_module_names
    assert GRAPH["pipeline"] == set()


@pytest.mark.parametrize("folder", ["ansible", "jenkins"])
def test_folders_that_share_a_name_with_a_package_are_no_packages(folder: str):
    assert list((ROOT / folder).glob("__init__.py")) == []


def test_modules_are_named_for_what_they_are_about():
    assert {name for name in MODULES if BANNED_NAMES & set(name.split("."))} == set()


def test_every_module_says_what_it_is_for():
    assert [name for name, path in MODULES.items() if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_no_module_is_two_ideas_long():
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 350} == {}


UNSAFE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def test_nothing_is_unpickled():
    for name, path in MODULES.items():
        assert not imports(path) & UNSAFE, name
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), name
            assert not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("eval", "exec")), name
