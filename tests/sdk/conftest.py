from collections.abc import Iterator

import pytest
from openai import AsyncOpenAI, OpenAI
from support.servers import Server, serve


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Four workers that answer at once."""
    with serve(tmp_path_factory.mktemp("sdk"), "--workers", "4", "--latency", "instant") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.openai, api_key="any", max_retries=0) as opened:
        yield opened


@pytest.fixture
async def async_client(server: Server) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=server.openai, api_key="any", max_retries=0)
