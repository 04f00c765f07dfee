"""The stats labels of resources, and how they are found."""

import pytest

from llmsim.providers.registry import PROVIDERS, endpoint_labels
from llmsim.providers.resource_routes import find_resource, resource_labels


def _found(method: str, path: str, *headers: str) -> str | None:
    number = find_resource(method, path, headers)
    return None if number is None else resource_labels()[number]


@pytest.mark.parametrize(
    ("method", "path", "label"),
    [
        ("GET", "/openai/v1/files/file-1/content", "files"),
        ("GET", "//v1/files", "files"),
        ("POST", "/v1/messages/batches", "anthropic_batches"),
        ("POST", "/gemini/v1beta/models/gemini-2.5-pro:countTokens", "gemini_count_tokens"),
        ("GET", "/gemini/v1/models/gemini-2.5-pro", "gemini_models"),
        ("GET", "/v1/models/ft:gpt-4o:org::1", "models"),
        ("DELETE", "/azure/openai/vector_stores/vs_1/files/file-1", "azure_vector_stores"),
        ("GET", "/v1/responses/resp_1", "stored_responses"),
        ("POST", "/openai/v1/responses/input_tokens", "input_tokens"),
        ("GET", "/v1/chat/completions/chatcmpl-1/messages", "stored_completions"),
        ("PUT", "/v1/files", None),
        ("GET", "/v1/files/a/b/c", None),
        ("POST", "/v1/chat/completions", None),
        ("GET", "/health", None),
        ("GET", "/", None),
    ],
)
def test_a_resource_is_found_by_method_and_path(method: str, path: str, label: str | None) -> None:
    """STATS-10.3: A label stands for all routes of a kind of object; what no API has, and what generates, has none."""
    assert _found(method, path) == label


def test_a_bare_path_is_that_of_the_api_whose_header_was_sent() -> None:
    """STATS-10.1: A path of several APIs counts where it is answered."""
    assert _found("GET", "/v1/files", "anthropic-version") == "anthropic_files"
    assert _found("GET", "/v1/files", "authorization") == "files"


def test_all_routes_have_a_label_that_the_block_takes() -> None:
    """STATS-10.3: Every route that does not generate is counted, by few names that no endpoint has."""
    labels = resource_labels()
    for provider in PROVIDERS:
        for endpoint in provider.resource_endpoints:
            assert _found(endpoint.method, provider.prefix + endpoint.path) in labels
    assert not set(labels) & set(endpoint_labels())
    assert len(labels) < 40
    assert all(len(label) <= 32 for label in labels)
