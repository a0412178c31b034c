"""curl, and bytes that no client library would send."""

import json
import shutil
import subprocess

import pytest
import requests


def curl(*args):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    return subprocess.run(["curl", "-sS", "--max-time", "120", *args], capture_output=True, check=True).stdout.decode()


def test_stream_is_server_sent_events(url):
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "stream": True}
    out = curl("-N", "-i", f"{url}/v1/chat/completions", "-d", json.dumps(body), "-H", "X-Request-Id: from-curl")
    head, _, stream = out.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200")
    assert "content-type: text/event-stream; charset=utf-8" in head.lower()
    assert "x-request-id: from-curl" in head.lower()
    events = [event for event in stream.split("\n\n") if event and not event.startswith(":")]
    assert all(event.startswith("data: ") for event in events)
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[0][6:])["id"] == "chatcmpl-from-curl"


def test_large_body_with_expect(url, tmp_path):
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"prompt": "x " * (3 << 20)}))
    answer = curl("-H", "Expect: 100-continue", "--data-binary", f"@{body}", f"{url}/v1/completions")
    assert json.loads(answer)["error"]["code"] == "context_length_exceeded"


def test_too_large_body(url, tmp_path):
    body = tmp_path / "body.json"
    body.write_bytes(b" " * (40 << 20))
    answer = curl("-w", "\n%{http_code}", "--data-binary", f"@{body}", f"{url}/v1/completions")
    assert answer.splitlines()[-1] == "413"


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"nul", b'{"messages": NaN}', b'{"prompt": "\xff"}', rb'{"prompt": "\ud800"}', b"[" * 100000,
    b'{"prompt": ' + b"[" * 1000 + b"]" * 1000 + b"}",
])
def test_hostile_bodies(url, body):
    for path in ("/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"):
        answer = requests.post(url + path, data=body, timeout=60)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "invalid_json"
        assert answer.headers["x-request-id"]


def test_tokenize_round_trip(url):
    text = "Grüße, 世界! 👩‍👩‍👧 <tag>"
    tokens = requests.post(f"{url}/tokenize", json={"prompt": text, "add_special_tokens": False}, timeout=30).json()
    assert tokens["count"] == len(tokens["tokens"])
    back = requests.post(f"{url}/detokenize", json={"tokens": tokens["tokens"]}, timeout=30).json()
    assert back["prompt"] == text


def test_operations(url):
    for path in ("/health", "/ping", "/v1/health", "/health/live", "/health/ready", "/version", "/", "/metrics",
                 "/openapi.json"):
        assert requests.get(url + path, timeout=30).status_code == 200, path
    assert requests.get(f"{url}/no/such/path", timeout=30).status_code == 404
    answer = requests.get(f"{url}/v1/completions", timeout=30)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_metrics_are_documented(url):
    requests.post(f"{url}/v1/completions", json={"prompt": "a", "max_tokens": 2}, timeout=60)
    text = requests.get(f"{url}/metrics", timeout=30).text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    helped = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP") and len(line.split()) > 3}
    assert names and names == helped
    for name in ("tandem_http_requests_total", "tandem_requests_running", "tandem_requests_waiting",
                 "tandem_requests_finished_total", "tandem_time_to_first_token_seconds",
                 "tandem_inter_token_latency_seconds", "tandem_e2e_request_latency_seconds",
                 "tandem_generation_tokens_total", "tandem_prompt_tokens_total"):
        assert name in names
