"""The Gemini API: requests as they are parsed, and responses as they are rendered."""

import json
from typing import Any

import pytest
from support.asgi import Exchange, simulator
from support.gemini_dialect import MODEL

from llmsim.errors import ApiRuleError, RefusedError
from llmsim.providers.contract import IncomingRequest, ParsedRequest
from llmsim.providers.gemini.errors import render_refusal
from llmsim.providers.gemini.proto_json import PayloadError
from llmsim.providers.gemini.request import parse

GENERATE = "/gemini/v1beta/models/{}:generateContent"
HELLO = [{"role": "user", "parts": [{"text": "Hello"}]}]
WEATHER = {
    "name": "get_weather",
    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]},
}
TOOLS = [{"functionDeclarations": [WEATHER]}]
CALL = {"functionCall": {"name": "get_weather", "args": {"city": "Rome"}}}
RESULT = {"functionResponse": {"name": "get_weather", "response": {"result": "sunny"}}}


def parsed(model: str = MODEL, **fields: Any) -> ParsedRequest[Any]:
    body = json.dumps({"contents": HELLO} | fields).encode()
    return parse(IncomingRequest(body=body, path_params={"model": model}))


def refusal(model: str = MODEL, **fields: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        parsed(model, **fields)
    return str(json.loads(render_refusal(caught.value).body)["error"]["message"])


def turn(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "parts": list(parts)}


async def ask(
    model: str = MODEL, *, settings: Any = None, verb: str = "generateContent", **fields: Any
) -> Exchange:
    path = GENERATE.format(model).replace("generateContent", verb)
    contents = {} if "mbed" in verb else {"contents": HELLO}
    return await simulator(**(settings or {})).post(path, contents | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {
            "generation_config": {"max_output_tokens": "7", "stop_sequences": "x"},
            "system_instruction": {"parts": {"text": "s"}},
        },
        {
            "generationConfig": {"maxOutputTokens": 7.0, "stopSequences": ["x"]},
            "systemInstruction": {"parts": [{"text": "s"}]},
        },
        {
            "generationConfig": {"maxOutputTokens": 7, "stopSequences": ["x"], "seed": None},
            "systemInstruction": {"role": "x", "parts": [{"text": "s"}]},
        },
    ],
)
def test_forms_of_json(fields: dict[str, Any]) -> None:
    """GEM-1.2: Whatever form of names, lists and numbers, the prompt is the same."""
    prompt = parsed(**fields).prompt

    assert (prompt.limit, prompt.stop, prompt.seed) == (7, ("x",), None)
    assert [message.role for message in prompt.messages] == ["system", "user"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"x": 1}, 'Invalid JSON payload received. Unknown name "x": Cannot find field.'),
        (
            {"generationConfig": {"x": 1}},
            "Invalid JSON payload received. Unknown name \"x\" at 'generation_config': Cannot find field.",
        ),
        (
            {"generation_config": {"temperature": "hot"}},
            "Invalid value at 'generation_config.temperature' (TYPE_FLOAT), \"hot\"",
        ),
        (
            {"contents": "Hello"},
            "Invalid value at 'contents[0]' (type.googleapis.com/google.ai.generativelanguage.v1beta.Content), \"Hello\"",
        ),
        (
            {"safetySettings": [{"category": "RUDE"}]},
            "Invalid value at 'safety_settings[0].category' (type.googleapis.com/google.ai.generativelanguage.v1beta.HarmCategory), \"RUDE\"",
        ),
        (
            {"generationConfig": {"seed": [1]}},
            "Invalid JSON payload received. Unknown name \"seed\" at 'generation_config': Proto field is not repeating, cannot start list.",
        ),
        (
            {
                "tools": [
                    {
                        "functionDeclarations": [
                            {"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"const": 1}}}}
                        ]
                    }
                ]
            },
            "Invalid JSON payload received. Unknown name \"const\" at 'tools[0].function_declarations[0].parameters.properties[0].value': Cannot find field.",
        ),
        (
            {"contents": [{"parts": [{"text": "a", "functionCall": {"name": "f"}}]}]},
            "Invalid value at 'contents[0].parts[0]' (oneof), oneof field 'data' is already set. Cannot set 'functionCall'",
        ),
    ],
)
def test_messages_that_the_api_does_not_know(fields: dict[str, Any], message: str) -> None:
    """GEM-1.3: Refused in the words of Google's transcoder."""
    assert refusal(**fields) == message


