"""`tandem bench serve` against the default service: both loops, both protocols, what it reports and what it refuses."""

import json
import signal

import pytest
from tandem_process import MODEL, TandemProcess, read_metric, run_tandem, serve

DISTRIBUTIONS = ("ttft_ms", "tpot_ms", "itl_ms", "e2e_ms", "send_lateness_ms")


def bench(*args):
    done = run_tandem("bench", "serve", "--json", *args)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(name="target", params=["http", "grpc"])
def target_of_each_protocol(request, service):
    """Flags that name the server."""
    if request.param == "http":
        return ["--url", service.url]
    return ["--grpc", "--url", f"127.0.0.1:{service.grpc_port}"]


def test_a_closed_loop_counts_every_request_and_token(target):
    report = bench(*target, "--concurrency", 8, "--num-requests", 24, "--input-len", 16, "--output-len", 10)
    assert (report["requests"], report["completed"], report["failed"], report["errors"]) == (24, 24, 0, {})
    assert report["input_tokens"] == 24 * 16
    assert report["output_tokens"] == 24 * 10
    assert report["peak_in_flight"] == 8
    for name in DISTRIBUTIONS:
        values = report[name]
        assert 0 <= values["p50"] <= values["p90"] <= values["p99"] <= values["max"], name
    assert report["ttft_ms"]["p50"] <= report["e2e_ms"]["p50"]


def test_an_open_loop_sends_by_rate(target):
    report = bench(*target, "--request-rate", 100, "--num-requests", 20, "--input-len", "4:32", "--output-len", "2:6")
    assert report["completed"] == 20
    assert 20 * 2 <= report["output_tokens"] <= 20 * 6
    assert 20 * 4 <= report["input_tokens"] <= 20 * 32


def test_the_server_saw_the_same_tokens(service):
    def generated():
        return sum(value for _, value in read_metric(service.url, "tandem_generation_tokens_total"))

    before = generated()
    report = bench("--url", service.url, "--concurrency", 4, "--num-requests", 12, "--output-len", "3:9")
    assert generated() - before == report["output_tokens"]


def test_prompts_come_from_a_file(service, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('What is a piano?\n{"messages": [{"role": "user", "content": "apple?"}], "max_tokens": 5}\n'
                       '{"prompt": [5, 6, 7], "max_tokens": 3}\n', encoding="utf-8")
    report = bench("--url", service.url, "--concurrency", 2, "--num-requests", 6, "--prompts", prompts,
                   "--slo-ttft-ms", 1e9, "--slo-itl-ms", 1e9)
    assert report["completed"] == 6
    assert report["goodput_requests_per_second"] == pytest.approx(report["requests_per_second"])


def test_a_burst_past_the_queue_counts_refusals(tmp_path):
    with serve(tmp_path / "log", "--max-queue", 4, "--max-sequences", 2, workers=0) as server:
        for refusal, target in (("429", ["--url", server.url]),
                                ("RESOURCE_EXHAUSTED", ["--grpc", "--url", f"127.0.0.1:{server.grpc_port}"])):
            report = bench(*target, "--request-rate", "inf", "--num-requests", 200, "--output-len", 32)
            assert set(report["errors"]) == {refusal}
            assert report["completed"] + report["errors"][refusal] == 200


def test_an_interrupt_reports_what_there_is(service, tmp_path):
    def finished():
        return sum(value for _, value in service.metric("tandem_requests_finished_total"))

    before = finished()
    with TandemProcess(tmp_path / "log", "bench", "serve", "--json", "--url", service.url, "--concurrency", 4,
                       "--duration", 10000) as load:
        load.wait_until(lambda: finished() >= before + 20, "load")
        load.process.send_signal(signal.SIGINT)
        assert load.wait() == 0
        report = json.loads(load.log_text()[load.log_text().index("{"):])
    assert report["completed"] > 0
    assert report["failed"] == 0


def test_the_table_is_for_people(service):
    done = run_tandem("bench", "serve", "--url", service.url, "--concurrency", 2, "--num-requests", 4)
    assert done.returncode == 0, done.stderr
    assert "4 of 4" in done.stdout and "time to first token" in done.stdout


def test_says_when_there_is_no_server():
    done = run_tandem("bench", "serve", "--url", "http://127.0.0.1:1", "--concurrency", 2)
    assert done.returncode == 1
    assert "is the server running?" in done.stderr


@pytest.mark.parametrize("args", [
    (),
    ("--concurrency", 2, "--request-rate", 3),
    ("--request-rate", -1),
    ("--request-rate", "inf"),
    ("--concurrency", 2, "--input-len", "9:3"),
    ("--concurrency", 2, "--prompts", MODEL / "absent.txt"),
], ids=lambda args: " ".join(map(str, args)) or "nothing")
def test_usage_errors_exit_2(args):
    assert run_tandem("bench", "serve", *args).returncode == 2
