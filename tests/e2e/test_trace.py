"""Traces of real runs: what they say must be a possible history of the engine's steps."""

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest
from tandem_process import MODEL, run_tandem, serve

CONFIG = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
LAYERS = list(range(CONFIG["num_hidden_layers"]))
MOE_LAYERS = LAYERS[CONFIG["first_k_dense_replace"]:]


class Span:
    """A complete event, in nanoseconds."""

    def __init__(self, event, row):
        self.row = row
        self.phase = event["cat"]
        self.name = event["name"].removeprefix(f"{self.phase} ")
        self.begin = round(event["ts"] * 1000)
        self.end = self.begin + round(event["dur"] * 1000)
        self.args = event["args"]

    def inside(self, other):
        return other.begin <= self.begin and self.end <= other.end

    def __repr__(self):
        return f"{self.row}: {self.phase} {self.name} {self.args} [{self.begin}, {self.end}]"


def spans_of(trace):
    rows = {event["tid"]: event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"}
    return [Span(event, rows[event["tid"]]) for event in trace["traceEvents"] if event["ph"] == "X"]


def check_rows_nest(spans):
    rows = defaultdict(list)
    for span in spans:
        rows[span.row].append(span)
    for row in rows.values():
        open_spans = []
        for span in sorted(row, key=lambda s: (s.begin, -s.end)):
            while open_spans and open_spans[-1].end <= span.begin:
                open_spans.pop()
            assert not open_spans or span.inside(open_spans[-1]), (open_spans[-1], span)
            open_spans.append(span)


def check_step(step, spans, workers):
    """One step visits every layer once with every micro-batch, and each dispatch comes back before its combine."""
    stages = defaultdict(list)
    for span in spans:
        if "micro_batch" in span.args:
            row = span.row.split(" (")[0]
            stages[span.args["micro_batch"], row, span.name].append(span)
    tokens = 0
    for micro_batch in range(step.args["micro_batches"]):
        attention = stages[micro_batch, "Router", "attention"]
        assert [span.args["layer"] for span in attention] == LAYERS
        tokens += attention[0].args["tokens"]
        for name in ("dispatch", "combine"):
            assert [span.args["layer"] for span in stages[micro_batch, "Router", name]] == MOE_LAYERS
        sent = {span.args["layer"]: span for span in stages[micro_batch, "Router", "dispatch"]}
        landed = {span.args["layer"]: span for span in stages[micro_batch, "Router", "combine"]}
        asked = set()
        for worker in range(workers):
            out = {s.args["layer"]: s for s in stages[micro_batch, f"Wire to worker {worker}", "dispatch"]}
            computed = {s.args["layer"]: s for s in stages[micro_batch, f"Worker {worker}", "experts"]}
            back = {s.args["layer"]: s for s in stages[micro_batch, f"Wire to worker {worker}", "combine"]}
            assert out.keys() == computed.keys() == back.keys()
            for layer in out:
                assert sent[layer].begin <= out[layer].begin
                assert out[layer].end <= computed[layer].begin <= computed[layer].end <= back[layer].begin
                assert back[layer].end <= landed[layer].end
            asked |= out.keys()
        assert asked == set(MOE_LAYERS)
    assert tokens == step.args["tokens"]
    assert {key[0] for key, found in stages.items() if found} == set(range(step.args["micro_batches"]))


def check_trace(trace, workers=2):
    """The spans of a trace, which must be whole steps of the bundled model."""
    assert trace["otherData"]["dropped_spans"] == 0
    spans = spans_of(trace)
    check_rows_nest(spans)
    steps = [span for span in spans if span.name == "step"]
    assert len(steps) == trace["otherData"]["steps"]
    assert all(a.end <= b.begin for a, b in zip(steps, steps[1:]))
    inside = [[span for span in spans if span is not step and span.inside(step)] for step in steps]
    assert sum(map(len, inside)) == len(spans) - len(steps), "spans outside of steps"
    for step, parts in zip(steps, inside):
        check_step(step, parts, workers)
    return spans


def phases(spans):
    return {span.phase for span in spans if span.name == "attention"}


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_generate_writes_a_trace_of_its_steps(tmp_path, micro_batches):
    file = tmp_path / "trace.json"
    done = run_tandem("generate", MODEL, "-p", "What is a piano?", "--temperature", 0, "--max-tokens", 5,
                      "--expert-workers", 2, "--micro-batches", micro_batches, "--trace", file)
    assert done.returncode == 0, done.stderr
    spans = check_trace(json.loads(file.read_text(encoding="utf-8")))
    steps = [span for span in spans if span.name == "step"]
    assert phases(spans) == {"prefill", "decode"}
    assert steps[0].args["prompt_tokens"] == steps[0].args["tokens"]
    assert [step.args["tokens"] for step in steps[1:]] == [1] * 4
    assert steps[0].args["micro_batches"] == micro_batches


def test_experts_inside_the_router_are_traced_too(tmp_path):
    file = tmp_path / "trace.json"
    done = run_tandem("generate", MODEL, "-p", "What is a piano?", "--max-tokens", 3, "--trace", file)
    assert done.returncode == 0, done.stderr
    check_trace(json.loads(file.read_text(encoding="utf-8")), workers=1)


def test_a_file_that_cannot_be_written_is_said_at_once():
    done = run_tandem("generate", MODEL, "-p", "x", "--trace", "/nonexistent/trace.json")
    assert done.returncode == 1
    assert "/nonexistent/trace.json" in done.stderr


def test_serve_writes_its_trace_when_it_is_stopped(tmp_path):
    file = tmp_path / "trace.json"
    with serve(tmp_path / "log", "--trace", file) as server:
        server.ask("What is a piano?", max_tokens=4)
        # One trace at a time.
        assert server.post("/debug/trace", None).status_code == 429
        server.terminate()
        assert server.wait() == 0
    check_trace(json.loads(file.read_text(encoding="utf-8")))


def test_debug_trace_answers_with_the_next_steps(service):
    questions = ["What is a piano?", "What is a river?", "What is a clock?", "What is a bridge?"]
    with ThreadPoolExecutor(len(questions)) as pool:
        answers = [pool.submit(service.ask, question, max_tokens=300, ignore_eos=True) for question in questions]
        response = service.post("/debug/trace?steps=20", None)
        for answer in answers:
            answer.result()
    assert response.status_code == 200, response.text
    trace = response.json()
    assert trace["otherData"]["steps"] == 20
    assert "decode" in phases(check_trace(trace))


def test_debug_trace_says_when_nothing_runs(service):
    response = service.post("/debug/trace?timeout=1", None)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "no_steps"


def test_metrics_tell_what_was_hidden(service):
    service.ask("What is a piano?")
    steps = service.metric("tandem_engine_steps_total")[0][1]
    ratios = {name: service.metric(name)[0][1] for name in
              ("tandem_comm_hidden_ratio", "tandem_pipeline_bubble_ratio", "tandem_overlap_efficiency_ratio")}
    assert all(0 <= value <= 1 for name, value in ratios.items() if name != "tandem_overlap_efficiency_ratio"), ratios
    assert ratios["tandem_overlap_efficiency_ratio"] > 0
    for name in ("tandem_dispatch_bytes_total", "tandem_combine_bytes_total"):
        samples = service.metric(name)
        assert {labels["worker"] for labels, _ in samples} == {"worker-0", "worker-1"}
        assert all(value > 0 for _, value in samples)
    for name in ("tandem_dispatch_round_trip_seconds", "tandem_dispatch_wire_seconds"):
        counts = service.metric(f"{name}_count")
        assert len(counts) == 2 and all(steps <= count for _, count in counts)
        last = [value for labels, value in service.metric(f"{name}_bucket") if labels["le"] == "+Inf"]
        assert last == [count for _, count in counts]
    exposed = service.metric("tandem_comm_exposed_seconds_total")[0][1]
    assert 0 <= exposed <= service.metric("tandem_forward_seconds_total")[0][1]
