"""Fixtures of the end-to-end tests: real processes of the binary that TANDEM_BIN names."""

import pytest
from tandem_process import BINARY, serve


def pytest_configure(config):
    if not BINARY.exists():
        raise pytest.UsageError(f"{BINARY} does not exist; build it with scripts/build.sh")


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """The default service, two expert workers, for tests that leave it as it was."""
    with serve(tmp_path_factory.mktemp("service") / "log") as running:
        yield running
