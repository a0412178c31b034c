"""--wire-dtype: rows to experts and back in another dtype, which is the model's and not the transport's."""

from tandem_process import MODEL, Service, TandemProcess, free_port, run_tandem, serve

QUESTIONS = ["What is a piano?", "What is a river?", "What is the moon?"]


def answers(server):
    """What is compared: texts and log probabilities of every token."""
    replies = [server.post("/v1/chat/completions", {
        "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 40, "logprobs": True,
        "top_logprobs": 3}).json()["choices"][0] for question in QUESTIONS]
    return [(reply["message"]["content"], reply["logprobs"]) for reply in replies]


def traffic(server):
    return {name: server.metric(f"tandem_{name}_bytes_total")[0][1] for name in ("dispatch", "combine")}


def run(log, *flags, workers=0):
    with serve(log, "--no-prefix-caching", *flags, workers=workers) as server:
        return answers(server), traffic(server)


def test_fp8_answers_do_not_depend_on_workers_or_transport(tmp_path):
    arrangements = {"inline": (0, "grpc"), "one": (1, "grpc"), "grpc": (2, "grpc"), "shm": (2, "shm")}
    got = {name: run(tmp_path / name, "--wire-dtype", "fp8", "--expert-transport", transport, workers=workers)[0]
           for name, (workers, transport) in arrangements.items()}
    assert all(reply == got["inline"] for reply in got.values())


def test_fp8_halves_what_is_dispatched(tmp_path):
    usual, usual_bytes = run(tmp_path / "bf16")
    same, same_bytes = run(tmp_path / "same", "--wire-dtype", "bfloat16")
    assert (same, same_bytes) == (usual, usual_bytes), "auto is bfloat16 for this checkpoint"
    rounded, rounded_bytes = run(tmp_path / "fp8", "--wire-dtype", "fp8")
    assert rounded != usual, "the rows were not rounded"
    # Inside the router every row is dispatched once a layer, and comes back as bfloat16 from each of its 4 experts.
    hidden_size, top_k = 256, 4
    assert usual_bytes["dispatch"] / usual_bytes["combine"] == 2 * hidden_size / (top_k * 2 * hidden_size)
    assert rounded_bytes["dispatch"] / rounded_bytes["combine"] == (hidden_size + 4) / (top_k * 2 * hidden_size)


def test_another_wire_dtype_is_refused_naming_both(tmp_path):
    address = f"127.0.0.1:{free_port()}"
    with TandemProcess(tmp_path / "worker", "expert-worker", MODEL, "--listen", address, "--metrics-listen",
                       "127.0.0.1:0"):
        with Service(tmp_path / "router", "router", MODEL, "--workers", address, "--wire-dtype", "fp8", wait=False) as router:
            assert router.wait() == 1
            for word in ("wire_dtype", "float8_e4m3", "bfloat16"):
                assert word in router.log_text()


def test_unknown_wire_dtypes_are_a_usage_error():
    assert run_tandem("generate", MODEL, "-p", "hi", "--wire-dtype", "int3").returncode == 2
