"""What can be set: every setting once, with its unit, its default and its meaning.

Decisions:
* A setting's range, unit, meaning and flag are data on its annotation. Validation, `--help`,
  `llmsim config`, its example file and the reference in docs are all read from there, so
  none of them can say anything else.
* Table and key names are those of the original llmsim where it has the setting, so that its
  TOML files run unchanged; ours are added beside them.
* Every number has an upper bound, which also keeps `inf` and `nan` out.
"""

import msgspec

from llmsim.config.serving import AdminSettings, ModelSettings, ScriptSettings, ServerSettings, StoreSettings
from llmsim.config.simulating import (
    AnthropicSettings,
    ErrorSettings,
    LatencySettings,
    ResponseSettings,
    ToolSettings,
)

#: The generators by name, with what stands after the colon; None where nothing does.
GENERATORS: dict[str, str | None] = {
    "lorem": None,
    "echo": None,
    "random": None,
    "fixed": "TEXT",
    "sequence": "FILE",
}

#: Names by which files of the original call our latency profiles and generators; it also ignored case.
# Source: llmsim (Rust), src/cli/config.rs, Config::latency_profile; src/generator.rs, create_generator.
PROFILE_SYNONYMS: dict[str, str] = {
    "gpt5": "gpt-5",
    "gpt5-mini": "gpt-5-mini",
    "gpt4": "gpt-4",
    "gpt4o": "gpt-4o",
    "o3": "o-series",
    "o4": "o-series",
    "opus": "claude-opus",
    "sonnet": "claude-sonnet",
    "haiku": "claude-haiku",
    "gemini": "gemini-pro",
    "deepseek-chat": "deepseek",
}
GENERATOR_SYNONYMS: dict[str, str] = {"random_word": "random"}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set; one attribute for each table of the TOML file."""

    server: ServerSettings = msgspec.field(default_factory=ServerSettings)
    latency: LatencySettings = msgspec.field(default_factory=LatencySettings)
    response: ResponseSettings = msgspec.field(default_factory=ResponseSettings)
    tools: ToolSettings = msgspec.field(default_factory=ToolSettings)
    errors: ErrorSettings = msgspec.field(default_factory=ErrorSettings)
    models: ModelSettings = msgspec.field(default_factory=ModelSettings)
    store: StoreSettings = msgspec.field(default_factory=StoreSettings)
    anthropic: AnthropicSettings = msgspec.field(default_factory=AnthropicSettings)
    scripts: ScriptSettings = msgspec.field(default_factory=ScriptSettings)
    admin: AdminSettings = msgspec.field(default_factory=AdminSettings)
