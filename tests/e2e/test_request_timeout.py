"""--request-timeout: a request that takes too long ends with 504, or with an error event in a stream."""

import json

import pytest
from tandem_process import serve

# More tokens than any machine makes of them in a second.
ENDLESS = {"messages": [{"role": "user", "content": "Hi"}], "n": 128, "max_tokens": 2000, "ignore_eos": True}


@pytest.fixture(scope="module")
def hurried(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("hurried") / "log", "--request-timeout", 1, workers=0) as server:
        yield server


def test_whole_answers_end_with_504(hurried):
    answer = hurried.post("/v1/chat/completions", ENDLESS)
    assert answer.status_code == 504, answer.text
    assert answer.json()["error"]["type"] == "timeout_error"
    assert answer.headers["x-should-retry"] == "false"
    assert hurried.ask("What is a piano?").startswith("A piano")


def test_streams_end_with_an_error_event(hurried):
    answer = hurried.post("/v1/chat/completions", {**ENDLESS, "stream": True}, stream=True)
    events = [line[6:] for line in answer.iter_lines() if line.startswith(b"data: ")]
    assert events[-1] == b"[DONE]"
    assert json.loads(events[-2])["error"]["code"] == "timeout"
