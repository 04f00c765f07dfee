"""Expectations: whether a request is what a scripted turn expects.

Decisions:
* Expectations are checked on the parsed prompt, so they are the same for every API: system messages are separate,
  as in Anthropic's API, and a result belongs to the message that contains it.
* A request may be megabytes long; a message quotes one line of it.
"""

import fnmatch
from collections.abc import Iterator, Sequence

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


def unmet(expect: Expectation, prompt: Prompt, patterns: PatternBudget | None = None) -> tuple[str, ...]:
    """Return the expectations that a request does not meet.

    Args:
        expect: The expectations.
        prompt: The request.
        patterns: The budget of the request for patterns; None for one of its own.

    Returns:
        A sentence for each; empty if all are met.
    """
    return tuple(_unmet(expect, prompt, patterns or PatternBudget()))


def _unmet(expect: Expectation, prompt: Prompt, patterns: PatternBudget) -> Iterator[str]:
    if expect.model is not None and not fnmatch.fnmatchcase(prompt.model, expect.model):
        yield f"expected model {_quoted(expect.model)}, got {_quoted(prompt.model)}"
    if expect.stream is not None and expect.stream is not prompt.stream:
        streams = ("an unstreamed answer", "a stream")
        yield f"expected a request for {streams[expect.stream]}, got one for {streams[prompt.stream]}"
    talk = [message for message in prompt.messages if message.role not in _SYSTEM]
    yield from _count(expect, len(talk))
    system = "\n".join(
        text for message in prompt.messages if message.role in _SYSTEM for text in message.texts
    )
    yield from _misses(
        "the system messages", TextExpectation(contains=expect.system_contains), system, patterns
    )
    if expect.anywhere:
        yield from _misses(
            "the conversation", expect.last_user_message, "\n".join(_texts(prompt.messages)), patterns
        )
    else:
        yield from _misses("the last user message", expect.last_user_message, _last_user_text(talk), patterns)
    offered = {tool.name for tool in prompt.tools}
    if expect.offers_tools is not None and expect.offers_tools is not bool(offered):
        wanted = "any tool" if expect.offers_tools else "no tools"
        got = _listed([tool.name for tool in prompt.tools]) or "none"
        yield f"expected {wanted} to be offered, got {got}"
    if expect.last_author is not None:
        author = prompt.messages[-1].author if prompt.messages else "none"
        if author != expect.last_author:
            yield f"expected the last message to be of role {expect.last_author}, got {author}"
    missing = [name for name in expect.tools_offered if name not in offered]
    if missing:
        names = [tool.name for tool in prompt.tools]
        noun = "tool" if len(missing) == 1 else "tools"
        yield f"expected the {noun} {_listed(missing)} to be offered, got {_listed(names) or 'none'}"
    for result in expect.tool_results:
        yield from _result(result, prompt.messages, patterns)


def _count(expect: Expectation, messages: int) -> Iterator[str]:
    fewest, most = expect.fewest_messages, expect.most_messages
    if messages < fewest or (most is not None and messages > most):
        wanted = (
            f"{fewest}" if fewest == most else f"at least {fewest}" if most is None else f"{fewest} to {most}"
        )
        noun = "message" if wanted == "1" else "messages"
        yield f"expected {wanted} {noun}, system aside, got {messages}"


def _last_user_text(talk: Sequence[Message]) -> str | None:
    """Return the text of the last user message that has any; None if there is none."""
    found = (message.texts for message in reversed(talk) if message.role == "user" and message.texts)
    texts = next(found, None)
    return None if texts is None else "\n".join(texts)


def _texts(messages: Sequence[Message]) -> Iterator[str]:
    for message in messages:
        yield from message.texts
        for call in message.calls:
            yield from (call.name, call.arguments)
        for result in message.results:
            yield result.text


def _result(expect: ResultExpectation, messages: Sequence[Message], patterns: PatternBudget) -> Iterator[str]:
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
    yield f"expected a result of {_quoted(expect.call)}, got {'results of ' + ', '.join(others) if others else 'no results'}"


def _misses(what: str, expect: TextExpectation, text: str | None, patterns: PatternBudget) -> Iterator[str]:
    actual = "got no such message" if text is None else "got nothing" if not text else f"got {_quoted(text)}"
    text = text or ""
    for part in expect.contains:
        if part not in text:
            yield f"expected {what} to contain {_quoted(part)}, {actual}"
    if expect.matches is not None:
        found = patterns.search(expect.matches, text[:_SEARCHED])
        if found is None:
            yield (
                f"expected {what} to match {_quoted(expect.matches)}, gave up after {LIMITS.pattern_ms} ms: the "
                "pattern tries too many ways"
            )
        elif not found:
            yield f"expected {what} to match {_quoted(expect.matches)}, {actual}"
    if expect.equals is not None and text.strip() != expect.equals.strip():
        yield f"expected {what} to be {_quoted(expect.equals)}, {actual}"


def _quoted(text: str) -> str:
    # Line ends are escaped, because control characters would be replaced.
    return f'"{shown(text[:_READ].translate(_ESCAPES))}"'


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(map(shown, names[:_NAMED]))
    return listed if len(names) <= _NAMED else f"{listed} and {len(names) - _NAMED} more"
