"""The registry: every provider and endpoint is unmistakable."""

import re
from collections import Counter
from itertools import combinations

from llmsim.providers.registry import PROVIDERS, endpoint_labels, endpoint_number, find_endpoint
from llmsim.stats import Block


def test_labels_are_unique_and_will_do_for_stats() -> None:
    """ARCH-2.3: The stats labels follow from the registry, and the stats block takes them."""
    labels = endpoint_labels()

    assert len(set(labels)) == len(labels)
    assert Block.private(endpoints=labels, now=0.0).endpoints == labels


def test_numbers_are_the_places_of_the_labels() -> None:
    """ARCH-2.3: Every generating endpoint counts under its own label."""
    labels = {
        provider.prefix + generation.path: generation.label
        for provider in PROVIDERS
        for generation in provider.generation_endpoints
    }

    assert {path: endpoint_labels()[find_endpoint(path) or 0] for path in labels} == labels
    assert {find_endpoint(path) for path in labels} == set(range(len(endpoint_labels())))
    assert [endpoint_number(label) for label in endpoint_labels()] == list(range(len(endpoint_labels())))
    assert find_endpoint("/openai/v1/models") is None


def test_prefixes_are_unique_and_none_begins_another() -> None:
    """API-2.1: It is always clear whose envelope answers a path."""
    prefixes = [provider.prefix for provider in PROVIDERS]

    assert all(re.fullmatch(r"/[a-z][a-z0-9-]*", prefix) for prefix in prefixes)
    assert not any(
        one.startswith(f"{other}/") or one == other
        for pair in combinations(prefixes, 2)
        for one, other in (pair, pair[::-1])
    )
    assert not {"/health", "/llmsim"} & set(prefixes)


def test_names_are_unique() -> None:
    """ARCH-2.3: A provider is one folder and one line in the registry."""
    assert max(Counter(provider.name for provider in PROVIDERS).values()) == 1


def test_paths_are_the_apis_own() -> None:
    """API-1.1: Behind the prefix stand the API's original paths, each method of each path once."""
    for provider in PROVIDERS:
        routes = [("POST", one.path) for one in provider.generation_endpoints]
        routes += [(one.method, one.path) for one in provider.resource_endpoints]
        assert all(path.startswith(("/v", "/openai/", "/upload/v", "/download/v")) for _, path in routes)
        assert all(method.isupper() for method, _ in routes)
        assert len(set(routes)) == len(routes)
