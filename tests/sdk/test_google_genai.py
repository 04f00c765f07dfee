"""The google-genai SDK against a running server, unchanged but for its base URL."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel
from support.servers import Server, serve

FLASH = "gemini-2.5-flash"
PRO = "gemini-3-pro-preview"
VERSIONS = pytest.mark.parametrize("version", ["v1", "v1beta"])


@pytest.fixture(params=["/gemini", ""], ids=["prefix", "bare"])
def client(server: Server, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    with connect(f"{server.base}{request.param}") as opened:
        yield opened


def connect(base_url: str, **options: Any) -> genai.Client:
    return genai.Client(api_key="any", http_options={"base_url": base_url, **options})


class Recipe(BaseModel):
    """What JSON is to be."""

    name: str
    minutes: int
    steps: list[str]


class Mood(Enum):
    """A choice of texts."""

    HAPPY = "happy"
    SAD = "sad"


def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"It is sunny in {city}."


@VERSIONS
def test_generate(server: Server, version: str) -> None:
    """GEM-1.1, GEM-2.1, GEM-2.2: A response has text, finish reason, ids and usage that adds up."""
    with connect(f"{server.base}/gemini", api_version=version) as client:
        answer = client.models.generate_content(model=FLASH, contents="Hello")

    usage = answer.usage_metadata
    assert answer.text
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason is types.FinishReason.STOP
    assert answer.response_id
    assert answer.model_version == FLASH
    assert usage is not None
    assert usage.total_token_count == sum(
        count or 0
        for count in (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count)
    )


def test_stream(client: genai.Client) -> None:
    """GEM-3.1, GEM-3.2: Chunks add up to a text; the last has the finish reason, and usage is cumulative."""
    config = types.GenerateContentConfig(
        max_output_tokens=20, thinking_config=types.ThinkingConfig(thinking_budget=0)
    )
    chunks = list(client.models.generate_content_stream(model=FLASH, contents="Hello", config=config))

    counts = [chunk.usage_metadata.candidates_token_count for chunk in chunks if chunk.usage_metadata]
    assert "".join(chunk.text or "" for chunk in chunks)
    assert counts == sorted(counts, key=lambda count: count or 0)
    assert counts[-1] == 20
    reasons = [chunk.candidates[0].finish_reason for chunk in chunks if chunk.candidates]
    assert reasons == [None] * (len(chunks) - 1) + [types.FinishReason.MAX_TOKENS]


async def test_async(server: Server) -> None:
    """GEM-1.1: The async client, its streams and its chats."""
    client = connect(f"{server.base}/gemini").aio
    answer = await client.models.generate_content(model=FLASH, contents="Hello")
    chunks = [
        chunk async for chunk in await client.models.generate_content_stream(model=FLASH, contents="Hello")
    ]
    chat = client.chats.create(model=FLASH, config=types.GenerateContentConfig(tools=[get_weather]))
    reply = await chat.send_message("What is the weather in Rome?")

    assert answer.text
    assert chunks[-1].usage_metadata
    assert reply.text
    await client.aclose()


@pytest.mark.parametrize("model", [FLASH, PRO])
@pytest.mark.parametrize("streamed", [False, True])
def test_automatic_function_calls_end(client: genai.Client, model: str, streamed: bool) -> None:
    """GEM-4.1, GEM-4.4, GEM-5.3: The SDK calls the function, sends its result with the signature, and gets a text."""
    called: list[str] = []

    def get_weather(city: str) -> str:
        """Return the weather of a city."""
        called.append(city)
        return "sunny"

    chat = client.chats.create(model=model, config=types.GenerateContentConfig(tools=[get_weather]))
    for city in ("Rome", "Oslo"):
        question = f"What is the weather in {city}?"
        if streamed:
            text = "".join(chunk.text or "" for chunk in chat.send_message_stream(question))
        else:
            text = chat.send_message(question).text or ""
        assert text

    assert called == ["Rome", "Oslo"]


def test_function_calls_by_hand(client: genai.Client) -> None:
    """GEM-4.2, GEM-4.3: `ANY` calls one of the allowed functions; `NONE` calls none."""
    tool = types.Tool(
        function_declarations=[
            types.FunctionDeclaration(
                name=name,
                parameters=types.Schema(
                    type=types.Type.OBJECT,
                    properties={"x": types.Schema(type=types.Type.INTEGER)},
                    required=["x"],
                ),
            )
            for name in ("one", "two")
        ]
    )

    def ask(mode: str, names: list[str] | None = None) -> types.GenerateContentResponse:
        calling = types.FunctionCallingConfig(
            mode=types.FunctionCallingConfigMode(mode), allowed_function_names=names
        )
        config = types.GenerateContentConfig(
            tools=[tool], tool_config=types.ToolConfig(function_calling_config=calling)
        )
        return client.models.generate_content(model=FLASH, contents="Hello", config=config)

    calls = ask("ANY", ["two"]).function_calls
    assert calls is not None
    assert [(call.name, set(call.args or ())) for call in calls] == [("two", {"x"})]
    assert calls[0].id
    assert ask("NONE").function_calls is None


def test_schemas(client: genai.Client) -> None:
    """GEM-4.5, GEM-4.6: JSON fits the schema in either form, and an enumeration comes bare."""

    def ask(**fields: Any) -> types.GenerateContentResponse:
        config = types.GenerateContentConfig(**({"response_mime_type": "application/json"} | fields))
        return client.models.generate_content(model=FLASH, contents="A recipe", config=config)

    assert isinstance(ask(response_schema=Recipe).parsed, Recipe)
    assert Recipe.model_validate_json(ask(response_json_schema=Recipe.model_json_schema()).text or "")
    assert ask(response_mime_type="text/x.enum", response_schema=Mood).text in ("happy", "sad")


def test_thoughts(client: genai.Client) -> None:
    """GEM-5.1, GEM-5.2: Thoughts are counted, and shown if that is requested."""

    def ask(**thinking: Any) -> types.GenerateContentResponse:
        config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(**thinking))
        return client.models.generate_content(model=FLASH, contents="Hello", config=config)

    def thoughts(answer: types.GenerateContentResponse) -> tuple[int, int]:
        assert answer.usage_metadata is not None
        parts = answer.parts or []
        return answer.usage_metadata.thoughts_token_count or 0, sum(part.thought is True for part in parts)

    assert thoughts(ask(include_thoughts=True, thinking_budget=50)) == (50, 1)
    assert thoughts(ask(thinking_budget=50)) == (50, 0)
    assert thoughts(ask(thinking_budget=0)) == (0, 0)


def test_candidates_logprobs_and_seed(client: genai.Client) -> None:
    """GEM-1.4, GEM-2.4: Several candidates, probabilities of tokens, and the same text for the same seed."""
    config = types.GenerateContentConfig(candidate_count=3, seed=7, response_logprobs=True, logprobs=2)
    first, second = (
        client.models.generate_content(model=FLASH, contents="Hello", config=config) for _ in range(2)
    )

    assert first.candidates is not None
    assert [candidate.index or 0 for candidate in first.candidates] == [0, 1, 2]
    assert first.text == second.text
    result = first.candidates[0].logprobs_result
    assert result is not None
    assert result.top_candidates is not None
    assert len(result.top_candidates[0].candidates or ()) == 2


def test_count_and_models(client: genai.Client) -> None:
    """GEM-6.1, GEM-6.2: Tokens are counted as they are used; models are listed and retrieved."""
    counted = client.models.count_tokens(model=FLASH, contents="Hello there")
    used = client.models.generate_content(model=FLASH, contents="Hello there").usage_metadata
    names = [model.name for model in client.models.list(config={"page_size": 5})]

    assert used is not None
    assert counted.total_tokens == used.prompt_token_count
    assert f"models/{FLASH}" in names
    assert len(set(names)) == len(names) > 5
    assert client.models.get(model=FLASH).input_token_limit == 1_048_576


def test_embeddings(client: genai.Client) -> None:
    """GEM-7.1, GEM-7.2: One vector a content, of the requested length."""
    vectors = client.models.embed_content(
        model="gemini-embedding-001", contents=["a cat", "a dog"]
    ).embeddings
    config = types.EmbedContentConfig(output_dimensionality=8)
    short = client.models.embed_content(
        model="gemini-embedding-001", contents="a cat", config=config
    ).embeddings

    assert [len(vector.values or ()) for vector in vectors or ()] == [3072, 3072]
    assert [len(vector.values or ()) for vector in short or ()] == [8]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"temperature": 3}, "temperature must be in the range"),
        ({"candidate_count": 9}, "candidate_count must be in the range"),
        ({"thinking_config": {"thinking_level": "HIGH"}}, "Thinking level is not supported for this model."),
        ({"response_modalities": ["IMAGE"]}, "response modalities (IMAGE)"),
        ({"cached_content": "cachedContents/x"}, "CachedContent not found"),
    ],
)
def test_refusals(client: genai.Client, config: Any, message: str) -> None:
    """GEM-1.5, GEM-5.4: What is refused raises what the real API makes the SDK raise."""
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model=FLASH, contents="Hello", config=config)

    assert caught.value.code in (400, 403)
    assert message in (caught.value.message or "")


@pytest.mark.parametrize(
    ("rate", "kind", "code", "status"),
    [
        ("rate_limit_rate", errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        ("server_error_rate", errors.ServerError, None, "INTERNAL UNAVAILABLE"),
        ("timeout_rate", errors.ServerError, 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_faults(
    tmp_path_factory: pytest.TempPathFactory,
    rate: str,
    kind: type[errors.APIError],
    code: int | None,
    status: str,
) -> None:
    """GEM-8.3: Simulated failures raise the SDK's errors, with Google's names."""
    settings = {f"LLMSIM_ERRORS_{rate.upper()}": "1", "LLMSIM_ERRORS_TIMEOUT_AFTER_MS": "0"}
    directory = tmp_path_factory.mktemp("faults")
    with (
        serve(directory, "--workers", "1", "--latency", "instant", **settings) as failing,
        connect(f"{failing.base}/gemini", retry_options={"attempts": 1}) as client,
        pytest.raises(kind) as caught,
    ):
        client.models.generate_content(model=FLASH, contents="Hello")

    assert code in (caught.value.code, None)
    assert caught.value.status in status.split()


def test_keys(tmp_path_factory: pytest.TempPathFactory) -> None:
    """GEM-8.2, ACC-2.1: A key comes in a header or in the query; a wrong one is refused in Google's words."""
    directory = tmp_path_factory.mktemp("keys")
    with serve(directory, "--workers", "1", "--latency", "instant", LLMSIM_AUTH_KEYS="any") as keyed:
        with connect(f"{keyed.base}") as client:
            assert client.models.generate_content(model=FLASH, contents="Hello").text
        wrong = genai.Client(api_key="wrong", http_options={"base_url": keyed.base})
        with wrong, pytest.raises(errors.ClientError) as caught:
            wrong.models.generate_content(model=FLASH, contents="Hello")

    assert caught.value.code == 400
    assert caught.value.message == "API key not valid. Please pass a valid API key."
