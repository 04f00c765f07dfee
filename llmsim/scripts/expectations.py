"""Expectations: whether a request is what a scripted turn expects.

Decisions:
* Expectations are checked on the parsed prompt, so they are the same for every API: system messages are separate,
  as in Anthropic's API, and a result belongs to the message that contains it.
* A request may be megabytes long; a message quotes one line of it.
"""

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import msgspec

from llmsim.budgets import LIMITS, PatternBudget
from llmsim.domain import Message, Prompt
from llmsim.scripts.script import Expectation, ResultExpectation, TextExpectation
from llmsim.scripts.tables import shown

_SYSTEM = ("system", "developer", "tools")
_NAMED = 10
_SEARCHED = 1 << 20
"""Characters of a text that are searched for a pattern."""

_READ = 1000
"""Characters of a text that are prepared for a message; more than are ever shown."""

_ESCAPES = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})


class Sender(msgspec.Struct, frozen=True):
    """Who sends a request.

    Attributes:
        key: The API key; empty if there is none.
        headers: The headers by name in lower case.
    """

    key: str = ""
    headers: Mapping[str, str] = {}


_UNKNOWN = Sender()

_Message = Callable[[], str]
"""Builds a message. PERF: to quote what a request has takes 4 us, and rules are compared with each request; it is called before the
search goes on."""

_ANY_TEXT = TextExpectation()


def unmet(
    expect: Expectation,
    prompt: Prompt,
    patterns: PatternBudget | None = None,
    sender: Sender = _UNKNOWN,
) -> tuple[str, ...]:
    """Return the expectations that a request does not meet.

    Args:
        expect: The expectations.
        prompt: The request.
        patterns: The budget of the request for patterns; None for one of its own.
        sender: Who sends it.

    Returns:
        A sentence for each; empty if all are met.
    """
    return tuple([message() for message in _unmet(expect, prompt, patterns or PatternBudget(), sender)])


def meets(expect: Expectation, prompt: Prompt, patterns: PatternBudget, sender: Sender) -> bool:
    """Return whether a request meets all expectations; see `unmet`."""
    return next(_unmet(expect, prompt, patterns, sender), None) is None


def _unmet(
    expect: Expectation, prompt: Prompt, patterns: PatternBudget, sender: Sender
) -> Iterator[_Message]:
    if expect.key is not None and not fnmatch.fnmatchcase(sender.key, expect.key):
        # Messages show no key.
        yield lambda: f"expected another API key, got {'one that does not fit' if sender.key else 'none'}"
    for name, pattern in expect.headers:
        value = sender.headers.get(name)
        if value is None or not fnmatch.fnmatchcase(value, pattern):
            yield partial(_describe_header, name, pattern, value)
    if expect.model is not None and not fnmatch.fnmatchcase(prompt.model, expect.model):
        model = expect.model
        yield lambda: f"expected model {_quoted(model)}, got {_quoted(prompt.model)}"
    if expect.stream is not None and expect.stream is not prompt.stream:
        both = ("an unstreamed answer", "a stream")
        wanted, sent = both[expect.stream], both[prompt.stream]
        yield lambda: f"expected a request for {wanted}, got one for {sent}"
    if expect.fewest_messages or expect.most_messages is not None:
        yield from _count(expect, sum(message.role not in _SYSTEM for message in prompt.messages))
    if expect.system_contains:
        system = "\n".join(
            text for message in prompt.messages if message.role in _SYSTEM for text in message.texts
        )
        yield from _misses(
            "the system messages", TextExpectation(contains=expect.system_contains), system, patterns
        )
    if expect.last_user_message != _ANY_TEXT:
        what, text = "the last user message", _last_user_text(prompt.messages)
        if expect.anywhere:
            what, text = "the conversation", "\n".join(_texts(prompt.messages))
        yield from _misses(what, expect.last_user_message, text, patterns)
    if expect.offers_tools is not None or expect.tools_offered:
        yield from _offers(expect, prompt)
    if expect.last_author is not None:
        author = prompt.messages[-1].author if prompt.messages else "none"
        if author != expect.last_author:
            yield lambda: f"expected the last message to be of role {expect.last_author}, got {author}"
    for result in expect.tool_results:
        yield from _result(result, prompt.messages, patterns)


