"""The package: imports, layers and seams, module docstrings, module lengths."""

import ast
import functools
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import TypeGuard

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


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imported(path: Path) -> tuple[str, ...]:
    """Return what a module imports, at any place in it."""
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: imports are written out in full"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(*packages: str) -> set[str]:
    """Return the modules that import any of `packages`."""
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
    """ARCH-2.1: Imports only run down, as import-linter checks by the contracts in pyproject.toml."""
    linter = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert linter.returncode == 0, linter.stdout + linter.stderr
    assert "0 broken" in linter.stdout


def test_every_package_is_in_the_layers() -> None:
    """ARCH-2.1: No package or module of llmsim is missing in the layers."""
    layers = next(contract for contract in CONTRACTS if contract["type"] == "layers")["layers"]
    placed = {package.strip().removeprefix("llmsim.") for layer in layers for package in layer.split("|")}
    packages = {
        path.stem if path.suffix else path.name for path in PACKAGE.iterdir() if path.suffix in ("", ".py")
    }

    # Data and the entry points of the package are not in a layer.
    assert packages - placed <= {"__init__", "__main__", "__pycache__", "vocabularies"}


def test_only_the_server_package_imports_the_web_server() -> None:
    """ARCH-2.2: Falcon, uvicorn and asyncio are imported by `server` alone, asyncio also by the state of several hosts, gunicorn also by the command that launches it."""
    for package in ("falcon", "uvicorn", "uvicorn_worker", "uvloop", "asyncio"):
        networked = "llmsim/state/redis/" if package == "asyncio" else "llmsim/server/"
        assert all(name.startswith(("llmsim/server/", networked)) for name in importers(package)), package
    launch = {"llmsim/cli/serve.py"}
    assert all(name.startswith("llmsim/server/") for name in importers("gunicorn") - launch)


def test_only_planning_draws_random_numbers() -> None:
    """ARCH-1.3: Only `planning` imports secrets and uuid, and creates generators; `json_instances` is passed one."""
    assert all(name.startswith("llmsim/planning/") for name in importers("secrets", "uuid"))
    drawing = ("llmsim/planning/", "llmsim/json_instances/")
    assert all(name.startswith(drawing) for name in importers("random"))
    passed = {name for name in importers("random") if name.startswith("llmsim/json_instances/")}
    assert not [name for name in passed if "Random(" in (ROOT / name).read_text(encoding="utf-8")]


def test_rendering_uses_neither_clock_nor_files() -> None:
    """ARCH-1.2: Nothing that could make rendering impure is imported by domain, json_schema, scripts, wire and providers."""
    impure = importers("time", "random", "secrets", "uuid", "os", "io", "pathlib", "tempfile", "socket")
    pure = ("domain", "json_schema", "scripts", "wire", "providers")

    found = {name for name in impure if name.startswith(tuple(f"llmsim/{package}/" for package in pure))}

    # Scripts are read from the files that the settings name, before the first request.
    assert found <= {"llmsim/scripts/files.py"}


def test_providers_do_not_import_each_other() -> None:
    """ARCH-2.3: Code that two providers share is in a package of its own, not in one of them."""
    for one, other in permutations(PROVIDERS, 2):
        borrowed = [name for name in importers(f"llmsim.providers.{other}") if f"/providers/{one}/" in name]
        assert borrowed == []


def test_every_provider_is_a_line_in_the_registry() -> None:
    """ARCH-2.3: Each folder with a provider is in the registry, and each provider there has a folder."""
    from llmsim.providers.registry import PROVIDERS as REGISTERED

    assert sorted(provider.name for provider in REGISTERED) == PROVIDERS


def strings(path: Path) -> Iterator[str]:
    """Yield the string and bytes literals of a module, docstrings left out."""
    tree = tree_of(path)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            if isinstance(node.value, str):
                yield node.value
            elif isinstance(node.value, bytes):
                yield node.value.decode("latin-1")


