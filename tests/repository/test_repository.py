"""The repository: version, changelog, packages, dependencies, and the correctness of the documentation."""

import hashlib
import importlib.metadata
import inspect
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import click
import msgspec
import pytest
import tiktoken_ext.openai_public
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import llmsim
import loadtest.cli
from llmsim.catalogue import CatalogueFile, load_catalogue
from llmsim.cli import main
from llmsim.config import CONFIG_VARIABLE, setting_specs
from llmsim.server.channels import direct_writes_problem
from loadtest.replay.command import trace

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGE = ROOT / "llmsim"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
TEXTS = (
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "specs").glob("*.md")),
)

COMMANDS = main.list_commands(click.Context(main))

OWN_DATA = ("py.typed", "dashboard.html")

READ_AT_RUN_TIME = ("catalogue.json", "providers/known_fields.json", "server/dashboard.html", "py.typed")

# Published with tiktoken; see NOTICE.
VOCABULARIES = {
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
}

FILES = """
    README.md LICENSE NOTICE CHANGELOG.md CONTRIBUTING.md AGENTS.md Dockerfile .dockerignore .editorconfig .gitignore
    pyproject.toml gunicorn.conf.py compose.yaml
    .ci/run .github/workflows/ci.yml .github/workflows/release.yml .github/pull_request_template.md .github/ISSUE_TEMPLATE/bug_report.md
    scripts/serve scripts/test scripts/check scripts/bench scripts/agents scripts/loadtest scripts/package scripts/update-catalogue
    scripts/update-known-fields scripts/update-coverage
    docs/README.md docs/getting-started.md docs/configuration.md docs/latency.md docs/faults.md docs/models.md
    docs/stats.md docs/works-with.md docs/load-testing.md docs/performance.md docs/hosting.md docs/llmsim.service
    specs/README.md specs/release-process.md specs/maintenance.md
"""


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def vocabulary_file(name: str) -> str:
    """Return the file name by which the installed tiktoken finds a vocabulary in its cache."""
    source = inspect.getsource(tiktoken_ext.openai_public)
    address = re.search(rf'"(https://\S+/{name}\.tiktoken)"', source)
    assert address is not None
    return hashlib.sha1(address[1].encode()).hexdigest()


# Versions


def test_version_is_defined_once() -> None:
    """REL-1.1: `llmsim/__init__.py` has the version, the package takes it from there."""
    assert re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", llmsim.__version__)
    assert "version" in PROJECT["project"]["dynamic"]
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "llmsim/__init__.py"


def test_program_prints_its_version() -> None:
    """REL-1.2: `llmsim --version` prints it."""
    printed = CliRunner().invoke(main, ["--version"])

    assert printed.exit_code == 0
    assert printed.output.split()[-1] == llmsim.__version__


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_shown_versions_are_this_one(page: Path) -> None:
    """REL-1.5: Banner and health check on a page have the version; figures of a benchmark have that of their run."""
    shown = re.findall(
        r'llmsim (\d+\.\d+\.\d+) simulates|"version":"(\d[\d.]+)"', page.read_text(encoding="utf-8")
    )

    assert {banner or health for banner, health in shown} <= {llmsim.__version__}


# The changelog


def changelog() -> list[tuple[str, str, list[str]]]:
    """Return version, day and headings of each section."""
    sections: list[tuple[str, str, list[str]]] = []
    for line in text_of("CHANGELOG.md").splitlines():
        if line.startswith("## "):
            heading = re.fullmatch(r"## \[([^\]]+)\] - (\S+)", line)
            assert heading is not None, line
            sections.append((heading[1], heading[2], []))
        elif line.startswith("### "):
            sections[-1][2].append(line.removeprefix("### "))
    return sections


def test_version_is_in_the_changelog() -> None:
    """REL-2.1: There is a section for the version."""
    assert llmsim.__version__ in [version for version, _, _ in changelog()]


def test_changelog_is_dated_and_newest_first() -> None:
    """REL-2.2: Sections are in order and dated; only the first may be unreleased."""
    sections = changelog()
    versions = [tuple(map(int, version.split("."))) for version, _, _ in sections]
    days = [day for _, day, _ in sections]

    assert versions == sorted(versions, reverse=True)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", day) for day in days[1:])
    assert days[0] == "unreleased" or re.fullmatch(r"\d{4}-\d\d-\d\d", days[0])


def test_changelog_has_the_usual_headings() -> None:
    """REL-2.3: Only Keep a Changelog's headings, each at most once in a section."""
    for version, _, headings in changelog():
        assert set(headings) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}, version
        assert len(headings) == len(set(headings)), version


# What ships


