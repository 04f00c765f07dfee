"""Items of the Responses API that are no content: they change the configuration of a conversation, or ask for its compaction."""

import json
from typing import Any

import pytest
from openai.types.responses import ResponseConfigurationUpdateItem, ResponseItem
from pydantic import TypeAdapter
from support.responses_api import answer, answering, ask, check_item, events, saying, stream

from llmsim.domain import Message, ResponseFormat
from llmsim.errors import RefusedError
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.openai.errors import render_refusal
from llmsim.providers.openai.responses import DIALECT, RESPONSES
from llmsim.providers.openai_family.responses.history import with_history
from llmsim.providers.openai_family.responses.input_item_list import list_input_items
from llmsim.providers.storage import StoredResponse

USER = {"role": "user", "content": "Hi"}
TRIGGER = {"type": "compaction_trigger"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
DETAILED = {"type": "json_schema", "name": "detailed", "schema": SCHEMA}


def update(**settings: Any) -> dict[str, Any]:
    return {"type": "configuration_update"} | settings


def thinks(effort: str) -> dict[str, Any]:
    return update(reasoning={"effort": effort})


def continued(first: ParsedRequest, **fields: Any) -> ParsedRequest:
    """Return a request that continues the response to `first`."""
    earlier = StoredResponse(
        prompt=first.prompt, turn=answering(saying("Yes")), options=first.options, arrived=1.0
    )
    request: ParsedRequest = with_history(
        ask(RESPONSES, previous_response_id="resp_1", **fields), earlier, DIALECT
    )
    return request


def refused(**fields: Any) -> dict[str, Any]:
    with pytest.raises(RefusedError) as error:
        ask(RESPONSES, **fields)
    found: dict[str, Any] = json.loads(render_refusal(error.value).body)["error"]
    return found


def test_an_effort_is_updated() -> None:
    """RESP-8.1: The last effort counts, above the request's, and is not text; the request's is echoed."""
    items = [thinks("high"), USER, thinks("low"), USER, update(reasoning={"effort": None})]
    request = ask(RESPONSES, input=items, reasoning={"effort": "medium"})

    assert request.prompt.effort == "low"
    assert request.prompt.messages == (Message("user", ("Hi",)),) * 2
    echoed = answer(RESPONSES, answering(saying("So")), input=items, reasoning={"effort": "medium"})
    assert echoed["reasoning"]["effort"] == "medium"


def test_a_format_is_updated() -> None:
    """RESP-8.1: A schema stays in effect, whatever the effort, until a text does; the request's own format yields."""
    schema, text = update(text={"format": DETAILED}), update(text={"format": {"type": "text"}})
    form = ask(
        RESPONSES,
        input=[schema, thinks("low"), USER | {"content": "JSON"}],
        text={"format": {"type": "json_object"}},
    )

    assert form.prompt.form == ResponseFormat(json.dumps(SCHEMA).encode(), "detailed")
    assert ask(RESPONSES, input=[schema, text, USER]).prompt.form is None


def test_a_configuration_is_continued() -> None:
    """RESP-8.1: Later requests of a chain have the settings of earlier ones, until they change them."""
    first = ask(RESPONSES, input=[update(reasoning={"effort": "high"}, text={"format": DETAILED}), USER])
    second = continued(first)
    third = continued(first, input=[thinks("low"), USER])

    assert (second.prompt.effort, third.prompt.effort) == ("high", "low")
    assert second.prompt.form == third.prompt.form == first.prompt.form is not None


def test_updates_are_listed() -> None:
    """RESP-5.2: With an id, and as they were sent."""
    request = ask(RESPONSES, input=[update(text={"format": DETAILED}), USER])
    (listed, _) = list_input_items(request.options.input_items, "1")
    item = TypeAdapter[Any](ResponseItem).validate_json(listed)

    assert isinstance(item, ResponseConfigurationUpdateItem)
    assert item.id.startswith("cnfu_")
    assert json.loads(listed)["text"] == {"format": DETAILED}


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": [update()]}, "input[0].reasoning", "missing_required_parameter"),
        ({"input": [thinks("much")]}, "input[0].reasoning.effort", "invalid_value"),
        ({"input": [USER, thinks("minimal")], "model": "gpt-5.2"}, "input[1].reasoning.effort", "unsupported_value"),
        ({"input": [thinks("low")], "model": "gpt-4o"}, "input[0].reasoning.effort", "unsupported_parameter"),
        ({"input": [update(text={})]}, "input[0].text.format", "missing_required_parameter"),
        ({"input": [update(text={"format": {"type": "json_object"}})]}, "input[0].text.format.type", "invalid_value"),
        ({"input": [update(text={"format": DETAILED | {"schema": None}})]}, "input[0].text.format.schema", "invalid_type"),
    ],
)  # fmt: skip
def test_updates_that_are_refused(fields: dict[str, Any], param: str, code: str) -> None:
    """RESP-8.2: An update without a setting, with an unknown one, or with one that the model does not have is refused."""
    error = refused(**fields)

    assert (error["param"], error["code"]) == (param, code)


def test_a_trigger_compacts() -> None:
    """RESP-8.3: The output begins with a compaction, the trigger is no text, and what follows is shorter."""
    turn = answering(saying("So"))
    compacted = answer(RESPONSES, turn, input=[USER, TRIGGER])
    kinds = [item["type"] for item in compacted["output"]]
    emitted = events(stream(RESPONSES, turn, input=[USER, TRIGGER]))
    request = ask(RESPONSES, input=[USER, TRIGGER])

    assert kinds == ["compaction", "message"]
    check_item(compacted["output"][0])
    assert [event["type"] for event in emitted][2:5] == [
        "response.output_item.added",
        "response.compaction.compacting",
        "response.output_item.done",
    ]
    assert request.prompt.messages == (Message("user", ("Hi",)),)
    roles = [message.role for message in continued(request, input=[USER]).prompt.messages]
    assert roles == ["assistant", "assistant", "user"]


def test_a_trigger_is_last() -> None:
    """RESP-8.4: Nothing follows a trigger in the input of a request."""
    error = refused(input=[USER, TRIGGER, USER])

    assert error["message"] == "The 'compaction_trigger' item must be the final input item."
    assert (error["param"], error["code"]) == ("input", None)
