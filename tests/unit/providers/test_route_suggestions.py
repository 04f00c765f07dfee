"""The path that a client meant, for wrong base URLs and misspelt endpoints."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.providers.registry import PROVIDERS
from llmsim.providers.route_suggestions import find_meant, suggest_route


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/openai/v1/v1/chat/completions", "/openai/v1/chat/completions"),
        ("/openai/chat/completions", "/openai/v1/chat/completions"),
        ("/openai/v1/openai/v1/responses", "/openai/v1/responses"),
        ("/v1/openai/v1/responses", "/openai/v1/responses"),
        ("/openai/v1/chat/completions/chat/completions", "/openai/v1/chat/completions"),
        ("/anthropic/v1/messages/v1/messages", "/anthropic/v1/messages"),
        ("/anthropic/v1/v1/messages", "/anthropic/v1/messages"),
        ("/anthropic/messages", "/anthropic/v1/messages"),
        ("/openai/v1/messages", "/anthropic/v1/messages"),
        ("/anthropic/v1/chat/completions", "/openai/v1/chat/completions"),
        ("/openresponses/responses", "/openresponses/v1/responses"),
        ("/v1/v1/messages", "/v1/messages"),
        ("/v1/v1/models/gpt-4o", "/v1/models/gpt-4o"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/api/v1/responses", "/v1/responses"),
        ("/v1/chat/completion", "/v1/chat/completions"),
        ("/openai/v1/embedding", "/openai/v1/embeddings"),
        ("/openai/V1//Models", "/openai/v1/models"),
        ("/opnai/v1/chat/completions", "/openai/v1/chat/completions"),
        ("/antropic/v1/messages", "/anthropic/v1/messages"),
    ],
)
def test_the_path_that_was_meant(path: str, meant: str) -> None:
    """API-2.5: A wrong base URL and a misspelt endpoint lead to the path that is served."""
    assert find_meant(path) == meant
    assert f"Did you mean {meant}?" in suggest_route(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/openai",
        "/openai/v1/",
        "/v1/nothing",
        "/openai/v1/fine_tuning/jobs",
        "/v1/" + "x" * 10_000,
    ],
)
def test_what_is_like_no_path_has_no_suggestion(path: str) -> None:
    """API-2.5: Nothing is suggested where nothing is similar."""
    assert suggest_route(path) == ""


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/openai/v1/v1/models", "leave it out of the base URL"),
        ("/openai/models", "The base URL ends in /v1"),
        ("/v1/messages/v1/messages", "give it the base URL only"),
    ],
)
def test_what_is_wrong_with_the_base_url(path: str, hint: str) -> None:
    """API-2.5: A version too many or too few is named."""
    assert hint in suggest_route(path)


def test_own_paths_are_suggested() -> None:
    """API-2.5: llmsim's own paths can be misspelt, too."""
    assert "Did you mean /health?" in suggest_route("/healthz", ["/health", "/llmsim/stats"])
    assert suggest_route("/llmsim/none", ["/llmsim/"]) == ". Did you mean /llmsim/? (llmsim)"


SERVED = [
    re.compile(prefix + re.sub(r"\\\{.+?\\\}", "[^/]+", re.escape(endpoint.path)))
    for provider in PROVIDERS
    for endpoint in (*provider.generation_endpoints, *provider.resource_endpoints)
    for prefix in (provider.prefix, *([""] if provider.is_bare else []))
]
PARTS = st.sampled_from(
    [
        "openai",
        "anthropic",
        "v1",
        "V1",
        "v2",
        "api",
        "chat",
        "completions",
        "messages",
        "models",
        "x",
        "batches",
        "",
    ]
)


@given(st.lists(PARTS | st.text(max_size=5), max_size=9))
def test_only_served_paths_are_suggested(parts: list[str]) -> None:
    """API-2.5: Whatever is asked for, a suggestion is a path that an endpoint has."""
    meant = find_meant("/" + "/".join(parts))

    assert meant is None or any(pattern.fullmatch(meant) for pattern in SERVED)