def test_all_problems_are_listed() -> None:
    """GEM-1.3: Each has its place in the details."""
    with pytest.raises(PayloadError) as caught:
        parsed(x=1, generationConfig={"y": 1, "topK": "z"})

    error = json.loads(render_refusal(caught.value).body)["error"]
    violations = error["details"][0]["fieldViolations"]
    assert [one.get("field") for one in violations] == [None, "generation_config", "generation_config.top_k"]
    assert error["message"] == "\n".join(one["description"] for one in violations)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"temperature": 2.1}, "temperature must be in the range [0.0, 2.0]."),
        ({"topP": -1}, "top_p must be in the range [0.0, 1.0]."),
        ({"candidateCount": 0}, "candidate_count must be in the range [1, 8]."),
        ({"maxOutputTokens": 0}, "max_output_tokens must be positive."),
        ({"stopSequences": list("abcdef")}, "stop_sequences must have at most 5 entries."),
        ({"logprobs": 3}, "logprobs can only be set when response_logprobs is true."),
        (
            {"responseSchema": {"type": "STRING"}},
            "response_schema can only be set when response_mime_type is",
        ),
        ({"responseMimeType": "image/png"}, "allowed mimetypes are `text/plain`"),
        ({"responseModalities": ["AUDIO"]}, "response modalities (AUDIO) is not supported"),
        ({"thinkingConfig": {"thinkingBudget": -2}}, "The thinking budget -2 is invalid."),
        (
            {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}},
            "only one of thinking budget and thinking level",
        ),
    ],
)
def test_values_out_of_range(config: dict[str, Any], problem: str) -> None:
    """GEM-1.5: Refused with the name of the field."""
    assert problem in refusal(generationConfig=config)


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        ([], "contents is not specified"),
        ([turn("bot", {"text": "a"})], "Please use a valid role: user, model."),
        ([turn("user")], "contents.parts must not be empty."),
        (
            [turn("user", {})],
            "contents[0].parts[0].data: required oneof field 'data' must have one initialized field",
        ),
        ([turn("user", {"inlineData": {"mimeType": "image/png", "data": "?"}})], "Base64 decoding failed"),
    ],
)
def test_contents(contents: list[Any], problem: str) -> None:
    """GEM-1.6: What holds nothing is refused."""
    assert problem in refusal(contents=contents)


async def test_media_are_counted() -> None:
    """GEM-1.6: Images, recordings and files cost tokens."""
    counts = []
    for part in (
        {"text": ""},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        {"fileData": {"fileUri": "https://x/y.pdf"}},
    ):
        exchange = await ask(verb="countTokens", contents=[turn("user", {"text": "a"}, part)])
        counts.append(exchange.json["totalTokens"])

    assert all(count >= counts[0] + 100 for count in counts[1:])


async def test_a_prompt_that_is_too_long() -> None:
    """GEM-1.7: The window and the tokens are named."""
    exchange = await ask(
        "gemini-embedding-001",
        verb="embedContent",
        content={"parts": [{"text": "word " * 3000}]},
    )

    assert exchange.status == 400
    assert "exceeds the maximum number of tokens allowed (2048)." in exchange.json["error"]["message"]


async def test_endings_and_blocks() -> None:
    """GEM-2.3, GEM-2.5: What a filter stopped, and a prompt that is blocked."""
    filtered = await ask(settings={"content_filter_rate": 1.0})
    blocked = await ask(settings={"refusal_rate": 1.0})

    assert filtered.json["candidates"][0]["finishReason"] == "SAFETY"
    assert blocked.json["promptFeedback"]["blockReason"] == "SAFETY"
    assert "candidates" not in blocked.json


@pytest.mark.parametrize("query", ["alt=sse", ""])
async def test_forms_of_a_stream(query: str) -> None:
    """GEM-3.1, GEM-3.3: Events that end in CR LF without a last one of their own, or one array, element by element."""
    worker = simulator(target_tokens=5, latency={"profile": "instant", "tbt_mean_ms": 3})
    body = json.dumps({"contents": HELLO}).encode()
    exchange = await worker.ask("POST", GENERATE.format(MODEL).replace(":g", ":streamG"), body, query=query)

    if query:
        assert exchange.headers["content-type"] == "text/event-stream"
        *events, rest = exchange.body.split(b"\r\n\r\n")
        chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
        assert rest == b""
    else:
        assert exchange.headers["content-type"] == "application/json; charset=UTF-8"
        assert all(data.startswith((b"[{", b",{")) for _, data in exchange.parts)
        assert exchange.body.count(b"\r\n,{") == 4
        chunks = exchange.json
    assert len(chunks) == 5
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks] == [None] * 4 + ["STOP"]


