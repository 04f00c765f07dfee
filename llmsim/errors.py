"""Every exception llmsim raises on purpose.

* LlmsimError
  + ConfigError        a setting is missing, unknown or out of range   -> exit code 2
  + ScriptError        a script cannot be played                       -> exit code 2
  + CatalogueError     the model catalogue contradicts itself          -> exit code 2
  + StatsError         the stats block is absent or of another layout  -> exit code 1
  + ControlApiError    the control API is unreachable, or reports an error -> exit code 1
  + StoreError         the file of the shared store cannot be used     -> exit code 1, or HTTP 500
  + SchemaError        a JSON schema is none, or not a strict one      -> a refusal by who was given it
  + RefusedError       the request is not one the provider would take  -> HTTP 4xx
    - InvalidJsonError     the body is not JSON, or not UTF-8
    - InvalidFieldError    a field is missing, of a wrong type or out of range
    - InvalidSchemaError   a JSON schema is none, or none that can be kept to strictly
    - ToolChoiceError      a tool is to be called that is not offered
    - UnsupportedError     a feature of the API is asked for that is not simulated
    - BodyTooLargeError    the body is over the configured limit
    - VisionError          an image for a model known to see none
    - ContextLengthError   the prompt is longer than the model's window
    - ModelUseError        the model is made for another endpoint
    - InputError           what is to be embedded is empty, of a wrong kind or too much
    - InputLengthError     one of the texts to be embedded is longer than the model's window
    - RequestTokensError   the texts to be embedded are too long together
    - ShortenedError       shorter embeddings are asked of a model that makes none
    - UnknownModelError    a model id that is not served is looked up
    - UnknownResponseError a stored response that does not exist is looked up or continued
    - UnknownRouteError    no such path under the provider's prefix
    - MethodError          the path exists, but not for this method
    - UnknownScriptError   a script that nobody has loaded is to play
    - ExhaustedError       a script has no turn left
    - ExpectationError     the request is not what the script's turn expects

Decisions:
* A refusal says what is wrong in the house's own terms; the provider renders it in its
  own envelope and words. So `planning` may refuse without knowing any wire.
"""

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
    """The root of all errors that are meant for a person or a client to read."""


class ConfigError(LlmsimError):
    """A setting is missing, unknown or out of range. The message names it and the nearest right value."""


class ScriptError(LlmsimError):
    """A script cannot be played.

    Attributes:
        problems: Everything that is wrong with it, a line each: the script's name, the line where it is known, the
            path, what was found, and what would do.
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


class StoreError(LlmsimError):
    """The file of the shared store cannot be used. The message names it and the reason."""


class SchemaError(LlmsimError):
    """A JSON schema is none, or breaks the rules it is to keep. The message is what OpenAI says after `Invalid schema for ...:`.

    Attributes:
        context: Keys inside the schema, from the root to where the fault stands; indices as text, as OpenAI shows them.
        problem: What is wrong there; it ends with a full stop.
    """

    def __init__(self, context: tuple[str, ...], problem: str, *, is_placed: bool = False) -> None:
        lead = "" if not is_placed else "context=" if problem.startswith("$ref") else "In context="
        super().__init__(f"{lead}{context}, {problem}" if lead else problem)
        self.context = context
        self.problem = problem


class RefusedError(LlmsimError):
    """The request is not one the provider would take; nothing was simulated."""


class InvalidJsonError(RefusedError):
    """The body is not JSON, or not UTF-8."""


class InvalidFieldError(RefusedError):
    """A field of the request is missing, of a wrong type or out of range.

    Attributes:
        path: Keys and indices from the root to the field, e.g. `("messages", 1, "role")`; empty for the body.
        rule: Which kind of rule was broken.
        wanted: What the rule asks for: a type name, a bound, the choices, or a sentence for `conflict`.
        found: The offending value as decoded from JSON; None for `missing`.
    """

    def __init__(self, path: tuple[str | int, ...], rule: Rule, wanted: Any, found: Any = None) -> None:
        super().__init__(f"{path}: {rule}: wanted {wanted!r}, found {found!r}")
        self.path = path
        self.rule = rule
        self.wanted = wanted
        self.found = found


class InvalidSchemaError(RefusedError):
    """A JSON schema of the request is none, or breaks the rules of strict ones.

    Attributes:
        path: Where the schema stands in the request, e.g. `("tools", 0, "parameters")`.
        subject: What it is the schema of: `function`, or `response_format` for the text.
        name: What the client calls that.
        context: Keys from the schema's root to what is wrong in it; None if it is wrong as a whole, or `problem` tells it.
        problem: What is wrong, as a sentence.
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


class ToolChoiceError(RefusedError):
    """A tool is to be called that is not offered.

    Attributes:
        choice: The tool, in the word that the refusal names it by; `required` where any tool would do.
    """

    def __init__(self, choice: str) -> None:
        super().__init__(f"no tool for the choice {choice!r}")
        self.choice = choice