def test_package_holds_what_it_reads() -> None:
    """REL-3.1: What is read at run time is inside the package, and the load tests beside it."""
    package = resources.files("llmsim")

    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["llmsim", "loadtest"]
    assert all(package.joinpath(name).is_file() for name in READ_AT_RUN_TIME)
    assert [one for one in package.joinpath("scenarios", "builtin").iterdir() if one.name.endswith(".json")]
    assert all(package.joinpath("vocabularies", vocabulary_file(name)).is_file() for name in VOCABULARIES)


def test_third_party_data_is_named() -> None:
    """REL-3.2: Licence and notice ship; the notice names every file of data in the package, with its licence."""
    data = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and path.name not in OWN_DATA
    }
    # Those scenarios were written for llmsim.
    data.remove("scenarios")
    notice = text_of("NOTICE")

    assert set(PROJECT["project"]["license-files"]) == {"LICENSE", "NOTICE"}
    assert text_of("LICENSE").startswith("MIT License")
    assert all(f"llmsim/{name}" in notice for name in data)
    assert all(digest in notice for digest in VOCABULARIES.values())
    assert notice.count("MIT License") >= len(data)


def test_source_distribution_finds_its_files() -> None:
    """REL-3.3: Every included path exists."""
    wanted = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]

    assert [name for name in wanted if not (ROOT / name).exists()] == []


def test_named_pythons_are_tested() -> None:
    """REL-3.4: CI tests the versions of the classifiers, and the oldest is the required one."""
    prefix = "Programming Language :: Python :: "
    named = [
        name.removeprefix(prefix) for name in PROJECT["project"]["classifiers"] if name.startswith(prefix)
    ]
    matrix = re.search(r"python: \[(.*)\]", text_of(".github/workflows/ci.yml"))

    assert matrix is not None
    assert re.findall(r'"([^"]+)"', matrix[1]) == named
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"


def test_installed_commands() -> None:
    """REL-3.6: The command `llmsim` has `loadtest`, an extra brings what that needs, and results go to the current folder."""
    assert PROJECT["project"]["scripts"] == {"llmsim": "llmsim.cli:main"}
    assert "loadtest" in COMMANDS
    assert [Requirement(line).name for line in PROJECT["project"]["optional-dependencies"]["load"]] == [
        "locust"
    ]
    assert not loadtest.cli._RESULTS.is_absolute()


# Model facts and vocabularies


def test_source_of_facts_is_pinned() -> None:
    """MAINT-1.1: The development environment has the package from which the catalogue was made."""
    file = msgspec.json.decode((PACKAGE / "catalogue.json").read_bytes(), type=CatalogueFile)
    name, version = file.source.split()

    assert f"{name}=={version}" in PROJECT["project"]["optional-dependencies"]["dev"]


def test_hand_kept_facts_have_sources() -> None:
    """MAINT-1.2: Every correction and addition of the overlay names its source."""
    overlay = tomllib.loads(text_of("scripts/catalogue-overlay.toml"))
    entries = overlay["corrections"] | overlay["missing"]

    assert entries
    assert [name for name, facts in entries.items() if not facts["source"].strip()] == []


def test_vocabularies_are_those_of_the_catalogue() -> None:
    """MAINT-2.1: One file for each tokenizer of the catalogue, with the published content."""
    used = {model.tokenizer for model in load_catalogue().models.values()}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (PACKAGE / "vocabularies").iterdir()
    }

    assert used == set(VOCABULARIES)
    assert sorted(found.values()) == sorted(VOCABULARIES.values())


@pytest.mark.parametrize("name", sorted(VOCABULARIES))
def test_vocabulary_has_the_name_that_tiktoken_expects(name: str) -> None:
    """MAINT-2.2: The file is named by the SHA-1 of its URL in the installed tiktoken."""
    content = (PACKAGE / "vocabularies" / vocabulary_file(name)).read_bytes()

    assert hashlib.sha256(content).hexdigest() == VOCABULARIES[name]


# Dependencies


def test_uvicorn_is_pinned_to_a_minor_version() -> None:
    """MAINT-3.1: Where llmsim serves and is tested, one minor version is required and installed; plugins' projects may have any."""

    def requirement(lines: list[str]) -> str:
        [found] = [line for line in lines if re.match(r"uvicorn\b(?!-)", line)]
        return found

    extras = PROJECT["project"]["optional-dependencies"]
    pin = requirement(extras["serve"])
    bounds = re.fullmatch(r"uvicorn>=(\d+)\.(\d+)(?:\.\d+)?,<(\d+)\.(\d+)", pin)

    assert requirement(extras["dev"]) == pin
    assert bounds is not None, pin
    assert requirement(PROJECT["project"]["dependencies"]) == pin.partition(",")[0]
    major, minor, next_major, next_minor = map(int, bounds.groups())
    assert (next_major, next_minor) == (major, minor + 1)
    assert importlib.metadata.version("uvicorn").startswith(f"{major}.{minor}.")