@pytest.mark.parametrize("query", ["alt=sse", ""])
async def test_a_stream_that_fails(query: str) -> None:
    """GEM-3.4: The last event, or element, is the error."""
    worker = simulator(faults={"error_rate": 1.0, "after_tokens": 2}, target_tokens=9)
    body = json.dumps({"contents": HELLO}).encode()
    exchange = await worker.ask("POST", GENERATE.format(MODEL).replace(":g", ":streamG"), body, query=query)

    found = (
        [json.loads(event[6:]) for event in exchange.body.split(b"\r\n\r\n")[:-1]] if query else exchange.json
    )
    assert found[-1]["error"]["status"] in ("INTERNAL", "UNAVAILABLE")
    assert all("candidates" in one for one in found[:-1])


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"tools": [{"functionDeclarations": [{"name": "1"}]}]},
            "function_declarations[0].name: Invalid function name.",
        ),
        (
            {"tools": [{"functionDeclarations": [WEATHER, WEATHER]}]},
            "Duplicate function declaration found: get_weather",
        ),
        (
            {
                "tools": [
                    {
                        "functionDeclarations": [
                            {
                                "name": "f",
                                "parameters": {"type": "OBJECT", "properties": {"a": {"type": "ARRAY"}}},
                            }
                        ]
                    }
                ]
            },
            "parameters.properties[a].items: missing field.",
        ),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": 5}}]}]},
            "parameters_json_schema: schema is invalid",
        ),
        (
            {
                "tools": TOOLS,
                "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["x"]}},
            },
            "should be a subset",
        ),
        (
            {
                "tools": TOOLS,
                "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["get_weather"]}},
            },
            "only when function calling mode is ANY",
        ),
        (
            {
                "generationConfig": {
                    "responseMimeType": "application/json",
                    "responseSchema": {"type": "OBJECT"},
                }
            },
            "response_schema.properties: should be non-empty for OBJECT type",
        ),
    ],
)
def test_tools_that_are_refused(fields: dict[str, Any], problem: str) -> None:
    """GEM-4.3: In the API's words."""
    assert problem in refusal(**fields)


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        (
            [*HELLO, turn("model", CALL), turn("user", {"text": "a"})],
            "number of function response parts is equal",
        ),
        (
            [*HELLO, turn("model", CALL), turn("user", RESULT, RESULT)],
            "number of function response parts is equal",
        ),
        ([*HELLO, turn("user", RESULT)], "immediately after a function call turn"),
        ([turn("model", CALL)], "immediately after a user turn"),
        (
            [
                *HELLO,
                turn("model", {"text": "a"}),
                turn("model", CALL, CALL),
                turn("user", RESULT),
                turn("user", RESULT),
            ],
            "",
        ),
        ([*HELLO, turn("model", CALL)], ""),
    ],
)
def test_calls_and_their_results(contents: list[Any], problem: str) -> None:
    """GEM-4.4: As many results as calls; contents of one side in a row are one turn."""
    if problem:
        assert problem in refusal(contents=contents)
    else:
        assert parsed(contents=contents)


@pytest.mark.parametrize("model", ["gemini-3-pro-preview", "gemini-2.5-pro"])
async def test_signatures_come_back(model: str) -> None:
    """GEM-5.3: With its call a signature is taken, with another one refused; without one the model decides."""
    question = [turn("user", {"text": "What is the weather in Rome?"})]
    first = (await ask(model, contents=question, tools=TOOLS)).json["candidates"][0]["content"]
    (part,) = first["parts"]
    results = turn(
        "user",
        {"functionResponse": {"id": part["functionCall"]["id"], "name": "get_weather", "response": {}}},
    )

    async def again(**changes: Any) -> Exchange:
        sent = {name: value for name, value in (part | changes).items() if value is not None}
        return await ask(model, contents=[*question, turn("model", sent), results], tools=TOOLS)

    assert (await again()).json["candidates"][0]["content"]["parts"][0]["text"]
    changed = await again(functionCall=part["functionCall"] | {"args": {"city": "Atlantis"}})
    assert changed.json["error"]["message"] == "Thought signature is not valid."
    assert (await again(thoughtSignature="c2lnbmVkIGJ5IEdvb2dsZQ==")).status == 200
    unsigned = await again(thoughtSignature=None)
    assert unsigned.status == (400 if model.startswith("gemini-3") else 200)
    if unsigned.status == 400:
        assert "missing a thought_signature in functionCall parts" in unsigned.json["error"]["message"]