def test_only_providers_know_their_paths_and_framing() -> None:
    """ARCH-2.4: Nothing below the command line names a provider or its base path; only `wire` has the framing of SSE."""
    from llmsim.config.values import PROFILE_SYNONYMS

    provider = re.compile(rf"(^|/)({'|'.join(PROVIDERS)})(/|$)")
    framing = re.compile(r"^(data|event): |\[DONE\]")
    found = []
    for path in MODULES:
        package = path.relative_to(PACKAGE).parts[0]
        if package in ("providers", "cli", "testing", "catalogue.py"):
            continue
        # A family of models may have the name of a provider.
        found += [
            f"{name_of(path)}: {text!r}"
            for text in set(strings(path)) - PROFILE_SYNONYMS.keys()
            if provider.search(text) or (package != "wire" and framing.search(text))
        ]

    assert found == []


def test_only_the_registry_imports_a_provider() -> None:
    """ARCH-2.4: A provider's package is imported by itself and by the registry."""
    for name in PROVIDERS:
        others = {one for one in importers(f"llmsim.providers.{name}") if f"/providers/{name}/" not in one}
        assert others <= {"llmsim/providers/registry.py"}


def test_one_service_runs_requests_for_all_channels() -> None:
    """ARCH-1.6: Requests are run by one class, which is passed the channel; channels know neither planning nor state."""
    server = PACKAGE / "server"
    service = ast.parse((server / "generation.py").read_text(encoding="utf-8"))
    [run] = [
        method
        for node in ast.walk(service)
        if isinstance(node, ast.ClassDef) and node.name == "GenerationService"
        for method in node.body
        if isinstance(method, ast.AsyncFunctionDef) and method.name == "run"
    ]

    assert [argument.arg for argument in run.args.args] == ["self", "request", "channel"]
    assert not [
        name
        for module in ("channels.py", "direct_channel.py", "websocket.py")
        for name in imported(server / module)
        if name.startswith(("llmsim.planning", "llmsim.state", "llmsim.providers.registry"))
    ]


def test_operations_of_state_ports_are_coroutines() -> None:
    """ARCH-5.1: Each method of a port is `async def` and takes no callback."""
    tree = ast.parse((PACKAGE / "state" / "ports.py").read_text(encoding="utf-8"))
    methods = [
        method
        for node in tree.body
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)
        # `State` holds the ports; the master sets it up and removes it, without an event loop.
        if node.name != "State"
        for method in node.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert methods
    assert [method.name for method in methods if isinstance(method, ast.FunctionDef)] == []
    assert [method.name for method in methods if "Callable" in ast.unparse(method.args)] == []


def is_coroutine(node: ast.AST) -> TypeGuard[ast.AsyncFunctionDef]:
    return isinstance(node, ast.AsyncFunctionDef)


def test_state_is_awaited_in_the_server_only() -> None:
    """ARCH-5.2: Only `server`, and backends in `state`, import and await ports; resource endpoints await their context."""
    coroutines = {
        path: [node for node in ast.walk(tree_of(path)) if is_coroutine(node)]
        for path in MODULES
        if not name_of(path).startswith(("llmsim/server/", "llmsim/state/"))
    }
    declaring = [PACKAGE / "providers" / name for name in ("contract.py", "storage.py")]
    passed = [
        (name_of(path), node.name, "EndpointContext" in ast.unparse(node.args))
        for path, nodes in coroutines.items()
        for node in nodes
        # These declare the methods of the context itself.
        if path not in declaring
    ]

    assert passed
    assert [one for one in passed if not (one[0].startswith("llmsim/providers/") and one[2])] == []
    assert not [
        name
        for name in importers("llmsim.state")
        if name.startswith(("llmsim/planning/", "llmsim/providers/", "llmsim/stats/"))
    ]


def test_counters_are_declared_in_one_table() -> None:
    """ARCH-5.3: One module declares counters, each name once, and the documentation lists each."""
    declared = {
        path: [
            node.args[0].value
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Counter"
            if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
        ]
        for path in (PACKAGE / "stats").glob("*.py")
    }
    names = declared.pop(PACKAGE / "stats" / "counters.py")
    page = (ROOT / "docs" / "stats.md").read_text(encoding="utf-8")

    assert names
    assert not any(declared.values())
    assert len(names) == len(set(names))
    assert [name for name in names if f"`{name}`" not in page] == []


