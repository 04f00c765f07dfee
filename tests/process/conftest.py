import pytest


@pytest.fixture(autouse=True)
def _one_server_at_a_time(request: pytest.FixtureRequest) -> None:
    """Mark what starts servers."""
    request.node.add_marker("process")
