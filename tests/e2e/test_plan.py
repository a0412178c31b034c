"""`tandem plan`: what it prints, what it refuses, and that its predictions are those that were validated."""

import json
from pathlib import Path

import pytest
from tandem_process import MODEL, run_tandem

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ROOT / "profiles/hardware"
VALIDATED = [ROOT / "benchmarks/results" / name for name in ("plan", "plan-zen2")]  # machines
MACHINE = PROFILES / "epyc-zen5-core.json"


def plan(*flags, model=MODEL, hardware=MACHINE):
    done = run_tandem("plan", model, "--hardware", hardware, *flags)
    assert done.returncode == 0, done.stderr
    return done.stdout


def deepseek(*flags):
    return plan("--dtype", "fp8", "--wire-dtype", "fp8", "--network", PROFILES / "400gbe.json", *flags,
                model=ROOT / "profiles/models/deepseek-v3", hardware=PROFILES / "h800.json")


def test_one_layout_in_full_and_in_json():
    flags = ["--workers", "2", "--concurrency", "16", "--requests", "50"]
    text = plan(*flags)
    for label in ("throughput", "TTFT", "ITL", "bottleneck", "memory"):
        assert label in text
    answer = json.loads(plan(*flags, "--json"))
    assert answer["workers"] == 2
    assert 0 < answer["itl_ms"]["p50"] <= answer["itl_ms"]["p99"]
    assert 0 < answer["utilisation"]["routers"] <= 1
    assert answer["output_tokens_per_second"] > 0


def test_the_table_of_layouts_fits_100_columns():
    text = deepseek("--routers", "4,8", "--workers", "4,16,32", "--max-sequences", "64", "--concurrency", "512",
                    "--prompt-tokens", "1000", "--output-tokens", "40", "--requests", "50")
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum("GiB too little" in line for line in lines) == 2, text  # four workers do not hold the experts
    assert sum(line.split()[:2] in (["4", "16"], ["4", "32"], ["8", "16"], ["8", "32"]) for line in lines if line) == 4


def test_prices_follow_throughput():
    answer = json.loads(deepseek("--workers", "16", "--routers", "4", "--price", "3", "--concurrency", "64",
                                 "--prompt-tokens", "500", "--output-tokens", "20", "--requests", "64", "--json"))
    assert answer["price_per_hour"] == 60
    expected = 60 / 3600 / answer["output_tokens_per_second"] * 1e6
    assert answer["price_per_million_output_tokens"] == pytest.approx(expected)


def test_search_answers_with_the_promises_kept():
    answer = json.loads(plan("--search", "--most-devices", "4", "--price", "1", "--rate", "20", "--ttft-p99", "2000",
                             "--itl-p99", "20", "--output-tokens", "16", "--requests", "40", "--json"))
    assert answer["keeps_up"]
    assert answer["itl_ms"]["p99"] <= 20 and answer["ttft_ms"]["p99"] <= 2000


def test_a_timeline_shows_routers_wire_and_workers(tmp_path):
    trace = tmp_path / "trace.json"
    plan("--workers", "1", "--micro-batches", "2", "--latency", "500", "--concurrency", "16", "--trace", trace)
    events = json.loads(trace.read_text())["traceEvents"]
    names = {event["args"]["name"]: event["tid"] for event in events if event["ph"] == "M"}
    assert set(names) == {"router 0", "expert workers", "dispatch of micro-batch 0", "dispatch of micro-batch 1",
                          "combine of micro-batch 0", "combine of micro-batch 1"}
    spans = [event for event in events if event["ph"] == "X"]
    assert {span["tid"] for span in spans} == set(names.values())
    assert {span["args"]["micro_batch"] for span in spans} == {-1, 0, 1}


@pytest.mark.parametrize("flags, code, words", [
    (["--search"], 1, "--ttft-p99"),
    (["--routers", "0"], 2, "--routers"),
    (["--rate", "1", "--concurrency", "2"], 2, "excludes"),
    (["--prompt-tokens", "5000"], 1, "context"),
    (["--network", "carrier-pigeon"], 1, "no profile"),
])
def test_what_makes_no_sense_is_refused(flags, code, words):
    done = run_tandem("plan", MODEL, "--hardware", MACHINE, *flags)
    assert done.returncode == code
    assert words in done.stderr + done.stdout


