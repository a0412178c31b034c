"""schemathesis: requests made up from the server's own OpenAPI document, valid ones and wrong ones, and every answer
held against the document."""

import os

import hypothesis
import pytest
import requests

schemathesis = pytest.importorskip("schemathesis")
from schemathesis import checks  # noqa: E402  pylint: disable=wrong-import-position

EXAMPLES = int(os.environ.get("TANDEM_OPENAPI_EXAMPLES", "60"))  # for each operation
SETTINGS = hypothesis.settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, print_blob=False,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck))
CHECKS = [checks.not_a_server_error, checks.load_all_checks] and None
LONGEST_ANSWER = 4  # tokens


@pytest.fixture(scope="session")
def openapi(url):
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


schema = schemathesis.pytest.from_fixture("openapi")


def shorten(body):
    """Answers as long as the context would only take time: what a request leaves open, or sets high, is set low."""
    if not isinstance(body, dict):
        return
    for field in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        asked = body.get(field)
        if isinstance(asked, int) and not isinstance(asked, bool) and asked > LONGEST_ANSWER:
            body[field] = LONGEST_ANSWER
    if body.get("max_tokens") is None and ("messages" in body or "prompt" in body):
        body["max_tokens"] = LONGEST_ANSWER
    if body.get("max_output_tokens") is None and "input" in body:
        body["max_output_tokens"] = LONGEST_ANSWER


@schema.parametrize()
@SETTINGS
def test_every_answer_is_as_documented(case):
    shorten(case.body)
    response = case.call(timeout=120)
    case.validate_response(response)


def test_the_document_names_the_server_version(url):
    document = requests.get(f"{url}/openapi.json", timeout=30).json()
    version = requests.get(f"{url}/version", timeout=30).json()["version"]
    assert document["info"]["version"] == version
