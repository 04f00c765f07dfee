"""All settings, each defined once with its default, range, unit and description.

Decisions:
* Table and key names are those of the original llmsim where it has the setting, so that its
  TOML files work unchanged; further settings are added beside them.
* One file for each group: `server_settings.py`, `budget_settings.py`, `access_settings.py`, `fault_settings.py`,
  `file_settings.py`, `limit_settings.py`, `latency_settings.py`, `state_settings.py`, and here what is simulated.
"""

from typing import Annotated

import msgspec

from llmsim.config.access_settings import AdminSettings, AuthSettings
from llmsim.config.budget_settings import BudgetSettings
from llmsim.config.fault_settings import FaultSettings
from llmsim.config.file_settings import FileSettings
from llmsim.config.latency_settings import LatencySettings
from llmsim.config.limit_settings import LimitSettings
from llmsim.config.metadata import DAY_SECS, milliseconds, seconds, setting, share
from llmsim.config.server_settings import MetricsSettings, ServerSettings
from llmsim.config.state_settings import StateSettings


class ResponseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a response contains."""

    generator: Annotated[
        str,
        setting(
            "Source of the text: `lorem`, `random` (words), `echo` (the last user message), `fixed:TEXT`, or "
            "`sequence:FILE` (the file's lines in turn).",
            flag="--generator",
        ),
    ] = "lorem"
    target_tokens: Annotated[
        int,
        setting(
            "Length of a generated text, exact in tokens of the model's own tokenizer.",
            unit="tokens",
            flag="--target-tokens",
            ge=1,
            le=1_000_000,
        ),
    ] = 100
    seed: (
        Annotated[
            int,
            setting(
                "Makes responses, timing and simulated errors repeatable; unset, every start is different.",
                flag="--seed",
                ge=0,
                le=2**63 - 1,
            ),
        ]
        | None
    ) = None
    refusal_rate: Annotated[
        float, share("Share of responses that are refusals, in the form in which each API reports them.")
    ] = 0.0
    refusal_text: Annotated[str, setting("Text of a refusal.", min_length=1)] = "I can't help with that."
    content_filter_rate: Annotated[
        float, share("Share of responses that a content filter cuts off in the middle.")
    ] = 0.0
    enforce_context_window: Annotated[
        bool, setting("Reject a prompt that exceeds the model's context window, as the real API does.")
    ] = True
    script_path: (
        Annotated[
            str,
            setting(
                "Script that answers all requests to the generation endpoints, unless they choose another; unset or "
                "empty, responses are generated.",
                flag="--script",
            ),
        ]
        | None
    ) = None
    rules_path: (
        Annotated[
            str,
            setting(
                "Rules that answer requests by what they ask: a JSON, TOML or YAML file; unset or empty, there are none. It is read at "
                "the start and at each reload.",
                flag="--rules",
            ),
        ]
        | None
    ) = None
    scenarios_path: (
        Annotated[
            str,
            setting(
                "Scenarios that a marker in a message, `[[llmsim:NAME]]`, chooses: a file, a folder of `.json` files, or "
                "`builtin` for those that come with llmsim; unset or empty, markers are plain text.",
                flag="--scenarios",
            ),
        ]
        | None
    ) = None


class ToolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a response calls the tools that its request offers."""

    call_probability: (
        Annotated[
            float,
            share(
                "Share of turns that call a tool when allowed to; unset, a turn calls one when the user's question shares "
                "a word with its name, description or parameters.",
                unit="of turns",
            ),
        ]
        | None
    ) = None
    max_calls: Annotated[
        int,
        setting("Most tool calls in one turn, if parallel calls are allowed.", unit="calls", ge=1, le=128),
    ] = 1
    hosted_calls: Annotated[
        bool,
        setting(
            "Call the hosted tools that a request offers (web search, code interpreter, ...), with made-up results."
        ),
    ] = False
    pause_probability: Annotated[
        float,
        share(
            "Share of turns with hosted calls that pause after them, on APIs whose clients continue such turns.",
            unit="of turns",
        ),
    ] = 0.0


class ErrorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Share of requests that fail with a simulated error; the rates may add up to 1."""

    rate_limit_rate: Annotated[float, share("Share of requests that get a rate limit error (429).")] = 0.0
    server_error_rate: Annotated[float, share("Share of requests that get a server error (500 or 503).")] = (
        0.0
    )
    timeout_rate: Annotated[
        float, share("Share of requests that hang for `timeout_after_ms`, then get a 504.")
    ] = 0.0
    invalid_request_rate: Annotated[float, share("Share of requests rejected as invalid (400).")] = 0.0
    authentication_rate: Annotated[float, share("Share of requests rejected for their API key (401).")] = 0.0
    timeout_after_ms: Annotated[int, milliseconds("How long a simulated timeout hangs.")] = 30_000
    retry_after_ms: Annotated[
        int,
        milliseconds(
            "Retry delay sent to clients with a simulated rate limit or overload. Some SDKs obey any value.",
            maximum=60_000,
        ),
    ] = 1000


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which models are listed."""

    available: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1)], ...],
        setting("Model ids that `/models` lists; empty for the whole catalogue. Any model name is answered."),
    ] = ()


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of what is stored for later requests: responses, and chat completions with `store`."""

    max_records: Annotated[
        int,
        setting(
            "Most stored records; the oldest are evicted first. 10,000 are the last 25 seconds at 400 stored requests a "
            "second. 0 stores none.",
            unit="records",
            ge=0,
            le=10_000_000,
        ),
    ] = 10_000
    max_bytes: Annotated[
        int,
        setting(
            "Most stored bytes, including 256 for each record; the file in `server.run_dir` can be up to twice as large. "
            "A response takes 2,000 to 5,000 and its conversation so far.",
            unit="bytes",
            ge=1,
            le=2**40,
        ),
    ] = 256 * 2**20
    max_age_secs: Annotated[int, seconds("How long a record is stored at most.", maximum=365 * DAY_SECS)] = (
        DAY_SECS
    )


class CacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The prompt cache of OpenAI's APIs."""

    automatic: Annotated[
        bool,
        setting(
            "Cache prompts of 1,024 tokens and more by their beginning, as OpenAI's APIs do: repeated long prompts come sooner, and "
            "`cached_tokens` reports them. Anthropic's `cache_control` works either way."
        ),
    ] = True


class AnthropicSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Behaviour specific to the Anthropic API."""

    pad_events: Annotated[
        bool,
        setting(
            "Pad the events of a stream with spaces before their last brace, as the real API does: a client that cannot "
            "parse that would fail there, too."
        ),
    ] = True


class ScriptSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scripts that requests choose by name, and the sessions that play them."""

    dir: (
        Annotated[
            str,
            setting(
                "Directory of scripts (`.json`, `.toml`, `.yaml`) that requests choose by file name in the header "
                "`x-llmsim-script`; unset, there are only uploaded scripts.",
                flag="--scripts-dir",
            ),
        ]
        | None
    ) = None
    max_sessions: Annotated[
        int,
        setting(
            "Most sessions whose position in a script is kept; the least recently used are dropped first.",
            unit="sessions",
            ge=1,
            le=10_000_000,
        ),
    ] = 10_000
    max_uploaded: Annotated[
        int,
        setting(
            "Most uploaded scripts that are kept; the oldest are dropped first.",
            unit="scripts",
            ge=1,
            le=100_000,
        ),
    ] = 1_000


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings; one attribute for each table of the TOML file."""

    server: ServerSettings = msgspec.field(default_factory=ServerSettings)
    budgets: BudgetSettings = msgspec.field(default_factory=BudgetSettings)
    latency: LatencySettings = msgspec.field(default_factory=LatencySettings)
    response: ResponseSettings = msgspec.field(default_factory=ResponseSettings)
    tools: ToolSettings = msgspec.field(default_factory=ToolSettings)
    errors: ErrorSettings = msgspec.field(default_factory=ErrorSettings)
    faults: FaultSettings = msgspec.field(default_factory=FaultSettings)
    models: ModelSettings = msgspec.field(default_factory=ModelSettings)
    store: StoreSettings = msgspec.field(default_factory=StoreSettings)
    files: FileSettings = msgspec.field(default_factory=FileSettings)
    state: StateSettings = msgspec.field(default_factory=StateSettings)
    cache: CacheSettings = msgspec.field(default_factory=CacheSettings)
    anthropic: AnthropicSettings = msgspec.field(default_factory=AnthropicSettings)
    scripts: ScriptSettings = msgspec.field(default_factory=ScriptSettings)
    admin: AdminSettings = msgspec.field(default_factory=AdminSettings)
    auth: AuthSettings = msgspec.field(default_factory=AuthSettings)
    metrics: MetricsSettings = msgspec.field(default_factory=MetricsSettings)
    limits: LimitSettings = msgspec.field(default_factory=LimitSettings)