def test_uvicorn_suits_the_direct_writer() -> None:
    """MAINT-3.2: The installed uvicorn has the internals that the direct writer expects."""
    assert direct_writes_problem() is None


def test_dependencies_have_a_floor() -> None:
    """MAINT-3.3: Every dependency has a minimum or exact version."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    requirements = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]

    assert [line for line in requirements if not re.search(r"(>=|==)\d", line)] == []


def locked(name: str) -> dict[str, str]:
    """Return the versions that a lock file names; each must have a hash."""
    text = re.sub(r"(?m)^#.*\n", "", text_of(name)).replace("\\\n", " ")
    found = [
        re.fullmatch(r"([a-z0-9-]+)==(\S+)(?: +--hash=sha256:[0-9a-f]{64})+", line.strip())
        for line in text.splitlines()
    ]
    assert None not in found
    return {one[1]: one[2] for one in found if one is not None}


def required(lines: list[str]) -> dict[str, SpecifierSet]:
    return {
        one.name.replace("_", "-"): one.specifier
        for one in map(Requirement, lines)
        if one.marker is None or one.marker.evaluate()
    }


@pytest.mark.parametrize(
    ("name", "extras"), [("requirements.lock", ["serve"]), ("requirements-dev.lock", ["dev"])]
)
def test_lock_files_name_every_package(name: str, extras: list[str]) -> None:
    """MAINT-3.6: Each package has a version that suits the requirement, and hashes; no line names an index."""
    project = PROJECT["project"]
    versions = locked(name)
    lines = [
        *project["dependencies"],
        *(line for one in extras for line in project["optional-dependencies"][one]),
    ]

    assert [one for one, bounds in required(lines).items() if not bounds.contains(versions[one])] == []
    assert versions.items() >= locked("requirements.lock").items()


def test_build_is_locked() -> None:
    """MAINT-3.6: What builds the package has a version that suits, and hashes."""
    versions = locked("requirements-build.lock")

    for one, bounds in required(PROJECT["build-system"]["requires"]).items():
        assert bounds.contains(versions[one])


def test_image_and_ci_install_from_lock_files() -> None:
    """MAINT-3.6: No pip of image or CI installs anything but llmsim itself without a hash."""
    texts = [text_of(name).replace("\\\n", " ") for name in ("Dockerfile", "scripts/package")]
    commands = [
        command
        for text in texts
        for command in re.findall(r"\bpip (?:--\S+ (?:/\S+ )?)*(?:install|wheel) [^&\n]*", text)
    ]

    assert len(commands) == 7
    assert all("--require-hashes" in command or "--no-deps" in command for command in commands)
    assert all('LOCKED: "1"' in text_of(f".github/workflows/{name}.yml") for name in WORKFLOWS)
    assert "--require-hashes" in text_of("scripts/venv.sh")


@pytest.mark.parametrize(
    "provider", sorted(path.parent.name for path in (PACKAGE / "providers").glob("*/provider.py"))
)
def test_code_and_specs_follow_one_sdk(provider: str) -> None:
    """MAINT-3.4: Comments and specs name the same version of a provider's SDK."""
    texts = [path.read_text(encoding="utf-8") for path in (PACKAGE / "providers" / provider).glob("*.py")]
    texts += [path.read_text(encoding="utf-8") for path in (ROOT / "specs").glob("*.md")]
    versions = {
        version for text in texts for version in re.findall(rf"\b{provider} (?:SDK )?(\d+\.\d+)", text)
    }

    # An API that has no SDK of its own names none.
    assert len(versions) <= 1


# The repository


@pytest.mark.parametrize("path", FILES.split())
def test_expected_file_exists(path: str) -> None:
    """MAINT-4.1: The files that users, contributors and tools look for exist and are not empty."""
    assert (ROOT / path).stat().st_size > 0


WORKFLOWS = ("ci", "release")


def run_steps(workflow: str) -> list[str]:
    return re.findall(r"^\s*(?:- )?run: (.*)$", text_of(f".github/workflows/{workflow}.yml"), re.MULTILINE)


def test_ci_runs_scripts_of_the_repository_only() -> None:
    """MAINT-4.2: `.ci/run` is `scripts/test`; the workflow runs checks, tests and package as jobs of their own."""
    lines = [
        line for line in text_of(".ci/run").splitlines() if line and not line.startswith(("#", "set ", "cd "))
    ]
    jobs = re.findall(
        r"^  (\w+):$", text_of(".github/workflows/ci.yml").partition("\njobs:\n")[2], re.MULTILINE
    )

    assert lines == ["exec ./scripts/test"]
    assert jobs == ["checks", "tests", "package"]
    assert run_steps("ci") == ["./scripts/check", "./scripts/test tests", "./scripts/package"]


