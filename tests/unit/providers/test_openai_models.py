"""The list of models, and the look-up of one."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from openai.types import Model as SdkModel
from support.driving import drive

from llmsim.catalogue import Model, load_catalogue
from llmsim.errors import UnknownModelError
from llmsim.providers.contract import IncomingRequest
from llmsim.providers.openai.models import list_models, retrieve_model

MODELS = load_catalogue().models


class Served:
    """An endpoint context that serves some models."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self.models = models


def listed(models: Mapping[str, Model]) -> Any:
    reply = drive(list_models(Served(models), IncomingRequest()))
    assert reply.status == 200
    return json.loads(reply.body)


def test_all_served_models_are_listed() -> None:
    """API-1.2: The list has an entry for every model, in the API's shape and order."""
    assert list(listed(MODELS)) == ["object", "data"]
    assert listed(MODELS)["object"] == "list"
    assert [entry["id"] for entry in listed(MODELS)["data"]] == list(MODELS)


def test_an_entry_has_the_apis_fields_and_ours() -> None:
    """API-1.2: Each entry is the SDK's `Model`, with `context_window` and `max_output_tokens`."""
    for entry in listed(MODELS)["data"]:
        assert list(entry) == ["id", "object", "created", "owned_by", "context_window", "max_output_tokens"]
        SdkModel.model_validate(entry, strict=True)
        least = 0 if MODELS[entry["id"]].dimensions else 1
        assert entry["context_window"] >= entry["max_output_tokens"] >= least


def test_a_model_is_its_entry_in_the_list() -> None:
    """API-1.3: A listed id gives the entry of the list."""
    reply = drive(retrieve_model(Served(MODELS), IncomingRequest(path_params={"model": "gpt-4o"})))

    assert json.loads(reply.body)["id"] == "gpt-4o"
    assert json.loads(reply.body) in listed(MODELS)["data"]


@pytest.mark.parametrize("model", ["gpt-5", "", "gpt-4o ", "日本"])
def test_a_model_that_is_not_served_is_unknown(model: str) -> None:
    """API-1.3: An id that is not served is refused by name, whether or not the catalogue has it."""
    with pytest.raises(UnknownModelError) as refused:
        drive(
            retrieve_model(
                Served({"gpt-4o": MODELS["gpt-4o"]}), IncomingRequest(path_params={"model": model})
            )
        )

    assert refused.value.model == model


def test_an_empty_list_is_a_list() -> None:
    """API-1.2: Without models the list is empty."""
    assert listed({}) == {"object": "list", "data": []}