class UnsupportedError(RefusedError):
    """A feature of the API is asked for that is not simulated, and that clients can do without.

    Attributes:
        path: The field that asks for it.
        code: By which clients know that they can.
    """

    def __init__(self, path: tuple[str | int, ...], code: str) -> None:
        super().__init__(f"{'.'.join(map(str, path))}: not simulated by llmsim")
        self.path = path
        self.code = code


class BodyTooLargeError(RefusedError):
    """The body is over the limit.

    Attributes:
        limit: The configured limit, in bytes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request body is larger than {limit} bytes")
        self.limit = limit


class VisionError(RefusedError):
    """The prompt holds an image, and the model is known to see none.

    Attributes:
        model: The model id as requested.
        path: Where the first image stands in the request.
    """

    def __init__(self, model: str, path: tuple[str | int, ...]) -> None:
        super().__init__(f"{model} takes no images")
        self.model = model
        self.path = path


class ContextLengthError(RefusedError):
    """The prompt, or prompt and answer together, are longer than the model's context window.

    Attributes:
        window: The model's context window, in tokens.
        tokens: The prompt's length, in tokens.
    """

    def __init__(self, window: int, tokens: int) -> None:
        super().__init__(f"{tokens} tokens do not fit a window of {window}")
        self.window = window
        self.tokens = tokens


class ModelUseError(RefusedError):
    """The model is made for another endpoint.

    Attributes:
        model: The model id as requested.
        embeds: Whether embeddings were asked of a model that answers, or answers of one that makes embeddings.
    """

    def __init__(self, model: str, *, embeds: bool) -> None:
        super().__init__(f"{model} {'makes no embeddings' if embeds else 'makes embeddings only'}")
        self.model = model
        self.embeds = embeds


class InputError(RefusedError):
    """What is to be embedded is empty, of a wrong kind, or too many texts."""


class InputLengthError(RefusedError):
    """One of the texts to be embedded is longer than the model's context window.

    Attributes:
        window: The model's context window, in tokens.
        tokens: The text's length, in tokens.
        index: Which text it is; None if it is the only one.
    """

    def __init__(self, window: int, tokens: int, index: int | None = None) -> None:
        super().__init__(f"{tokens} tokens do not fit a window of {window}")
        self.window = window
        self.tokens = tokens
        self.index = index


class RequestTokensError(RefusedError):
    """The texts to be embedded are too long together.

    Attributes:
        limit: Most tokens of a request.
        tokens: Its length, in tokens.
    """

    def __init__(self, limit: int, tokens: int) -> None:
        super().__init__(f"{tokens} tokens in a request that may have {limit}")
        self.limit = limit
        self.tokens = tokens


class ShortenedError(RefusedError):
    """Shorter embeddings are asked of a model that makes none.

    Attributes:
        model: The model id as requested.
    """

    def __init__(self, model: str) -> None:
        super().__init__(f"{model} makes no shorter embeddings")
        self.model = model


class UnknownModelError(RefusedError):
    """A model id that is not served was looked up.

    Attributes:
        model: The id as requested.
    """

    def __init__(self, model: str) -> None:
        super().__init__(f"no model {model!r}")
        self.model = model


class UnknownResponseError(RefusedError):
    """A stored response that does not exist, or not any more, was looked up or continued.

    Attributes:
        noun: What it is called where it was looked up.
        id: As requested.
        param: The field that names it, `previous_response_id`; None if the path does.
    """

    def __init__(self, id: str, param: str | None = None, noun: str = "Response") -> None:  # noqa: A002 - the wire's own word
        super().__init__(f"no {noun} {id!r}")
        self.noun = noun
        self.id = id
        self.param = param


class UnknownRouteError(RefusedError):
    """No such path under the provider's prefix.

    Attributes:
        method: HTTP method.
        path: The path without the provider's prefix.
    """

    def __init__(self, method: str, path: str) -> None:
        super().__init__(f"no route {method} {path}")
        self.method = method
        self.path = path


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
    """A script that nobody has loaded is to play.

    Attributes:
        script: Its name, as requested.
        meant: The name that was probably meant; None if there is none like it.
    """

    def __init__(self, script: str, meant: str | None = None) -> None:
        hint = f"; did you mean '{meant}'?" if meant else ""
        super().__init__(f"no script '{script[:100]}' is loaded{hint}")
        self.script = script
        self.meant = meant


class ExhaustedError(RefusedError):
    """A script has no turn left for a session.

    Attributes:
        script: The script's name.
        session: The session's name.
        turns: How many requests the script answers.
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
    """The request is not what the script's turn expects.

    Attributes:
        script: The script's name.
        number: Where the turn stands in the script, from 0.
        unmet: What was expected and what came, a sentence each.
    """

    def __init__(self, script: str, number: int, unmet: tuple[str, ...]) -> None:
        super().__init__(f"script '{script}', turns[{number}]: {'; '.join(unmet)}")
        self.script = script
        self.number = number
        self.unmet = unmet
