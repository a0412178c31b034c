"""What happens when processes die, ports are taken, or the service is told to stop."""

import os
import re
import signal
import socket

import pytest
from tandem_process import MODEL, TandemProcess, free_port, golden_prompts, run_tandem, serve

PIANO = golden_prompts()[0]["greedy_text"]
LONG = {"max_tokens": 1900, "ignore_eos": True}


def first_content(events):
    """Reads a stream up to its first text."""
    for event in events:
        if event and event["choices"] and event["choices"][0]["delta"].get("content"):
            return
    raise AssertionError("the stream ended before any text came")


def process_is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("transport", ["grpc", "shm"])
def test_a_killed_worker_fails_its_requests_clearly_and_is_restarted(tmp_path, transport):
    with serve(tmp_path / "log", "--expert-transport", transport, workers=2) as server:
        before = server.children()
        stream = server.stream("What is a piano?", **LONG)
        first_content(stream)
        os.kill(before[0], signal.SIGKILL)

        errors = [event["error"] for event in stream if event and "error" in event]
        assert len(errors) == 1, "the request that was running must end with one error event"
        assert errors[0]["message"]
        assert errors[0]["type"] in ("server_error", "service_unavailable")

        def answer():
            response = server.post("/v1/chat/completions",
                                   {"messages": [{"role": "user", "content": "What is a piano?"}], "temperature": 0})
            if response.status_code == 200:
                return response.json()["choices"][0]["message"]["content"]
            assert response.status_code in (500, 503), response.text
            assert response.json()["error"]["message"]
            return None

        assert server.wait_until(answer, "answer after the restart") == PIANO
        assert server.healthy()
        after = server.children()
        assert len(after) == 2 and before[0] not in after and before[1] in after
        ready = re.findall(r"worker (worker-\d) ready with \d+ experts over (\w+)", server.log_text())
        assert len(ready) == 3, "two workers at the start and the one that came back"
        assert {used for _, used in ready} == {transport}


def test_sigterm_lets_running_requests_finish_and_exits_0(tmp_path):
    with serve(tmp_path / "log", workers=2) as server:
        workers = server.children()
        stream = server.stream("What is a piano?", max_tokens=300, ignore_eos=True)
        first_content(stream)
        server.terminate()
        events = list(stream)
        assert events[-1] is None
        assert events[-2]["choices"][0]["finish_reason"] == "length"
        assert server.wait() == 0, server.log_text()
        assert all(process_is_gone(pid) for pid in workers)


def test_sigterm_while_idle_exits_0(tmp_path):
    with serve(tmp_path / "log", workers=1) as server:
        server.terminate()
        assert server.wait() == 0, server.log_text()


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("flags", [("--port", "--grpc-port"), ("--grpc-port", "--port")])
def test_a_port_in_use_is_reported(flags, taken_port):
    done = run_tandem("serve", MODEL, "--expert-workers", 0, flags[0], taken_port, flags[1], free_port())
    assert done.returncode == 1
    assert str(taken_port) in done.stderr and "in use" in done.stderr.lower()


def test_a_worker_port_in_use_is_reported(taken_port):
    done = run_tandem("expert-worker", MODEL, "--listen", f"127.0.0.1:{taken_port}")
    assert done.returncode == 1
    assert str(taken_port) in done.stderr


def test_a_worker_exits_0_on_sigterm(tmp_path):
    port = free_port()

    def listening():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with TandemProcess(tmp_path / "log", "expert-worker", MODEL, "--listen", f"127.0.0.1:{port}",
                       "--metrics-listen", "127.0.0.1:0") as worker:
        worker.wait_until(listening, "listening port")
        worker.terminate()
        assert worker.wait() == 0, worker.log_text()
