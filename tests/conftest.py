"""What all tests share: the option that rewrites golden files, and hypothesis without a stop-watch."""

import hypothesis
import pytest

# No test asserts an absolute speed: machines are loaded, and tests run side by side.
hypothesis.settings.register_profile("llmsim", deadline=None)
hypothesis.settings.load_profile("llmsim")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-golden`."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden files anew from what the renderers give; review the diff as code",
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written instead of compared."""
    return bool(request.config.getoption("--update-golden"))
