"""The package: who imports whom, what every module says of itself, and how long it is."""

import ast
import functools
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "llmsim"
MODULES = sorted(PACKAGE.rglob("*.py"))
PROVIDERS = sorted(path.parent.name for path in PACKAGE.glob("providers/*/provider.py"))
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
    "contracts"
]

MOST_LINES = 400


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(params=MODULES, ids=name_of)
def module(request: pytest.FixtureRequest) -> Path:
    return request.param  # type: ignore[no-any-return]


@functools.cache
def imported(path: Path) -> tuple[str, ...]:
    """Give what a module imports, wherever it does so."""
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: imports are written out in full"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(*packages: str) -> set[str]:
    """Name the modules that import any of `packages`."""
    return {
        name_of(path)
        for path in MODULES
        if any(
            name == package or name.startswith(f"{package}.")
            for name in imported(path)
            for package in packages
        )
    }


def test_imports_keep_the_contracts() -> None:
    """ARCH-2.1: Imports only run down the house, as import-linter checks by the contracts in pyproject.toml."""
    told = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stdout + told.stderr
    assert "0 broken" in told.stdout


def test_every_room_has_its_place_in_the_contracts() -> None:
    """ARCH-2.1: No room stands outside the layers."""
    layers = next(contract for contract in CONTRACTS if contract["type"] == "layers")["layers"]
    placed = {room.strip().removeprefix("llmsim.") for layer in layers for room in layer.split("|")}
    rooms = {
        path.stem if path.suffix else path.name for path in PACKAGE.iterdir() if path.suffix in ("", ".py")
    }

    # `testing` may use what it likes below the command line; data and the doors of the package are no rooms.
    assert rooms - placed <= {"__init__", "__main__", "__pycache__", "vocabularies", "testing"}


def test_the_web_server_lives_in_the_server_room() -> None:
    """ARCH-2.2: Falcon, uvicorn and asyncio are imported by `server` alone, gunicorn by the command that launches it."""
    for package in ("falcon", "uvicorn", "uvicorn_worker", "uvloop", "asyncio"):
        assert all(name.startswith("llmsim/server/") for name in importers(package)), package
    launch = {"llmsim/cli/serve.py"}
    assert all(name.startswith("llmsim/server/") for name in importers("gunicorn") - launch)


def test_only_planning_rolls_dice() -> None:
    """ARCH-1.3: Random, secrets and uuid are imported by `planning` alone."""
    assert all(name.startswith("llmsim/planning/") for name in importers("random", "secrets", "uuid"))


def test_rendering_knows_neither_clock_nor_files() -> None:
    """ARCH-1.2: Nothing that could make rendering impure is imported by exchange, schema, scripts, wire and providers."""
    impure = importers(
        "time", "datetime", "random", "secrets", "uuid", "os", "io", "pathlib", "tempfile", "socket"
    )

    assert not [
        name
        for name in impure
        if name.startswith(
            ("llmsim/exchange/", "llmsim/schema/", "llmsim/scripts/", "llmsim/wire/", "llmsim/providers/")
        )
    ]


def test_providers_do_not_import_each_other() -> None:
    """ARCH-2.3: What two providers share stands beside them, not in one of them."""
    for one, other in permutations(PROVIDERS, 2):
        borrowed = [name for name in importers(f"llmsim.providers.{other}") if f"/providers/{one}/" in name]
        assert borrowed == []


def test_every_provider_is_a_line_in_the_registry() -> None:
    """ARCH-2.3: Each folder with a provider is in the registry, and each provider there has a folder."""
    from llmsim.providers.registry import PROVIDERS as REGISTERED

    assert sorted(provider.name for provider in REGISTERED) == PROVIDERS


def test_no_network_is_asked_for() -> None:
    """ARCH-3.10: No HTTP client is imported but by those that ask a server of llmsim: the command, and tests."""
    clients = importers("requests", "httpx", "urllib.request", "http.client", "aiohttp")

    assert clients <= {
        "llmsim/cli/http_client.py",
        "llmsim/testing/client.py",
    }


def test_every_module_says_what_it_is_for(module: Path) -> None:
    """MAINT-4.8: A module's docstring begins with one line of purpose, that ends as a sentence or a heading does."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))

    assert docstring, "no module docstring"
    first, _, rest = docstring.partition("\n")
    assert first.endswith((".", ":"))
    assert not rest or rest.startswith("\n"), "a line of purpose, then an empty one"


def test_every_module_can_be_read_at_a_sitting(module: Path) -> None:
    """MAINT-4.8: No module is longer than 400 lines."""
    assert len(module.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_a_modules_name_says_what_it_holds(module: Path) -> None:
    """MAINT-4.8: No room is named after what could stand in any room."""
    vague = {"utils", "util", "helpers", "helper", "common", "base", "misc", "core"}

    assert module.stem not in vague
    assert not module.stem.endswith("manager")


def test_no_family_is_asked_for_by_name(module: Path) -> None:
    """API-3.2: Facts about models stand in the catalogue; no code asks whether a name holds a family's."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    families = ("gpt-", "claude", "gemini", "deepseek", "o1", "o3", "o4")
    asked = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn | ast.Eq)
        for side in (node.left, *node.comparators)
        if isinstance(side, ast.Constant) and isinstance(side.value, str) and side.value.startswith(families)
    ]

    assert asked == []
