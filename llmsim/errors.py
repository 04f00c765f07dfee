"""Every exception llmsim raises on purpose.

* LlmsimError
  + ConfigError        a setting is missing, unknown or out of range   -> exit code 2
  + ScriptError        a script cannot be played                       -> exit code 2
  + CatalogueError     the model catalogue contradicts itself          -> exit code 2
  + StatsError         the stats block is absent or of another layout  -> exit code 1
  + ControlApiError    the control API is unreachable, or reports an error -> exit code 1
  + SchemaError        a JSON schema is invalid, or not strict         -> InvalidSchemaError, ScriptError
  + RefusedError       the request is not one the provider would take  -> HTTP 4xx
    - one class below for each reason; providers render it in their own words

Decisions:
* A refusal is stated in llmsim's own terms; each provider renders it in its own envelope and
  wording. So `planning` may refuse without knowing any wire format.
"""

import reprlib
from typing import Any, Literal

Rule = Literal[
    "missing",
    "type",
    "choice",
    "minimum",
    "maximum",
    "too_short",
    "too_long",
    "pattern",
    "conflict",
]


class LlmsimError(Exception):
    """The root of all errors whose message a person or a client reads."""


class ConfigError(LlmsimError):
    """A setting is missing, unknown or out of range. The message names it and the nearest right value."""


