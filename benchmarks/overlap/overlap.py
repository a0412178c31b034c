#!/usr/bin/env python3
"""How much communication the pipeline hides, and what choosing the cut by itself costs.

  overlap.py [--latency 0,0.1,0.5,2,10] [--batch 1,8,64,256] [--out FILE]

Runs `tandem bench overlap` on the balanced-small shape (tools/make_synthetic.py, whose packages it needs): router and experts
have one half of the CPUs each, frames get a one-way latency. Ideal is the bound of a perfect pipeline with the costs that were
measured over the network; hideable is what such a pipeline hides with the costs without a network, for the cut in question and
(most) for the best of all cuts; hidden is what the step really hid. The cells of a load are judged by the cut that the scheduler
chose; the fixed cuts are there to choose from. FILE keeps the cells that are not measured anew.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
for folder in ("tests/e2e", "benchmarks/serve"):
    sys.path.insert(0, str(REPOSITORY / folder))
from continuous_batching import processor  # noqa: E402
from tandem_process import BINARY, clean_environment  # noqa: E402


def measure(model, latency, batch, options):
    steps = options.steps if batch > 8 else 5 * options.steps  # short ones
    run = subprocess.run(
        [BINARY, "bench", "overlap", model, "--json", "--latency", latency, "--batch", str(batch), "--micro-batches",
         "1,2,3,4,8,0", "--context", str(options.context), "--steps", str(steps), "--rounds", str(options.rounds)],
        env=clean_environment(), stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)


def kept_cells(path, latencies, batches):
    """Cells of an earlier run that this one does not measure."""
    if not path or not path.exists():
        return []
    measured = {(float(latency), batch) for latency in latencies for batch in batches}
    return [cell for cell in json.loads(path.read_text())["cells"] if (cell["latency_ms"], cell["batch"]) not in measured]


def summarise(cells):
    groups = {}
    for cell in cells:
        groups.setdefault((cell["latency_ms"], cell["batch"]), {})[cell["micro_batches"]] = cell
    rows = []
    for (latency, batch), cuts in groups.items():
        auto = cuts.get("auto")
        fixed = [cell for m, cell in cuts.items() if m != "auto"]
        best = max(fixed, key=lambda cell: cell["gain"])
        row = {"latency_ms": latency, "batch": batch, "best_micro_batches": best["micro_batches"],
               "auto_micro_batches": round(auto["micro_batches_mean"], 2),
               "auto_over_best": round(auto["gain"] / best["gain"], 3),
               "auto_over_one": round(auto["gain"], 3),
               "auto_step_over_ideal": round(auto["step_over_ideal"], 3)}
        if auto.get("hideable", 0) > 0.01:
            row["auto_hidden"] = round(auto["hidden"], 3)
            row["auto_hideable"] = round(auto["hideable"], 3)
            row["most_hideable"] = round(max(cell["hideable"] for cell in cuts.values()), 3)
        for m in ("2", "3"):
            if m in cuts:
                row[f"gain_{m}"] = round(cuts[m]["gain"], 3)
        row["fixed_cuts_worst_step_over_ideal"] = round(max(cell["step_over_ideal"] for cell in fixed), 3)
        hiding = [cell["hidden"] / cell["hideable"] for cell in fixed if cell.get("hideable", 0) > 0.01]
        if hiding:
            row["fixed_cuts_least_hidden_of_hideable"] = round(min(hiding), 3)
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", default="0,0.1,0.25,0.5,1,2,5,10", help="one way, in milliseconds")
    parser.add_argument("--batch", default="1,4,16,64,256")
    parser.add_argument("--context", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", help="another model than balanced-small")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or folder
        if not options.model:
            subprocess.run([sys.executable, REPOSITORY / "tools/make_synthetic.py", "balanced-small", folder], check=True)
        report = {"benchmark": "overlap of router and experts over a simulated network", "processor": processor()}
        latencies = options.latency.split(",")
        batches = [int(batch) for batch in options.batch.split(",")]
        cells = kept_cells(options.out, latencies, batches)
        for latency in latencies:
            for batch in batches:
                result = measure(model, latency, batch, options)
                report |= {key: result[key] for key in ("router_cpus", "worker_cpus", "context", "rounds")}
                cells += [{key: round(value, 4) if isinstance(value, float) else value for key, value in cell.items()}
                          for cell in result["results"]]
                print(json.dumps(summarise(result["results"])[0]), file=sys.stderr, flush=True)
    cells.sort(key=lambda cell: (cell["latency_ms"], cell["batch"]))
    report["summary"] = summarise(cells)
    report["cells"] = cells
    print(json.dumps(report["summary"], indent=2))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