def test_profiles_with_mistakes_are_refused_by_field(tmp_path):
    profile = json.loads(MACHINE.read_text())
    del profile["memory_bandwidth"]
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(profile))
    done = run_tandem("plan", MODEL, "--hardware", broken)
    assert done.returncode == 1 and "memory_bandwidth" in done.stderr
    done = run_tandem("plan", MODEL, "--hardware", MACHINE, "--network", MACHINE)
    assert done.returncode == 1 and "does not describe a link" in done.stderr


@pytest.mark.parametrize("profile", sorted(PROFILES.glob("*.json")), ids=lambda path: path.stem)
def test_every_figure_of_a_profile_names_its_source(profile):
    def figures(entry):
        if isinstance(entry, dict) and "value" in entry:
            yield entry
        elif isinstance(entry, dict):
            for value in entry.values():
                yield from figures(value)

    description = json.loads(profile.read_text())
    for figure in figures(description):
        assert figure["source"], figure
    for name, value in description.items():
        assert name in ("kind", "name", "measured", "all_cores") or list(figures(value)), f"{name} has no source"


@pytest.mark.parametrize("results", VALIDATED, ids=lambda folder: folder.name)
def test_committed_validation_is_what_the_planner_says_today(results):
    """Some of the layouts that were measured: predictions must not drift away from what was validated."""
    layouts = json.loads((results / "validation.json").read_text())["layouts"]
    for layout in layouts[::7]:
        flags = ["--workers", layout["workers"], "--worker-devices", min(layout["workers"], 1), "--latency",
                 layout["latency_ms"] * 1e3, "--micro-batches", layout["micro_batches"], "--max-sequences",
                 layout["batch"], "--concurrency", layout["batch"], "--requests", layout["batch"], "--prompt-tokens",
                 layout["context"], "--output-tokens", 24, "--prefix-cache", 1, "--cold", "--slowdown",
                 layout["slowdown"], "--network", PROFILES / "local.json", "--json"]
        answer = json.loads(plan(*flags, hardware=results / "calibration.json"))
        assert answer["itl_ms"]["p50"] == pytest.approx(layout["predicted_ms"], rel=5e-3), layout


@pytest.mark.parametrize("results", VALIDATED, ids=lambda folder: folder.name)
def test_the_committed_validation_is_within_its_bounds(results):
    result = json.loads((results / "validation.json").read_text())
    assert result["all"]["layouts"] >= 60 and result["blind"]["layouts"] >= 10
    for part in ("all", "blind"):
        assert result[part]["median"] <= 0.05 and result[part]["max"] <= 0.15


def test_a_measured_profile_of_this_machine_plans_its_model(tmp_path):
    profile = tmp_path / "here.json"
    done = run_tandem("bench", "hardware", MODEL, "--out", profile, "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(profile.read_text())["measured"][0]["router"]) > 10
    flags = ["--workers", "1", "--concurrency", "8", "--prompt-tokens", "64", "--output-tokens", "24", "--requests", "8"]
    here = json.loads(plan(*flags, "--json", hardware=profile))
    assert here["itl_ms"]["p50"] > 0
    for transport in ("shm", "grpc-unix", "grpc-tcp"):
        link = tmp_path / f"here-{transport}.json"
        over = json.loads(plan(*flags, "--network", link, "--json", hardware=profile))
        assert over["itl_ms"]["p50"] > 0


def test_layouts_are_measured_each_next_to_the_reference_of_its_kind(tmp_path):
    grid = tmp_path / "grid.json"
    layouts = [{"workers": w, "batch": 4, "context": 8, "latency_ms": l, "micro_batches": m}
               for w, l, m in ((0, 0, 1), (2, 0, 2), (1, 1, 1))]
    grid.write_text(json.dumps(layouts))
    done = run_tandem("bench", "layouts", MODEL, "--grid", grid, "--rounds", "1", "--steps", "4")
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)["layouts"]
    assert [entry["workers"] for entry in measured] == [0, 2, 1]
    assert [entry["micro_batches_mean"] for entry in measured] == [1, 2, 1]
    assert measured[2]["step_ms"] > 8  # four layers with experts, a millisecond there and back
    assert [entry["reference"] for entry in measured] == ["inside", "cut", "whole"]
    for entry in measured:
        parts = sum(entry[f"{part}_ms"] for part in ("router", "shared", "wait", "head", "rest"))
        assert parts == pytest.approx(entry["step_ms"], rel=0.05)
        assert entry["reference_step_ms"] > 0
    grid.write_text('[{"workers": -1}]')
    done = run_tandem("bench", "layouts", MODEL, "--grid", grid)
    assert done.returncode == 1 and "workers" in done.stderr
