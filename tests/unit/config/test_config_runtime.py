"""Settings that change at run time."""

import msgspec
import pytest

from llmsim.config import Settings, check_changes, encode_changes, is_changeable, setting_specs, with_changes
from llmsim.errors import ConfigError

SECTIONS = ("latency", "errors", "faults", "limits", "tools")


def problems(changes: object) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        with_changes(Settings(), check_changes(changes, ("gpt-5", "instant")))  # type: ignore[arg-type]
    return str(refused.value).splitlines()


def test_what_can_be_changed() -> None:
    """CTRL-2.3: Whole tables, and of `response` what needs no file and no new process."""
    names = {spec.name for spec in setting_specs() if is_changeable(spec)}
    whole = {spec.name for spec in setting_specs() if spec.section in SECTIONS} - {
        "limits.max_buckets",
        "latency.ttft_file",
        "latency.tbt_file",
    }
    response = {"generator", "target_tokens", "refusal_rate", "refusal_text", "content_filter_rate"}

    assert names == whole | {f"response.{key}" for key in response}


@pytest.mark.parametrize("spec", [spec for spec in setting_specs() if not is_changeable(spec)], ids=str)
def test_all_else_is_refused_by_name(spec: object) -> None:
    """CTRL-2.3: The refusal names the setting, and what changes it."""
    (problem,) = problems({spec.name: spec.default})  # type: ignore[attr-defined]

    assert problem.startswith(f"{spec.name}: cannot be changed at run time")  # type: ignore[attr-defined]
    assert spec.env in problem  # type: ignore[attr-defined]


def test_names_and_tables() -> None:
    """CTRL-2.1: Settings are named with dots, or as tables."""
    flat = check_changes({"latency.profile": "GPT5", "errors.rate_limit_rate": 1})
    nested = check_changes({"latency": {"profile": "GPT5"}, "errors": {"rate_limit_rate": 1}})

    assert flat == nested == {"latency.profile": "GPT5", "errors.rate_limit_rate": 1.0}


def test_all_problems_are_reported() -> None:
    """CTRL-2.4: Each with the setting, what was found, and the nearest right one."""
    found = problems(
        {
            "latency.profile": "gtp-5",
            "errors.rate_limit_rat": 0.1,
            "errors": {"server_error_rate": "0.1"},
            "tools.max_calls": 10**30,
            "response.generator": "sequence:/etc/passwd",
            "faults.keys": [3],
            "nonsense": 3,
            "latency": 3,
        }
    )

    assert len(found) == 8
    assert found[0].startswith('latency.profile: unknown profile "gtp-5"; did you mean "gpt-5"?')
    assert found[1] == "errors.rate_limit_rat: unknown setting; did you mean errors.rate_limit_rate?"
    assert found[2] == 'errors.server_error_rate: wanted a number from 0 to 1, found "0.1"'
    assert "reads a file" in found[4]
    assert found[5].endswith("found something else")


def test_settings_must_fit_each_other() -> None:
    """CTRL-2.4: Rates that add up to more than 1, and tiers that are not there, are refused."""
    assert "the rates add up to 1.2" in problems({"errors": {"rate_limit_rate": 0.7, "timeout_rate": 0.5}})[0]
    assert "unknown tier" in problems({"limits.default": "fre", "limits.tiers": {"free": {"rpm": 1}}})[0]


def test_changes_are_taken_back_and_unset() -> None:
    """CTRL-2.6: None takes a change back; `unset` unsets what is unset by default, and nothing else."""
    start = with_changes(Settings(), check_changes({"latency.ttft_mean_ms": 5, "errors.timeout_rate": 0.5}))
    unset = check_changes({"latency.ttft_mean_ms": "unset", "errors.timeout_rate": None})
    changed = with_changes(start, unset)

    assert changed.latency.ttft_mean_ms is None
    assert changed.errors.timeout_rate == 0.5
    assert check_changes(encode_changes(unset)) == unset
    assert "found" in problems({"errors.timeout_rate": "unset"})[0]


def test_changes_survive_json() -> None:
    """CTRL-2.9: What is shared is read as it was changed."""
    changes = check_changes(
        {"limits": {"tiers": {"a": {"rpm": 3, "models": {"gpt*": {"tpm": 5}}}}, "keys": {"k": "a"}}}
    )
    decoded = msgspec.json.decode(msgspec.json.encode(encode_changes(changes)))

    assert check_changes(decoded) == changes


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("redis://user:p@ss@host:6379/1", '"redis://user:***@host:6379/1"'),
        ("rediss://:secret@host", '"rediss://:***@host"'),
        ("http://host:80/a:b@c", '"http://host:80/a:b@c"'),
        ("a:b@c", '"a:b@c"'),
    ],
)
def test_passwords_in_urls_are_not_shown(value: str, shown: str) -> None:
    """CTRL-2.8: Of a URL its password is `***`, whichever setting holds it; in a refusal too."""
    spec = next(spec for spec in setting_specs() if spec.name == "response.refusal_text")

    assert spec.show(value) == shown
    assert "p@ss" not in str(problems({"errors.timeout_rate": value}))


def test_no_value_becomes_a_path() -> None:
    """CTRL-2.3: Files of latencies are refused for the models of a pattern too; shapes and quantiles are not."""
    figures = {"gpt*": {"ttft_shape": "lognormal", "tbt_quantiles": [1, 2, 3]}}
    changed = with_changes(Settings(), check_changes({"latency.models": figures}))

    assert changed.latency.models["gpt*"].ttft_shape == "lognormal"
    assert (
        "a file can be named at the start only" in problems({"latency.models": {"a": {"ttft_file": "/x"}}})[0]
    )
    assert "needs" in problems({"latency.ttft_shape": "empirical"})[0]