CACHES = {
    "llmsim/planning/embeddings.py": 2,  # numbers of directions
    "llmsim/planning/generators.py": 4,  # tokenizers and numbers of texts and lines
    "llmsim/planning/planner.py": 1,  # lasts as long as one request is analyzed
    "llmsim/planning/reasoning.py": 2,  # tokenizers and numbers
    "llmsim/planning/scenarios.py": 1,  # tokenizers
    "llmsim/planning/shapes.py": 1,  # figures of settings
    "llmsim/planning/tokens.py": 1,  # names of vocabularies
    "llmsim/providers/anthropic/provider.py": 1,  # settings
    "llmsim/providers/anthropic/rate_limits.py": 3,  # seconds, and settings
    "llmsim/providers/azure/provider.py": 1,  # providers
    "llmsim/providers/gemini/proto_json.py": 1,  # types
    "llmsim/providers/gemini/provider.py": 1,  # a setting
    "llmsim/providers/openai/provider.py": 1,  # a setting
    "llmsim/providers/openai_family/rate_limits.py": 1,  # milliseconds
    "llmsim/providers/openresponses/provider.py": 1,  # a setting
    "llmsim/providers/registry.py": 1,
    "llmsim/providers/resource_routes.py": 1,  # no key
    "llmsim/providers/strict_fields.py": 1,  # no key
    "llmsim/wire/codec.py": 1,  # types
}
"""Caches by file whose keys are not texts of clients, and how many they are."""


def test_texts_of_clients_are_cached_by_the_helper_alone() -> None:
    """BUDG-4.1: `remembered` passes long keys through; other caches have no texts of clients as keys."""
    packages = ("planning", "json_schema", "json_instances", "wire", "providers", "scripts")
    counts = {}
    for path in (path for package in packages for path in (PACKAGE / package).rglob("*.py")):
        found = re.findall(r"\b(?:lru_cache|functools\.cache)\b", path.read_text(encoding="utf-8"))
        if found:
            counts[path.relative_to(ROOT).as_posix()] = len(found)

    assert counts == CACHES


def test_no_network_is_used() -> None:
    """ARCH-3.10: HTTP clients are imported only by the command and by `testing`, which send requests to llmsim itself."""
    clients = importers("requests", "httpx", "urllib.request", "http.client", "aiohttp")

    assert clients <= {
        "llmsim/cli/http_client.py",
        "llmsim/testing/client.py",
    }


def test_the_network_is_used_for_what_is_named_only() -> None:
    """MACH-1.5: The client of the Redis server is imported by the backend alone, which is loaded when its address is set."""
    assert {Path(path).parent for path in importers("redis")} == {Path("llmsim/state/redis")}
    assert importers("llmsim.state.redis.redis_state") == {"llmsim/state/embedded.py"}


def test_every_module_has_a_purpose() -> None:
    """MAINT-4.8: A module's docstring begins with one line of purpose, which ends with a stop or a colon, and is apart from the rest."""
    without = []
    for module in MODULES:
        first, _, rest = (ast.get_docstring(tree_of(module)) or "").partition("\n")
        if not first.endswith((".", ":")) or (rest and not rest.startswith("\n")):
            without.append(name_of(module))

    assert without == []


def test_no_module_is_too_long() -> None:
    """MAINT-4.8: No module is longer than 400 lines."""
    lengths = {name_of(module): len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}

    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_no_module_has_a_vague_name() -> None:
    """MAINT-4.8: No module has a name that would fit any content."""
    vague = {"utils", "util", "helpers", "helper", "common", "base", "misc", "core"}
    found = [name_of(one) for one in MODULES if one.stem in vague or one.stem.endswith("manager")]

    assert found == []


def test_no_code_compares_family_names() -> None:
    """API-3.2: Facts about models are in the catalogue; no code compares a model's name with a family's."""
    families = ("gpt-", "claude", "gemini", "deepseek", "o1", "o3", "o4")
    compared = [
        f"{name_of(module)}: {ast.unparse(node)}"
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn | ast.Eq)
        for side in (node.left, *node.comparators)
        if isinstance(side, ast.Constant) and isinstance(side.value, str) and side.value.startswith(families)
    ]

    assert compared == []