class ScriptError(LlmsimError):
    """A script cannot be played.

    Attributes:
        problems: All problems, one line each: the script's name, the line if known, the path, what was found, and
            what would be valid.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CatalogueError(LlmsimError):
    """The model catalogue contradicts itself."""


class StatsError(LlmsimError):
    """The stats block is absent, or was written by another layout version."""


class ControlApiError(LlmsimError):
    """The control API of a running simulator is unreachable, or reports an error."""


class SchemaError(LlmsimError):
    """The JSON schema is invalid, or violates the strict-mode rules. The message is the one that OpenAI puts after `Invalid schema for ...:`.

    Attributes:
        context: Keys from the root of the schema to the problem; indices as text, as OpenAI shows them.
        problem: The problem there, with a full stop.
    """

    def __init__(self, context: tuple[str, ...], problem: str, *, is_placed: bool = False) -> None:
        lead = "" if not is_placed else "context=" if problem.startswith("$ref") else "In context="
        super().__init__(f"{lead}{context}, {problem}" if lead else problem)
        self.context = context
        self.problem = problem


class RefusedError(LlmsimError):
    """The provider would not take this request; nothing was simulated.

    Attributes:
        is_temporary: Whether the fault is the server's, and the request may be sent again.
    """

    is_temporary = False


class InvalidJsonError(RefusedError):
    """The body is not JSON, or not UTF-8."""


class InvalidFieldError(RefusedError):
    """A field of the request is missing, of a wrong type or out of range.

    Attributes:
        path: Keys and indices from the root to the field, e.g. `("messages", 1, "role")`; empty for the body.
        rule: The kind of rule that it breaks.
        wanted: What the rule requires: a type name, a bound, the choices, or a sentence for `conflict`.
        found: The value as decoded from JSON; None for `missing`.
    """

    def __init__(self, path: tuple[str | int, ...], rule: Rule, wanted: Any, found: Any = None) -> None:
        super().__init__(f"{path}: {rule}: wanted {wanted!r}, found {reprlib.repr(found)}")
        self.path = path
        self.rule = rule
        self.wanted = wanted
        self.found = found


class UnknownFieldError(RefusedError):
    """The request has a field that the API does not know; only in strict mode.

    Attributes:
        path: Keys and indices from the root to the field.
        document: The request as decoded from JSON.
    """

    def __init__(self, path: tuple[str | int, ...], document: Any) -> None:
        super().__init__(f"{path}: unknown field")
        self.path = path
        self.document = document


class InvalidSchemaError(RefusedError):
    """A JSON schema of the request is invalid, or violates the strict-mode rules.

    Attributes:
        path: The schema's path in the request, e.g. `("tools", 0, "parameters")`.
        subject: What it describes: a `function`, or the text (`response_format`).
        name: The client's name for that.
        context: Keys from the schema's root to the problem; None if it concerns the whole, or `problem` names the place.
        problem: The problem, as a sentence.
    """

    def __init__(
        self,
        path: tuple[str | int, ...],
        subject: Literal["function", "response_format"],
        name: str,
        context: tuple[str, ...] | None,
        problem: str,
    ) -> None:
        super().__init__(f"{path}: {subject} {name!r}: {context}: {problem}")
        self.path = path
        self.subject = subject
        self.name = name
        self.context = context
        self.problem = problem


class ApiRuleError(RefusedError):
    """The request breaks a rule of its API or of its model: `message`, `param`, `code` and `status` are as the API has them."""

    def __init__(
        self, message: str, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status


class ToolChoiceError(RefusedError):
    """The tool choice names a tool that is not offered: `choice`, or `required` if any tool would do."""

    def __init__(self, choice: str) -> None:
        super().__init__(f"no tool for the choice {choice!r}")
        self.choice = choice


class UnsupportedError(RefusedError):
    """The request asks for an optional feature of the API that is not simulated.

    Attributes:
        path: The field that asks for it.
        code: The code that lets clients go on without the feature.
    """

    def __init__(self, path: tuple[str | int, ...], code: str) -> None:
        super().__init__(f"{'.'.join(map(str, path))}: not simulated by llmsim")
        self.path = path
        self.code = code


class BodyTooLargeError(RefusedError):
    """The body is over the limit: `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request body is larger than {limit} bytes")
        self.limit = limit


class TransportError(RefusedError):
    """The request breaks a rule of HTTP, or a budget of what a client may send; `status` is 400, 405, 408 or 431.

    With 503 the worker had no room for the request.
    """

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status
        self.is_temporary = status == 503


class VisionError(RefusedError):
    """The prompt holds an image, the first at `path`, and the model, `model` as requested, takes no images."""

    def __init__(self, model: str, path: tuple[str | int, ...]) -> None:
        super().__init__(f"{model} takes no images")
        self.model = model
        self.path = path


class ContextLengthError(RefusedError):
    """The prompt's `tokens`, or these and the `requested` ones of the output, exceed `window`, the model's context window."""

    def __init__(self, window: int, tokens: int, requested: int | None = None) -> None:
        super().__init__(f"{tokens} tokens do not fit a window of {window}")
        self.window = window
        self.tokens = tokens
        self.requested = requested


class ModelUseError(RefusedError):
    """The model belongs to another endpoint.

    Attributes:
        model: The model id as requested.
        embeds: True if a chat model was asked for embeddings, false if an embedding model was asked to chat.
        media: Whether either was asked for pictures, sound or a moderation.
    """

    def __init__(self, model: str, *, embeds: bool, media: bool = False) -> None:
        super().__init__(f"{model} {'makes no embeddings' if embeds else 'makes embeddings only'}")
        self.model, self.embeds, self.media = model, embeds, media


class InputError(RefusedError):
    """The embedding input is empty, of a wrong kind, or has too many texts."""


class InputLengthError(RefusedError):
    """One text to embed is longer than the model's context window.

    Attributes:
        window: The model's context window, in tokens.
        tokens: The text's length, in tokens.
        index: Index of the text; None if it is the only one.
    """

    def __init__(self, window: int, tokens: int, index: int | None = None) -> None:
        super().__init__(f"{tokens} tokens do not fit a window of {window}")
        self.window = window
        self.tokens = tokens
        self.index = index


class RequestTokensError(RefusedError):
    """The texts to embed are too long together: `tokens` of this request, where `limit` is the most."""

    def __init__(self, limit: int, tokens: int) -> None:
        super().__init__(f"{tokens} tokens in a request that may have {limit}")
        self.limit = limit
        self.tokens = tokens


class ShortenedError(RefusedError):
    """`dimensions` is set for a model, `model` as requested, that does not support it."""

    def __init__(self, model: str) -> None:
        super().__init__(f"{model} makes no shorter embeddings")
        self.model = model


class UnknownModelError(RefusedError):
    """The model id is not served: `model` as requested."""

    def __init__(self, model: str) -> None:
        super().__init__(f"no model {model!r}")
        self.model = model


class UnknownResponseError(RefusedError):
    """The stored response does not exist, or no longer.

    Attributes:
        noun: What the API calls it.
        id: As requested.
        param: The field that names it, e.g. `previous_response_id`; None if the path does.
    """

    def __init__(self, id: str, param: str | None = None, noun: str = "Response") -> None:  # noqa: A002 - the API's name
        super().__init__(f"no {noun} {id!r}")
        self.noun = noun
        self.id = id
        self.param = param


class AuthenticationError(RefusedError):
    """The API key is missing or wrong, or a web page lacks the header that lets pages call; `header` is the one at fault."""

    def __init__(self, header: str | None) -> None:
        super().__init__(f"wrong or missing: {header or 'API key'}")
        self.header = header


class UnknownRouteError(RefusedError):
    """No such path under the provider's prefix: `method`, `path` without the prefix, and a `suggestion` that follows the message."""

    def __init__(self, method: str, path: str, suggestion: str = "") -> None:
        super().__init__(f"no route {method} {path}")
        self.method = method
        self.path = path
        self.suggestion = suggestion


class MethodError(RefusedError):
    """The path exists, but not for this method.

    Attributes:
        method: HTTP method.
        path: The path without the provider's prefix.
        allowed: The methods it exists for.
    """

    def __init__(self, method: str, path: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"{path} takes {', '.join(allowed)}, not {method}")
        self.method = method
        self.path = path
        self.allowed = allowed


class UnknownScriptError(RefusedError):
    """The script is not loaded: `script`, as `origin`, a header or a rule, names it; the hint is the nearest right name."""

    def __init__(self, script: str, hint: str, origin: str) -> None:
        super().__init__(f"{origin}: no script '{script[:100]}' is loaded{hint}")
        self.script = script


class ExhaustedError(RefusedError):
    """A script has no turn left for a session.

    Attributes:
        script: The script's name.
        session: The session's name.
        turns: Number of requests that the script answers.
    """

    def __init__(self, script: str, session: str, turns: int) -> None:
        super().__init__(
            f"script '{script}' is exhausted: it answers {turns} {'request' if turns == 1 else 'requests'}, session "
            f"'{session}' has had them, and on_exhausted is error"
        )
        self.script = script
        self.session = session
        self.turns = turns


class ExpectationError(RefusedError):
    """The request does not meet the expectations of the script's turn.

    Attributes:
        script: The script's name.
        number: Index of the turn in the script.
        unmet: Unmet expectations: what was expected and what was found, a sentence each.
    """

    def __init__(self, script: str, number: int, unmet: tuple[str, ...]) -> None:
        super().__init__(f"script '{script}', turns[{number}]: {'; '.join(unmet)}")
        self.script = script
        self.number = number
        self.unmet = unmet


class ScenarioError(RefusedError):
    """A scenario cannot answer the request.

    Attributes:
        code: Why: `scenario_not_found`, `scenario_tool_not_offered` or `scenario_exhausted`.
        status: HTTP status: 400, or 500 if it is exhausted.
    """

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class StoreError(RefusedError):
    """The file of the shared store, or the server of several hosts, cannot be used, so the request is not answered. The message names it and the reason."""

    is_temporary = True