def _offers(expect: Expectation, prompt: Prompt) -> Iterator[_Message]:
    offered = {tool.name for tool in prompt.tools}
    if expect.offers_tools is not None and expect.offers_tools is not bool(offered):
        wanted = "any tool" if expect.offers_tools else "no tools"
        got = _listed([tool.name for tool in prompt.tools]) or "none"
        yield lambda: f"expected {wanted} to be offered, got {got}"
    missing = [name for name in expect.tools_offered if name not in offered]
    if missing:
        names = [tool.name for tool in prompt.tools]
        noun = "tool" if len(missing) == 1 else "tools"
        yield lambda: f"expected the {noun} {_listed(missing)} to be offered, got {_listed(names) or 'none'}"


def _count(expect: Expectation, messages: int) -> Iterator[_Message]:
    fewest, most = expect.fewest_messages, expect.most_messages
    if messages < fewest or (most is not None and messages > most):
        wanted = (
            f"{fewest}" if fewest == most else f"at least {fewest}" if most is None else f"{fewest} to {most}"
        )
        noun = "message" if wanted == "1" else "messages"
        yield lambda: f"expected {wanted} {noun}, system aside, got {messages}"


def _last_user_text(messages: Sequence[Message]) -> str | None:
    """Return the text of the last user message that has any, of inputs without a conversation all; None if there is none."""
    if messages and messages[-1].role == "input":
        return "\n".join(_texts(messages))
    found = (message.texts for message in reversed(messages) if message.role == "user" and message.texts)
    texts = next(found, None)
    return None if texts is None else "\n".join(texts)


def _texts(messages: Sequence[Message]) -> Iterator[str]:
    for message in messages:
        yield from message.texts
        for call in message.calls:
            yield from (call.name, call.arguments)
        for result in message.results:
            yield result.text


def _result(
    expect: ResultExpectation, messages: Sequence[Message], patterns: PatternBudget
) -> Iterator[_Message]:
    names = {call.id: call.name for message in messages for call in message.calls}
    results = [result for message in messages for result in message.results]
    wanted = [result for result in results if expect.call in (result.call, names.get(result.call))]
    if wanted:
        yield from _misses(f"the result of {_quoted(expect.call)}", expect.text, wanted[-1].text, patterns)
        return
    others = [
        f"{shown(result.call)} ({shown(names[result.call])})" if result.call in names else shown(result.call)
        for result in results[-_NAMED:]
    ]
    got = f"results of {', '.join(others)}" if others else "no results"
    yield lambda: f"expected a result of {_quoted(expect.call)}, got {got}"


def _misses(
    what: str, expect: TextExpectation, text: str | None, patterns: PatternBudget
) -> Iterator[_Message]:
    actual = text
    text = text or ""
    for part in expect.contains:
        if part not in text:
            yield partial(_describe_miss, what, "contain", part, actual)
    if expect.matches is not None:
        found = patterns.search(expect.matches, text[:_SEARCHED])
        if found is None:
            reason = f"gave up after {LIMITS.pattern_ms} ms: the pattern tries too many ways"
            wanted = expect.matches
            yield lambda: f"expected {what} to match {_quoted(wanted)}, {reason}"
        elif not found:
            yield partial(_describe_miss, what, "match", expect.matches, actual)
    if expect.equals is not None and text.strip() != expect.equals.strip():
        yield partial(_describe_miss, what, "be", expect.equals, actual)


def _describe_miss(what: str, verb: str, wanted: str, text: str | None) -> str:
    got = "got no such message" if text is None else "got nothing" if not text else f"got {_quoted(text)}"
    return f"expected {what} to {verb} {_quoted(wanted)}, {got}"


def _describe_header(name: str, pattern: str, value: str | None) -> str:
    got = "none" if value is None else _quoted(value)
    return f"expected the header {shown(name)} to be {_quoted(pattern)}, got {got}"


def _quoted(text: str) -> str:
    # Line ends are escaped, because control characters would be replaced.
    return f'"{shown(text[:_READ].translate(_ESCAPES))}"'


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(map(shown, names[:_NAMED]))
    return listed if len(names) <= _NAMED else f"{listed} and {len(names) - _NAMED} more"
