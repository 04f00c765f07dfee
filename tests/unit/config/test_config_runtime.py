"""Settings that change at run time."""

import msgspec
import pytest

from llmsim.cli.set import parse_changes
from llmsim.config import (
    EngineSettings,
    LatencyFigures,
    LatencySettings,
    Settings,
    check_changes,
    encode_changes,
    is_changeable,
    merged_changes,
    parse_timeline,
    setting_specs,
    with_changes,
)
from llmsim.config.engine_profiles import engine_profiles
from llmsim.config.latency_checks import find_problems
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


def test_only_what_can_be_chosen_is_offered() -> None:
    """CTRL-2.4: A generator that reads a file is not among those that a message names."""
    assert problems({"response.generator": "/etc/passwd"}) == [
        'response.generator: unknown generator "/etc/passwd". One of: lorem, echo, random, fixed:TEXT'
    ]


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


ENGINE = msgspec.structs.replace(
    Settings(), latency=LatencySettings(engine=EngineSettings(step_base_ms=20, max_requests=100))
)


@pytest.mark.parametrize(
    "changes",
    [
        {"latency.engine.max_num_seqs": 4},
        {"latency.engine": {"max_num_seqs": 4}},
        {"latency": {"engine": {"max_num_seqs": 4}}},
        {"latency": {"engine.max_num_seqs": 4}},
    ],
)
def test_a_table_changes_by_its_settings(changes: dict[str, object]) -> None:
    """ENG-5.1: However it is written, what a change leaves out of the engine stays as it is."""
    checked = check_changes(changes)

    assert checked == {"latency.engine.max_num_seqs": 4}
    assert with_changes(ENGINE, checked).latency.engine == EngineSettings(
        step_base_ms=20, max_requests=100, max_num_seqs=4
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"latency.engine.max_requests": 65_537},
            "latency.engine.max_requests: wanted a whole number from 1 to 65536",
        ),
        ({"latency.engine": {}}, "latency.engine: wanted at least one of its settings"),
        ({"latency.engine.max_num_seq": 1}, "did you mean latency.engine.max_num_seqs?"),
        ({"latency.engine.max_num_seqs": 0}, "latency.engine.max_num_seqs: wanted a whole number from 1"),
        (
            {"latency.models": {"a*": {"engine": {"max_num_seqs": 0}}}},
            "max_num_seqs: wanted a whole number from 1",
        ),
    ],
)
def test_what_an_engine_cannot_become(changes: dict[str, object], problem: str) -> None:
    """ENG-5.1: What is no engine is refused by name."""
    with pytest.raises(ConfigError) as refused:
        with_changes(ENGINE, check_changes(changes))

    assert problem in str(refused.value)


@pytest.mark.parametrize("start", [Settings(), ENGINE])
def test_an_engine_begins_at_run_time(start: Settings) -> None:
    """ENG-5.4: For all models, or those of a pattern; where there is none, or it is unset too, what is left out has its default."""
    changes = {"latency.engine": "unset", "latency.engine.max_num_seqs": 4}
    changed = with_changes(start, check_changes(changes)).latency
    by_pattern = with_changes(start, check_changes({"latency.models": {"a*": {"engine": {}}}})).latency
    (step,) = parse_timeline(b"[[step]]\nat_secs = 0\nlatency.engine.max_num_seqs = 4", start).steps

    assert changed.engine == EngineSettings(max_num_seqs=4)
    assert by_pattern.models["a*"].engine == EngineSettings()
    assert by_pattern.engine == start.latency.engine
    assert step.values == {"latency.engine.max_num_seqs": 4}
    assert with_changes(Settings(), step.values).latency.engine == EngineSettings(max_num_seqs=4)


def test_a_ramp_leaves_the_engine_as_it_is() -> None:
    """CTRL-3.3, ENG-5.5: What a ramp leaves out, and is no number, is as without the timeline from its beginning."""
    source = b"""
    [[step]]
    at_secs = 0
    latency.profile = "rtx"
    errors.timeout_rate = 0.5
    [[step]]
    at_secs = 10
    ramp_secs = 10
    """.replace(b"rtx", min(engine_profiles()).encode())
    timeline = parse_timeline(source, ENGINE)
    ramped = timeline.at(15, ENGINE).values

    assert (
        with_changes(ENGINE, timeline.at(5, ENGINE).values).latency.engine
        == engine_profiles()[min(engine_profiles())].engine
    )
    assert ramped == {"errors.timeout_rate": 0.25}
    assert with_changes(ENGINE, ramped).latency == ENGINE.latency


def test_later_changes_of_a_table() -> None:
    """ENG-5.1: A change of the table as a whole takes back those of its settings; of one setting the last holds."""
    before = {"latency.engine.max_num_seqs": 4, "errors.rate_limit_rate": 0.5}

    assert merged_changes(before, {"latency.engine": None}) == {"errors.rate_limit_rate": 0.5}
    assert merged_changes(before, {"latency.engine.max_num_seqs": 5}) == before | {
        "latency.engine.max_num_seqs": 5
    }
    assert merged_changes(before, {"latency.engine": msgspec.UNSET}).keys() == {
        "latency.engine",
        "errors.rate_limit_rate",
    }


def test_too_many_engines() -> None:
    """ENG-5.4: The memory has places for 56; more are refused rather than left out."""
    models = {f"model-{number}": LatencyFigures(engine=EngineSettings()) for number in range(57)}
    (problem,) = [text for _, text in find_problems(LatencySettings(models=models))]

    assert problem == "latency.models: wanted at most 56 engines, found 57"


SECRETS = [spec.name for spec in setting_specs() if spec.secret]


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "value", ["sk-1", ["sk-1"], ["sk-1", 3], [["sk-1"]], {"sk-1": 3}, {"sk-1": {"sk-1": 3}}, {"a": "sk-1"}]
)
def test_mistakes_in_secrets_show_nothing_of_them(name: str, value: object) -> None:
    """CTRL-2.8: Whatever is wrong with a key, where it stands and how it is written, no message has it."""
    section, _, key = name.partition(".")
    tiers = {"limits.tiers": {"a": {}}}
    shown = ""
    for changes in ({name: value}, {section: {key: value}}, {f"{name}.sk-1": value}, {f'{name}."sk-1"': 3}):
        try:
            with_changes(Settings(), check_changes(tiers | changes))
        except ConfigError as error:
            shown += str(error)
    with pytest.raises(ConfigError) as refused:
        parse_changes((f"{name}.sk-1=3",))

    assert "sk-1" not in shown + str(refused.value)
