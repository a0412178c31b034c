#!/usr/bin/env python3
"""Holds `tandem plan` against measurements of this machine, over the layouts of grid.py.

    validate.py calibrate                 measures the machine's profile (tandem bench hardware)
    validate.py predict blind             writes the predictions of the blind layouts, to be committed
    validate.py measure seen|blind        measures layouts (tandem bench layouts), each next to a reference layout
    validate.py remeasure                 measures again what was measured while the machine was another one
    validate.py report                    compares, writes the report and the plot

The machine is shared and its speed drifts by tens of percent within minutes. Therefore each layout is measured next to a
reference layout of its kind (experts inside, whole, cut), in turns; how much slower the reference ran than at the time of the calibration is the `--slowdown` that
the layout is predicted with. It scales all computing and no latency, and it is taken from the reference alone, never from
the layout itself. A layout whose reference ran more than a fifth faster or slower than at the calibration is measured again
(`remeasure`): such a machine is not the calibrated one, and waiting and computing change by different factors. Predictions of the blind layouts are committed for a series of slowdowns before they are measured; the
report reads between them.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import grid

ROOT = Path(__file__).resolve().parents[2]
TANDEM = os.environ.get("TANDEM_BIN", str(ROOT / "build/release/tandem"))
SLOWDOWNS = [0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5]
DECODE_STEPS = 24
LARGEST_DRIFT = 1.2

# Set by main.
MODEL = RESULTS = PROFILE = None


def run(*arguments):
    return subprocess.run([TANDEM, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout


def predict(layout, slowdown):
    """Seconds of a decoding step: every prompt is in the prefix cache but for its last token."""
    batch = layout["batch"]
    workers = layout["workers"]
    arguments = ["plan", MODEL, "--hardware", PROFILE, "--network", "local", "--latency", layout["latency_ms"] * 1e3,
                 "--workers", workers, "--max-sequences", batch, "--micro-batches", layout["micro_batches"],
                 "--concurrency", batch, "--prompt-tokens", layout["context"], "--output-tokens", DECODE_STEPS,
                 "--prefix-cache", 1, "--requests", batch, "--cold", "--slowdown", slowdown, "--json"]
    if workers > 0:
        arguments += ["--worker-devices", 1]
    return json.loads(run(*arguments))["itl_ms"]["p50"] / 1e3


def layouts_of(kind):
    return {"seen": grid.seen, "blind": grid.blind}[kind]()


def read(name):
    return json.loads((RESULTS / name).read_text())


def write(name, value):
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / name).write_text(json.dumps(value, indent=1) + "\n")


def calibrate(arguments):
    RESULTS.mkdir(parents=True, exist_ok=True)
    run("bench", "hardware", MODEL, "--out", PROFILE, "--rounds", arguments.rounds,
        "--name", "one core of the machine of the validation", "--no-links")


def predict_blind(_):
    table = [{**layout, "step_ms": {str(s): predict(layout, s) * 1e3 for s in SLOWDOWNS}} for layout in grid.blind()]
    write("blind_predictions.json", {"model": Path(MODEL).name, "by_slowdown": table})


def measure_layouts(layouts, rounds):
    wanted = RESULTS / "grid.tmp.json"
    RESULTS.mkdir(parents=True, exist_ok=True)
    wanted.write_text(json.dumps(layouts))
    try:
        return json.loads(run("bench", "layouts", MODEL, "--grid", wanted, "--rounds", rounds))
    finally:
        wanted.unlink()


def measure(arguments):
    layouts = layouts_of(arguments.kind)
    part = [layout for i, layout in enumerate(layouts) if i % arguments.parts == arguments.part]
    write(f"measured_{arguments.kind}_{arguments.part}_of_{arguments.parts}.json", measure_layouts(part, arguments.rounds))


def slowdown_of(layout):
    """How much slower its reference ran than at the calibration."""
    kind = layout.get("reference", "whole")
    name = "reference_step" if kind == "whole" else f"{kind}_reference_step"
    return layout["reference_step_ms"] / 1e3 / json.loads(PROFILE.read_text())["measured"][0][name]


def remeasure(arguments):
    for file in sorted(RESULTS.glob("measured_*.json")):
        result = read(file.name)
        layouts = result["layouts"]
        others = [i for i, layout in enumerate(layouts) if not 1 / LARGEST_DRIFT <= slowdown_of(layout) <= LARGEST_DRIFT]
        if not others:
            continue
        names = grid.layout(0, 0, 0, 0, 0).keys()
        wanted = [{name: layouts[i][name] for name in names} for i in others]
        for i, again in zip(others, measure_layouts(wanted, arguments.rounds)["layouts"]):
            layouts[i] = again | {"measured_again": layouts[i].get("measured_again", 0) + 1}
        write(file.name, result)


def measured_of(kind):
    files = sorted(RESULTS.glob(f"measured_{kind}_*.json"))
    return [layout for file in files for layout in json.loads(file.read_text())["layouts"]]


def key(layout):
    return tuple(layout[name] for name in ("workers", "batch", "context", "latency_ms", "micro_batches"))


def between(by_slowdown, slowdown):
    """What the committed table says at a slowdown, by straight lines."""
    points = sorted((float(s), ms / 1e3) for s, ms in by_slowdown.items())
    for (low, at_low), (high, at_high) in zip(points, points[1:]):
        if low <= slowdown <= high:
            return at_low + (at_high - at_low) * (slowdown - low) / (high - low)
    raise SystemExit(f"slowdown {slowdown:.2f} lies outside the committed predictions")


def compare():
    committed = {key(entry): entry["step_ms"] for entry in read("blind_predictions.json")["by_slowdown"]} \
        if (RESULTS / "blind_predictions.json").exists() else {}
    rows = []
    for kind in ("seen", "blind"):
        for layout in measured_of(kind):
            slowdown = slowdown_of(layout)
            predicted = between(committed[key(layout)], slowdown) if kind == "blind" else predict(layout, slowdown)
            measured = layout["step_ms"] / 1e3
            as_calibrated = between(committed[key(layout)], 1.0) if kind == "blind" else predict(layout, 1.0)
            rows.append({**dict(zip(("workers", "batch", "context", "latency_ms", "micro_batches"), key(layout))),
                         "blind": kind == "blind", "slowdown": round(slowdown, 3), "measured_ms": round(measured * 1e3, 3),
                         "predicted_ms": round(predicted * 1e3, 3), "error": round(predicted / measured - 1, 4),
                         "uncorrected_error": round(as_calibrated / measured - 1, 4)})
    return rows


def summary(rows):
    errors = [abs(row["error"]) for row in rows]
    return {"layouts": len(rows), "median": round(statistics.median(errors), 4), "max": round(max(errors), 4),
            "p90": round(sorted(errors)[int(0.9 * (len(errors) - 1))], 4)}


def report(arguments):
    rows = compare()
    blind = [row for row in rows if row["blind"]]
    # Latency is known beforehand: layouts without it are the harder half.
    result = {"model": Path(MODEL).name, "all": summary(rows),
              "measured_again": sum("measured_again" in layout for kind in ("seen", "blind") for layout in measured_of(kind)),
              "without_network": summary([row for row in rows if row["latency_ms"] == 0]),
              "without_drift_correction": summary([{"error": row["uncorrected_error"]} for row in rows]), "layouts": rows}
    if blind:
        result["blind"] = summary(blind)
        plot(rows, arguments.plot)
    write("validation.json", result)
    for row in rows:
        flag = "blind" if row["blind"] else ""
        print(f"{row['workers']:3d} {row['batch']:4d} {row['context']:5d} {row['latency_ms']:6.2f} {row['micro_batches']:3d}"
              f" x{row['slowdown']:.2f} {row['measured_ms']:9.3f} {row['predicted_ms']:9.3f} {100 * row['error']:7.1f} % {flag}")
    for name in ("all", "blind", "without_network", "without_drift_correction"):
        print(name, result.get(name))


def plot(rows, path):
    """Predicted over measured with a band of 15 %, both axes logarithmic; hand-written SVG."""
    import math
    size, margin = 460, 60
    low = min(min(r["measured_ms"], r["predicted_ms"]) for r in rows) * 0.8
    high = max(max(r["measured_ms"], r["predicted_ms"]) for r in rows) * 1.25

    def at(value):
        return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low)) * size

    def x(value):
        return margin + at(value)

    def y(value):
        return margin / 2 + size - at(value)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size + 2 * margin} {size + 2 * margin}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{size + 2 * margin}" height="{size + 2 * margin}" fill="white"/>',
           f'<rect x="{margin}" y="{margin / 2}" width="{size}" height="{size}" fill="none" stroke="#888"/>']
    band = [(low, low / 1.15), (high, high / 1.15), (high, high * 1.15), (low, low * 1.15)]
    points = " ".join(f"{x(a):.1f},{min(max(y(b), margin / 2), margin / 2 + size):.1f}" for a, b in band)
    out.append(f'<polygon points="{points}" fill="#e8f0e8"/>')
    out.append(f'<line x1="{x(low)}" y1="{y(low)}" x2="{x(high)}" y2="{y(high)}" stroke="#888"/>')
    for tick in (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200):
        if low <= tick <= high:
            out.append(f'<text x="{x(tick):.1f}" y="{margin / 2 + size + 18}" text-anchor="middle">{tick:g}</text>')
            out.append(f'<text x="{margin - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for row in sorted(rows, key=lambda r: r["blind"]):
        colour = "#c03030" if row["blind"] else "#3060a0"
        out.append(f'<circle cx="{x(row["measured_ms"]):.1f}" cy="{y(row["predicted_ms"]):.1f}" r="3.5" fill="{colour}" '
                   'fill-opacity="0.7"/>')
    out.append(f'<text x="{margin + size / 2}" y="{margin / 2 + size + 40}" text-anchor="middle">measured step, ms</text>')
    out.append(f'<text x="16" y="{margin / 2 + size / 2}" text-anchor="middle" '
               f'transform="rotate(-90 16 {margin / 2 + size / 2})">predicted step, ms</text>')
    out.append(f'<text x="{margin + 12}" y="{margin / 2 + 20}" fill="#3060a0">seen</text>')
    out.append(f'<text x="{margin + 12}" y="{margin / 2 + 38}" fill="#c03030">blind: predicted before measured</text>')
    out.append(f'<text x="{margin + 12}" y="{margin / 2 + 56}" fill="#608060">band: within 15 %</text></svg>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(out) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "models/pocket-dictionary"))
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results/plan", help="folder of the JSON files")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs/images/plan_validation.svg")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("calibrate")
    command.add_argument("--rounds", type=int, default=7)
    command.set_defaults(run=calibrate)
    command = commands.add_parser("predict")
    command.add_argument("kind", choices=["blind"])
    command.set_defaults(run=predict_blind)
    command = commands.add_parser("measure")
    command.add_argument("kind", choices=["seen", "blind"])
    command.add_argument("--rounds", type=int, default=7)
    command.add_argument("--part", type=int, default=0, help="of --parts, for short runs on a busy machine")
    command.add_argument("--parts", type=int, default=1)
    command.set_defaults(run=measure)
    command = commands.add_parser("remeasure")
    command.add_argument("--rounds", type=int, default=7)
    command.set_defaults(run=remeasure)
    command = commands.add_parser("report")
    command.set_defaults(run=report)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends what is being run as well
    global MODEL, RESULTS, PROFILE
    MODEL, RESULTS, PROFILE = arguments.model, arguments.results, arguments.results / "calibration.json"
    arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
