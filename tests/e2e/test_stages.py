"""Pipeline stages as processes: `serve --pipeline-stages`, stages by hand, and what becomes of requests when one is lost."""

import json
import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from tandem_process import MODEL, Service, TandemProcess, free_port, golden_prompts, read_metric, run_tandem, serve

GOLDEN = golden_prompts()


def stage_pids(server):
    """Pids of the children that are pipeline stages, by stage."""
    stages = {}
    for pid in server.children():
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        if "--stage" in arguments:
            stages[int(arguments[arguments.index("--stage") + 1].split("/")[0])] = pid
    return stages


@pytest.mark.parametrize("policy", ["one-way", "dualpipe"])
@pytest.mark.parametrize("workers", [0, 2])
def test_serve_with_stages_gives_the_golden_answers(tmp_path, workers, policy):
    with serve(tmp_path / "log", "--pipeline-stages", 2, "--stage-policy", policy, workers=workers) as server:
        assert list(stage_pids(server)) == [1]
        for prompt in GOLDEN:
            assert server.chat(prompt["messages"]) == prompt["greedy_text"]
        assert read_metric(server.url, "tandem_pipeline_stages_up")[0][1] == 1
        busy = [value for labels, value in read_metric(server.url, "tandem_pipeline_stage_seconds_total")
                if labels["state"] == "busy"]
        assert len(busy) == 1 and busy[0] > 0


def test_a_killed_stage_fails_its_requests_with_503_and_is_restarted(tmp_path):
    with serve(tmp_path / "log", "--pipeline-stages", 3, workers=1) as server:
        before = stage_pids(server)
        assert sorted(before) == [1, 2]
        stream = server.stream("What is a piano?", max_tokens=1900, ignore_eos=True)
        next(event for event in stream if event and event["choices"][0]["delta"].get("content"))
        os.kill(before[2], signal.SIGKILL)
        errors = [event["error"] for event in stream if event and "error" in event]
        assert len(errors) == 1, "the request that was running must end with one error event"
        assert errors[0]["code"] == 503 or errors[0]["type"] in ("server_error", "service_unavailable"), errors
        assert "stage" in errors[0]["message"]

        def answer():
            response = server.post("/v1/chat/completions",
                                   {"messages": [{"role": "user", "content": "What is a piano?"}], "temperature": 0})
            if response.status_code == 200:
                return response.json()["choices"][0]["message"]["content"]
            assert response.status_code == 503, response.text
            assert "stage" in response.json()["error"]["message"]
            return None

        assert server.wait_until(answer, "answer after the restart") == GOLDEN[0]["greedy_text"]
        after = stage_pids(server)
        assert sorted(after) == [1, 2] and after[1] == before[1] and after[2] != before[2]


def test_a_stage_that_hangs_fails_requests_within_the_stage_timeout(tmp_path):
    body = {"messages": [{"role": "user", "content": "What is a piano?"}], "temperature": 0}
    with serve(tmp_path / "log", "--pipeline-stages", 2, "--stage-timeout", 1, workers=0) as server:
        stage = stage_pids(server)[1]
        os.kill(stage, signal.SIGSTOP)
        try:
            response = server.post("/v1/chat/completions", body)
            assert response.status_code == 503, response.text
            assert "stage" in response.json()["error"]["message"]
        finally:
            os.kill(stage, signal.SIGCONT)
        server.wait_until(server.healthy, "health after the stage goes on")
        assert server.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"] == \
            GOLDEN[0]["greedy_text"]


def test_sigterm_ends_all_stages_and_exits_0(tmp_path):
    with serve(tmp_path / "log", "--pipeline-stages", 2, workers=1) as server:
        children = server.children()
        assert len(children) == 2
        server.terminate()
        assert server.wait() == 0, server.log_text()
    for pid in children:
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_stages_by_hand(tmp_path):
    with ExitStack() as stack:
        worker = f"127.0.0.1:{free_port()}"
        stack.enter_context(TandemProcess(tmp_path / "worker", "expert-worker", MODEL, "--listen", worker,
                                          "--metrics-listen", "127.0.0.1:0"))
        address = f"127.0.0.1:{free_port()}"
        # The head comes first and waits.
        head = stack.enter_context(Service(tmp_path / "head", "router", MODEL, "--workers", worker, "--stage", "0/2",
                                           "--next-stage", address, wait=False))
        stack.enter_context(TandemProcess(tmp_path / "stage", "router", MODEL, "--workers", worker, "--stage", "1/2",
                                          "--listen", address))
        head.wait_until(head.healthy, "readiness")
        assert head.ask("What is a piano?") == GOLDEN[0]["greedy_text"]


@pytest.mark.parametrize("flags, difference", [
    (("--stage", "1/3", "--next-stage", "127.0.0.1:1"), "num_stages"),
    (("--stage", "1/2", "--stage-policy", "dualpipe"), "stage policy"),
    (("--stage", "1/2", "--kv-cache-dtype", "int8"), "kv_cache_dtype"),
    (("--stage", "1/2", "--max-batch-tokens", "8"), "max-batch-tokens"),
])
def test_a_stage_that_differs_is_refused_naming_the_difference(tmp_path, flags, difference):
    address = f"127.0.0.1:{free_port()}"
    with TandemProcess(tmp_path / "stage", "router", MODEL, *flags, "--listen", address) as stage:
        stage.wait_until(lambda: "listens on" in stage.log_text(), "listening stage")
        done = run_tandem("router", MODEL, "--stage", "0/2", "--next-stage", address, "--port", free_port(),
                          "--grpc-port", free_port())
    assert done.returncode == 1
    assert difference in done.stderr, done.stderr
    assert "differs" in done.stderr or "allows only" in done.stderr, done.stderr


@pytest.mark.parametrize("flags", [("--stage", "2/2"), ("--stage", "one/2"), ("--stage", "0/2"),
                                   ("--stage", "1/2", "--next-stage", "127.0.0.1:1"),
                                   ("--stage", "0/9", "--next-stage", "127.0.0.1:1")])
def test_stage_flags_that_make_no_sense_are_refused(flags):
    done = run_tandem("router", MODEL, *flags)
    assert done.returncode == 1
    assert "stage" in done.stderr


def test_inspect_says_what_each_stage_holds():
    def described(*flags):
        done = run_tandem("inspect", MODEL, "--json", *flags)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    whole = described()
    for stages in (2, 5):
        one_way = described("--pipeline-stages", stages)["pipeline_stages"]
        assert [stage["stage"] for stage in one_way] == list(range(stages))
        assert sum(stage["kv_bytes_per_token"] for stage in one_way) == whole["kv_bytes_per_token"]
        assert sum(stage["weight_bytes"] for stage in one_way) == whole["router_weight_bytes"]
        both = described("--pipeline-stages", stages, "--stage-policy", "dualpipe")["pipeline_stages"]
        assert [stage["kv_bytes_per_token"] for stage in both] == [
            max(one_way[i]["kv_bytes_per_token"], one_way[-1 - i]["kv_bytes_per_token"]) for i in range(stages)]
        assert both[0]["layers"] == one_way[0]["layers"] + one_way[-1]["layers"]