def test_the_server_of_several_hosts_is_installed(tmp_path: Path) -> None:
    """MAINT-4.2: By root, with apt-get, where it is missing; where that is not possible there is a note, and the tests run."""
    calls = tmp_path / "calls"
    for name, line in (("id", "echo 0"), ("apt-get", f'echo "$@" >> {calls}; exit 1')):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
    bash, timeout = (shutil.which(name) or name for name in ("bash", "timeout"))
    (tmp_path / "timeout").symlink_to(timeout)
    command = [bash, "-euo", "pipefail", "-c", f"source {ROOT}/scripts/redis.sh; redis_ready"]
    environment = {"PATH": str(tmp_path)}
    missing = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    (tmp_path / "redis-server").symlink_to(bash)
    there = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    assert "redis-server is not installed: tests of several hosts are skipped" in missing.stderr
    assert calls.read_text().splitlines() == ["update -q"]
    assert there.stderr == ""
    assert "redis_ready" in text_of("scripts/test").splitlines()


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_actions_have_a_version(workflow: str) -> None:
    """MAINT-4.2: Each action is named by a version, none by a branch."""
    used = re.findall(r"uses: (\S+)", text_of(f".github/workflows/{workflow}.yml"))

    assert used
    assert [name for name in used if not re.fullmatch(r"[\w/-]+@v\d+", name)] == []


def test_a_tag_makes_the_release() -> None:
    """REL-4.5: The workflow runs for tags, builds the package, compares tag and version, and then makes image and release."""
    text = text_of(".github/workflows/release.yml")
    steps = run_steps("release")

    assert 'tags: ["v*"]' in text
    assert steps[0] == "./scripts/package"
    assert "dist/llmsim-${GITHUB_REF_NAME#v}-py3-none-any.whl" in steps[1]
    assert "needs: package" in text
    assert "needs: [package, image]" in text


def test_pull_request_template_has_five_sections() -> None:
    """MAINT-4.3: What, Why, How, Risk, Checklist."""
    headings = re.findall(r"^## (.+)$", text_of(".github/pull_request_template.md"), re.MULTILINE)

    assert headings == ["What", "Why", "How", "Risk", "Checklist"]


@pytest.mark.parametrize("folder", ["docs", "specs"])
def test_index_has_every_page(folder: str) -> None:
    """MAINT-4.4: Each file of the folder is linked from its README."""
    index = text_of(f"{folder}/README.md")
    pages = {path.name for path in (ROOT / folder).glob("*.md")} - {"README.md"}

    assert {name for name in pages if f"]({name})" not in index} == set()


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    """MAINT-4.4: Every relative link names a file, and its fragment a heading there."""
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in target:
            continue
        name, _, fragment = target.partition("#")
        path = page.parent / name if name else page
        if not path.exists() or (fragment and fragment not in anchors(path)):
            broken.append(target)

    assert broken == []


def anchors(page: Path) -> set[str]:
    """Return the fragments of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# What the documentation shows


def shown_commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of every llmsim command on a page, from the command's name on."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    # In prose, messages may begin with the name of the program too.
    lines += re.findall(rf"`(llmsim (?:{'|'.join(COMMANDS)})\b[^`\n]*|\./scripts/serve[^`\n]*)`", text)
    for line in lines:
        line = re.sub(r"(?<![\w/.])\./scripts/serve\b", "llmsim serve", line)
        if found := re.search(r"(?:^|[ /(])llmsim ([a-z].*)", re.split(r" #|[|&>]", line)[0]):
            yield shlex.split(found[1])


def subcommand(command: click.Command, words: list[str], context: click.Context) -> click.Command:
    """Return the command within a command that the words name; the command itself if they name none."""
    if words and command.name == "main" and words[0] == trace.name:
        return trace
    if isinstance(command, click.Group) and words and (found := command.get_command(context, words[0])):
        return found
    return command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_shown_commands_exist(page: Path) -> None:
    """MAINT-4.5: Each llmsim command on a page exists, with its options."""
    context = click.Context(main)
    for name, *words in shown_commands(page):
        command = main.get_command(context, name)
        assert command is not None, name
        command = subcommand(command, words, context)
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= options, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_shown_variables_exist(page: Path) -> None:
    """MAINT-4.5: Each variable on a page that is written in full exists; the configuration page also shows mistakes."""
    known = {CONFIG_VARIABLE} | {spec.env for spec in setting_specs()}
    shown = set(re.findall(r"\bLLMSIM_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))

    assert page.name == "configuration.md" or shown <= known