def test_thinking_that_a_model_does_not_take() -> None:
    """GEM-5.4: Refused for that model alone."""
    off: dict[str, Any] = {"thinkingConfig": {"thinkingBudget": 0}}
    low: dict[str, Any] = {"thinkingConfig": {"thinkingLevel": "LOW"}}

    assert "Budget 0 is invalid" in refusal("gemini-2.5-pro", generationConfig=off)
    assert "Thinking level is not supported" in refusal("gemini-2.5-flash", generationConfig=low)
    assert parsed("gemini-2.5-flash", generationConfig=off).prompt.effort == "none"
    assert parsed("gemini-3-pro-preview", generationConfig=low).prompt.effort == "low"


@pytest.mark.parametrize(
    ("model", "least", "most"),
    [("gemini-2.5-pro", 128, 32768), ("gemini-2.5-flash", 0, 24576), ("gemini-2.5-flash-lite", 512, 24576)],
)
def test_budgets_of_a_model(model: str, least: int, most: int) -> None:
    """GEM-5.5: Beyond its bounds they are refused; what is dynamic, or off, has none."""

    def config(budget: int) -> dict[str, Any]:
        return {"thinkingConfig": {"thinkingBudget": budget}}

    bounds = f"is invalid. Please choose a value between {least} and {most}."
    assert refusal(model, generationConfig=config(most + 1)) == f"The thinking budget {most + 1} {bounds}"
    if least:
        assert (
            refusal(model, generationConfig=config(least - 1)) == f"The thinking budget {least - 1} {bounds}"
        )
    for budget in (-1, max(least, 1), most):
        assert parsed(model, generationConfig=config(budget))


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "gemini-2.5-flash-lite", "gemini-2.0-flash"])
def test_what_models_do_not_take_beside_functions(model: str) -> None:
    """GEM-4.8: Google's own tools and JSON, up to Gemini 2.5; later models take both."""
    functions: dict[str, Any] = {"functionDeclarations": [{"name": "f"}]}
    json_format = {"responseMimeType": "application/json"}
    search = {"tools": [functions, {"googleSearch": {}}]}
    formatted = {"tools": [functions], "generationConfig": json_format}

    assert refusal(model, **search) == "Tool use with function calling is unsupported"
    assert refusal(model, **formatted) == (
        "Function calling with a response mime type: 'application/json' is unsupported"
    )
    for fields in (search, formatted):
        assert parsed("gemini-3-pro-preview", **fields).prompt.tools
    assert parsed(model, tools=[{"googleSearch": {}}], generationConfig=json_format)


