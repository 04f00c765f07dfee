"""LangChain's classes for Gemini, Azure and moderation against a server, whose URL is the argument; prints what it tried."""

import os
import sys
from typing import Any

os.environ["OPENAI_BASE_URL"] = f"{sys.argv[1]}/openai/v1"
os.environ["OPENAI_API_KEY"] = "any"

from langchain_classic.chains import OpenAIModerationChain
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI, GoogleGenerativeAIEmbeddings
from langchain_openai import AzureChatOpenAI, AzureOpenAIEmbeddings, ChatOpenAI
from pydantic import BaseModel

GEMINI = {"google_api_key": "any", "base_url": f"{sys.argv[1]}/gemini"}
AZURE = {"azure_endpoint": f"{sys.argv[1]}/azure", "api_key": "any", "api_version": "2025-03-01-preview"}


class Weather(BaseModel):
    """A report."""

    city: str
    degrees: int


@tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"sunny in {city}"


def try_chat(name: str, model: Any) -> None:
    """Try a chat model: whole, streamed, with tools, and with a schema."""
    assert model.invoke("Hello").usage_metadata["output_tokens"] > 0
    chunks = list(model.stream("Hello"))
    assert len(chunks) > 3
    asked: list[Any] = [HumanMessage("What is the weather in Paris?")]
    offering = model.bind_tools([get_weather])
    called = offering.invoke(asked)
    (call,) = called.tool_calls
    assert call["args"] == {"city": "Paris"}
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    assert not offering.invoke([*asked, called, result]).tool_calls
    streamed = None
    for chunk in offering.stream(asked):
        streamed = chunk if streamed is None else streamed + chunk
    assert streamed is not None
    assert streamed.tool_calls[0]["args"] == {"city": "Paris"}
    for method in ("json_schema", "function_calling"):
        assert isinstance(model.with_structured_output(Weather, method=method).invoke("Paris?"), Weather)
    print(name)


try_chat("gemini", ChatGoogleGenerativeAI(model="gemini-2.5-flash", **GEMINI))
try_chat("gemini 3", ChatGoogleGenerativeAI(model="gemini-3-pro-preview", **GEMINI))
try_chat("azure", AzureChatOpenAI(azure_deployment="gpt-4o", stream_usage=True, **AZURE))
try_chat("azure responses", AzureChatOpenAI(azure_deployment="gpt-4o", use_responses_api=True, **AZURE))
try_chat("openai responses", ChatOpenAI(model="gpt-5", use_responses_api=True))
vectors = [
    GoogleGenerativeAIEmbeddings(model="models/gemini-embedding-001", **GEMINI).embed_documents(["a", "b"]),
    AzureOpenAIEmbeddings(
        azure_deployment="text-embedding-3-small", check_embedding_ctx_length=False, **AZURE
    ).embed_documents(["a", "b"]),
]
assert [[len(one) for one in two] for two in vectors] == [[3072, 3072], [1536, 1536]]
chain = OpenAIModerationChain()
assert chain.invoke("Hello")["output"] == "Hello"
assert "violates" in chain.invoke("You idiot")["output"]
print("embeddings and moderation")
