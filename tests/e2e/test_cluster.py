"""Routers and expert workers started by hand."""

import re
import shutil
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from checkpoints import change_weights
from tandem_process import MODEL, Service, TandemProcess, free_port, golden_prompts, read_metric, run_tandem

GOLDEN = golden_prompts()


def start_worker(stack, log, model=MODEL, address=None, metrics_port=0, flags=()):
    address = address or f"127.0.0.1:{free_port()}"
    stack.enter_context(TandemProcess(log, "expert-worker", model, "--listen", address,
                                      "--metrics-listen", f"127.0.0.1:{metrics_port}", *flags))
    return address


def test_two_routers_share_two_workers(tmp_path):
    with ExitStack() as stack:
        workers = ",".join(start_worker(stack, tmp_path / f"worker{i}") for i in range(2))
        routers = [stack.enter_context(Service(tmp_path / f"router{i}", "router", MODEL, "--workers", workers))
                   for i in range(2)]
        for prompt in GOLDEN:
            assert [router.chat(prompt["messages"]) for router in routers] == [prompt["greedy_text"]] * 2


def test_frames_fall_back_to_grpc_where_shared_memory_cannot_be_set_up(tmp_path):
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="tandem-")))  # socket paths must be short
        options = {"shares": [], "offers-nothing": ["--no-shared-memory"], "offer-is-gone": []}
        for name, args in options.items():
            worker = stack.enter_context(TandemProcess(
                tmp_path / name, "expert-worker", MODEL, "--listen", f"unix:{directory / name}", "--worker-id", name,
                "--metrics-listen", "127.0.0.1:0", *args))
        # The worker's handshake still names this socket; connecting to it is what fails.
        offer = directory / "offer-is-gone.shm"
        worker.wait_until(offer.exists, "offer of shared memory")
        offer.unlink()
        workers = ",".join(f"unix:{directory / name}" for name in options)
        router = stack.enter_context(Service(tmp_path / "router", "router", MODEL, "--workers", workers))
        for prompt in GOLDEN:
            assert router.chat(prompt["messages"]) == prompt["greedy_text"]
        used = {labels["worker"]: labels["transport"] for labels, _ in router.metric("tandem_worker_transport_info")}
        assert used == {"shares": "shm", "offers-nothing": "grpc", "offer-is-gone": "grpc"}
        warnings = [line for line in router.log_text().splitlines() if "no shared memory" in line]
        assert len(warnings) == 1 and "offer-is-gone" in warnings[0]


def test_the_workers_compute_exactly_the_chosen_experts(tmp_path):
    with ExitStack() as stack:
        ports = [free_port(), free_port()]
        workers = ",".join(start_worker(stack, tmp_path / f"worker{port}", metrics_port=port) for port in ports)
        router = stack.enter_context(Service(tmp_path / "router", "router", MODEL, "--workers", workers))
        for prompt in GOLDEN:
            assert router.chat(prompt["messages"]) == prompt["greedy_text"]
        pairs = [sum(value for _, value in read_metric(f"http://127.0.0.1:{port}", "tandem_worker_pairs_total"))
                 for port in ports]
    assert all(count > 0 for count in pairs)
    # Every token but the last one of an answer goes through 4 experts in each of 4 layers, once.
    tokens = sum(len(prompt["token_ids"]) + len(prompt["greedy_ids"]) - 1 for prompt in GOLDEN)
    assert sum(pairs) == tokens * 4 * 4


def test_workers_count_by_layer_and_on_request_by_expert(tmp_path):
    names = ["layer_tokens", "layer_frames", "layer_frame_experts", "layer_batches", "layer_batch_experts", "expert_tokens"]
    with ExitStack() as stack:
        ports = {flag: free_port() for flag in ("--expert-metrics", "--no-expert-metrics")}
        workers = ",".join(start_worker(stack, tmp_path / flag, metrics_port=port, flags=[flag])
                           for flag, port in ports.items())
        router = stack.enter_context(Service(tmp_path / "router", "router", MODEL, "--workers", workers))
        assert router.chat(GOLDEN[0]["messages"]) == GOLDEN[0]["greedy_text"]
        for flag, port in ports.items():
            url = f"http://127.0.0.1:{port}"
            got = {name: read_metric(url, f"tandem_worker_{name}_total") for name in names}
            totals = {name: sum(value for _, value in samples) for name, samples in got.items()}
            assert {labels["layer"] for labels, _ in got["layer_tokens"]} == {"1", "2", "3", "4"}
            assert totals["layer_tokens"] == read_metric(url, "tandem_worker_pairs_total")[0][1]
            assert totals["layer_frames"] == read_metric(url, "tandem_worker_frames_total")[0][1]
            assert totals["layer_batches"] == read_metric(url, "tandem_worker_batches_total")[0][1]
            assert totals["layer_frames"] <= totals["layer_frame_experts"] <= totals["layer_tokens"]
            assert totals["layer_batches"] <= totals["layer_batch_experts"] <= totals["layer_frame_experts"]
            assert totals["expert_tokens"] == (totals["layer_tokens"] if flag == "--expert-metrics" else 0)


def test_a_router_waits_for_workers_that_start_later(tmp_path):
    with ExitStack() as stack:
        address = f"127.0.0.1:{free_port()}"
        router = stack.enter_context(
            Service(tmp_path / "router", "router", MODEL, "--workers", address, wait=False))
        start_worker(stack, tmp_path / "worker", address=address)
        router.wait_until(router.healthy, "readiness")
        assert router.ask("What is a piano?") == GOLDEN[0]["greedy_text"]


def test_a_worker_with_another_checkpoint_is_refused_naming_both_digests(tmp_path):
    other = tmp_path / "other" / MODEL.name
    shutil.copytree(MODEL, other)
    change_weights(other / "model.safetensors")
    digests = [re.search(r'"checkpoint_digest": "([0-9a-f]+)"', run_tandem("inspect", model, "--json").stdout).group(1)
               for model in (MODEL, other)]
    assert digests[0] != digests[1]
    with ExitStack() as stack:
        address = start_worker(stack, tmp_path / "worker", model=other)
        done = run_tandem("router", MODEL, "--workers", address, "--port", free_port(), "--grpc-port", free_port())
    assert done.returncode == 1
    for digest in digests:
        assert digest[:12] in done.stderr
    assert address in done.stderr
