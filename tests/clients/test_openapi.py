"""schemathesis: requests made up from the server's own OpenAPI document, valid ones and wrong ones, and every answer
held against the document."""

import os

import hypothesis
import pytest
import requests

schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = int(os.environ.get("TANDEM_OPENAPI_EXAMPLES", "60"))  # for each operation
SETTINGS = hypothesis.settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, print_blob=False,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck))
LONGEST_ANSWER = 4  # tokens
MOST_TOKENS = 2**31 - 1


from schemathesis.checks import not_a_server_error, positive_data_acceptance  # noqa: E402  pylint: disable=wrong-import-position

if "TANDEM_URL" not in os.environ:
    pytest.skip("TANDEM_URL is not set: run through tests/e2e/with_server.py", allow_module_level=True)
schema = schemathesis.openapi.from_url(f"{os.environ['TANDEM_URL']}/openapi.json")


# The fields that bound an answer, by path.
LIMITS = {"/v1/chat/completions": ("max_tokens", "max_completion_tokens"),
          "/v1/completions": ("max_tokens", "max_completion_tokens"),
          "/v1/responses": ("max_output_tokens",)}


def shorten(path, body):
    """Answers as long as the context would only take time: what a request leaves open, or sets high, is set low."""
    if not isinstance(body, dict) or path not in LIMITS:
        return
    for field in LIMITS[path]:
        asked = body.get(field)
        if isinstance(asked, int) and not isinstance(asked, bool) and LONGEST_ANSWER < asked <= MOST_TOKENS:
            body[field] = LONGEST_ANSWER
    body.setdefault(LIMITS[path][0], LONGEST_ANSWER)
    if body[LIMITS[path][0]] is None:
        body[LIMITS[path][0]] = LONGEST_ANSWER


def hurry(case):
    """Traces that wait for steps which do not come only take time."""
    if case.operation.path != "/debug/trace":
        return
    query = dict(case.query or {})
    if str(query.get("timeout", 30)).isascii() and str(query.get("timeout", 30)).isdigit():
        case.query = {**query, "timeout": min(int(query.get("timeout", 1)), 1)}


@schema.parametrize()
@SETTINGS
def test_every_answer_is_as_documented(case):
    shorten(case.operation.path, case.body)
    hurry(case)
    response = case.call(timeout=120)
    # A document cannot say everything that makes a request wrong: fields that exclude each other, or the context's length.
    excluded = [positive_data_acceptance]
    if case.operation.path == "/debug/trace":
        excluded.append(not_a_server_error)  # nothing runs that could be traced: 503
    case.validate_response(response, excluded_checks=excluded)


def test_the_document_names_the_server_version(url):
    document = requests.get(f"{url}/openapi.json", timeout=30).json()
    version = requests.get(f"{url}/version", timeout=30).json()["version"]
    assert document["info"]["version"] == version