async def test_embeddings_in_batches() -> None:
    """GEM-7.1, GEM-7.2: One vector a request, in their order, and at most 100."""
    model = "gemini-embedding-001"
    one = {"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 3}

    def batch(count: int) -> Any:
        return ask(model, verb="batchEmbedContents", requests=[one] * count)

    found, single = await batch(2), await ask(model, verb="embedContent", **one)

    vectors = [vector["values"] for vector in found.json["embeddings"]]
    assert vectors == [single.json["embedding"]["values"]] * 2
    assert len(vectors[0]) == 3
    assert "at most 100 requests" in (await batch(101)).json["error"]["message"]


@pytest.mark.parametrize(
    ("model", "verb", "fields"),
    [
        ("gemini-embedding-001", "generateContent", {}),
        ("gemini-2.5-pro", "embedContent", {"content": {"parts": [{"text": "a"}]}}),
    ],
)
async def test_models_of_the_other_kind(model: str, verb: str, fields: dict[str, Any]) -> None:
    """GEM-7.3: 404, with the verb that the model does not support."""
    exchange = await ask(model, verb=verb, **fields)

    assert (exchange.status, exchange.json["error"]["status"]) == (404, "NOT_FOUND")
    assert f"is not supported for {verb}. Call ListModels" in exchange.json["error"]["message"]


def test_errors_have_googles_form() -> None:
    """GEM-8.1: Code, message and status."""
    error = json.loads(render_refusal(ApiRuleError("a", status=403)).body)

    assert error == {"error": {"code": 403, "message": "a", "status": "PERMISSION_DENIED"}}


@pytest.mark.parametrize(
    ("headers", "query", "status", "reason"),
    [
        ({"x-goog-api-key": "sk"}, "", 200, None),
        ({}, "key=sk", 200, None),
        ({"authorization": "Bearer sk"}, "", 200, None),
        ({"x-goog-api-key": "other"}, "key=sk", 400, "API_KEY_INVALID"),
        ({}, "key=other", 400, "API_KEY_INVALID"),
        ({"authorization": "Bearer x"}, "", 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        ({}, "", 403, None),
    ],
)
@pytest.mark.parametrize("prefix", ["/gemini", ""])
async def test_keys(
    headers: dict[str, str], query: str, status: int, reason: str | None, prefix: str
) -> None:
    """GEM-8.2: Wherever the key is, with the prefix and without."""
    path = prefix + GENERATE.format(MODEL).removeprefix("/gemini")
    body = json.dumps({"contents": HELLO}).encode()
    worker = simulator(auth={"keys": ("sk",)})
    exchange = await worker.ask("POST", path, body, headers=headers | {"anthropic-version": ""}, query=query)

    assert exchange.status == status
    if status != 200:
        details = exchange.json["error"].get("details", [{}])
        assert details[0].get("reason") == reason


@pytest.mark.parametrize(
    ("rate", "status", "name"),
    [
        ("rate_limit_rate", 429, "RESOURCE_EXHAUSTED"),
        ("server_error_rate", 500, "INTERNAL"),
        ("server_error_rate", 503, "UNAVAILABLE"),
        ("timeout_rate", 504, "DEADLINE_EXCEEDED"),
    ],
)
async def test_faults(rate: str, status: int, name: str) -> None:
    """GEM-8.3: Google's statuses, and the time to wait in the details."""
    exchange = await ask(settings={"errors": {rate: 1.0, "timeout_after_ms": 0}})
    while rate == "server_error_rate" and exchange.status != status:
        exchange = await ask(settings={"errors": {rate: 1.0}})

    error = exchange.json["error"]
    assert (exchange.status, error["code"], error["status"]) == (status, status, name)
    if status == 429:
        assert error["details"][0]["@type"] == "type.googleapis.com/google.rpc.RetryInfo"


async def test_limits() -> None:
    """GEM-8.4: The quota is named; it is that of the key, wherever the key comes."""
    worker = simulator(limits={"tiers": {"one": {"rpm": 1}}, "keys": {"sk-a": "one"}})
    body = json.dumps({"contents": HELLO}).encode()
    path = GENERATE.format(MODEL)
    statuses = [
        (await worker.ask("POST", path, body, query="key=sk-a")).status,
        (await worker.ask("POST", path, body, query="key=sk-b")).status,
    ]
    exchange = await worker.ask("POST", path, body, headers={"x-goog-api-key": "sk-a"})

    assert [*statuses, exchange.status] == [200, 200, 429]
    kinds = [one["@type"].rpartition(".")[2] for one in exchange.json["error"]["details"]]
    assert kinds == ["QuotaFailure", "Help", "RetryInfo"]
    assert not any("ratelimit" in name for name in exchange.headers)


async def test_stats() -> None:
    """GEM-9.1: One row, whatever verb, version and prefix."""
    worker = simulator()
    for path in ("/gemini/v1beta", "/gemini/v1", "/v1beta", "/v1"):
        for verb in ("generateContent", "streamGenerateContent"):
            assert (await worker.post(f"{path}/models/{MODEL}:{verb}", {"contents": HELLO})).status == 200
        embedded = await worker.post(
            f"{path}/models/gemini-embedding-001:embedContent", {"content": HELLO[0]}
        )
        assert embedded.status == 200

    stats = worker.stats().as_dict()
    assert (stats["generate_content_requests"], stats["embed_content_requests"]) == (8, 4)
