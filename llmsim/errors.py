"""Every exception llmsim raises on purpose.

* LlmsimError
  + ConfigError        a setting is missing, unknown or out of range   -> exit code 2
  + ScriptError        a script cannot be played                       -> exit code 2
  + CatalogueError     the model catalogue contradicts itself          -> exit code 2
  + StatsError         the stats block is absent or of another layout  -> exit code 1
  + StoreError         the file of the shared store cannot be used     -> exit code 1, or HTTP 500
  + RefusedError       the request is not one the provider would take  -> HTTP 4xx
    - InvalidJsonError     the body is not JSON, or not UTF-8
    - InvalidFieldError    a field is missing, of a wrong type or out of range
    - BodyTooLargeError    the body is over the configured limit
    - VisionError          an image for a model known to see none
    - ContextLengthError   the prompt is longer than the model's window
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


class StoreError(LlmsimError):
    """The file of the shared store cannot be used. The message names it and the reason."""


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
            f"script '{script}' is exhausted: session '{session}' has had all of its {turns} turns, and on_exhausted "
            "is error"
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
