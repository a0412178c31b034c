#!/usr/bin/env python3
"""Draws a stretch of a trace (--trace, POST /debug/trace) as SVG, for documents.

    tools/draw_trace.py trace.json picture.svg --step 3 --milliseconds 6

One band for each part of the system; frames that overlap on the wire lie in several lines of a band. Colours are phases,
shades are stages, numbers in boxes are "micro-batch.layer". Of the standard library alone.
"""

import argparse
import json
from collections import defaultdict
from html import escape
from pathlib import Path

WIDTH = 1180
LEFT = 124
LINE = 20
GAP = 12
TOP = 58

# Fill and text colour by phase, strongest shade first.
SHADES = {
    "decode": [("#1f5fb4", "#fff"), ("#7fb0e6", "#10305c"), ("#c9def5", "#10305c")],
    "prefill": [("#c8571b", "#fff"), ("#f0a77a", "#5c2408"), ("#fadcc8", "#5c2408")],
    "mixed": [("#6b3fa0", "#fff"), ("#b597dc", "#2f1450"), ("#e2d6f2", "#2f1450")],
    "": [("#5c6670", "#fff"), ("#aab2ba", "#222"), ("#eceff1", "#666")],
}
SHADE_OF = {"attention": 0, "experts": 0, "LM head": 0, "MLP": 1, "shared expert": 1, "dispatch": 1, "combine": 1,
            "sampling": 1, "plan": 1, "embedding": 1, "queue": 2, "wait": 2}
WIRE_SHADE = {"dispatch": 1, "combine": 2}


def read_spans(path):
    """(steps, spans): dicts with row, line, name, phase, args, begin and end in milliseconds."""
    trace = json.loads(Path(path).read_text(encoding="utf-8"))
    rows = {event["tid"]: event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"}
    spans = []
    for event in trace["traceEvents"]:
        if event["ph"] != "X":
            continue
        row, _, line = rows[event["tid"]].partition(" (")
        spans.append({"row": row, "line": int(line[:-1] or 1) - 1 if line else 0, "phase": event["cat"],
                      "name": event["name"].removeprefix(event["cat"]).strip(), "args": event["args"],
                      "begin": event["ts"] / 1000, "end": (event["ts"] + event["dur"]) / 1000})
    steps = [span for span in spans if span["name"] == "step"]
    return steps, [span for span in spans if span["name"] != "step"]


def bands_of(spans):
    """Rows in order of drawing, with their number of lines: the router, then each worker's wire and the worker."""
    lines = defaultdict(int)
    for span in spans:
        lines[span["row"]] = max(lines[span["row"]], span["line"] + 1)
    workers = sorted({int(row.rsplit(" ", 1)[1]) for row in lines if row.startswith("Worker ")})
    order = ["Router"] + [row for k in workers for row in (f"Wire to worker {k}", f"Worker {k}")]
    return [(row, lines[row]) for row in order if lines[row]]


def text(x, y, content, size=11, fill="#333", anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{escape(content)}</text>')


def box(span, x, width, y):
    shade = (WIRE_SHADE if span["row"].startswith("Wire") else SHADE_OF).get(span["name"], 1)
    fill, ink = SHADES.get(span["phase"], SHADES[""])[shade]
    title = f'{span["phase"]} {span["name"]} {span["args"]}, {(span["end"] - span["begin"]) * 1000:.0f} µs'.strip()
    out = [f'<rect x="{x:.1f}" y="{y}" width="{max(width, 0.4):.1f}" height="{LINE - 3}" fill="{fill}">'
           f'<title>{escape(title)}</title></rect>']
    if "micro_batch" in span["args"] and width > 21:
        label = f'{span["args"]["micro_batch"]}.{span["args"]["layer"]}'
        out.append(text(x + width / 2, y + LINE - 8, label, 9, ink, "middle"))
    return out


def legend():
    out, x = [], LEFT
    for phase, shade, label in [("decode", 0, "decode: attention, experts"), ("decode", 1, "dispatch"),
                                ("decode", 2, "combine on the wire"), ("prefill", 0, "prefill: attention, experts"),
                                ("prefill", 1, "dispatch"), ("prefill", 2, "combine on the wire"),
                                ("mixed", 0, "both"), ("", 0, "LM head"), ("", 2, "waiting")]:
        out.append(f'<rect x="{x}" y="10" width="12" height="12" fill="{SHADES[phase][shade][0]}"/>')
        out.append(text(x + 16, 20, label, 10))
        x += 30 + 5.4 * len(label)
    return out


def draw(steps, spans, begin, end):
    scale = (WIDTH - LEFT - 8) / (end - begin)
    place = lambda time: LEFT + (time - begin) * scale  # noqa: E731
    shown = [span for span in spans if span["end"] > begin and span["begin"] < end]
    bands = bands_of(shown)
    height = TOP + sum(lines * LINE + GAP for _, lines in bands) + 22
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="DejaVu Sans, Verdana, Arial, sans-serif">',
           f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>', *legend()]
    y, tops = TOP, {}
    for row, lines in bands:
        tops[row] = y
        out.append(f'<rect x="{LEFT}" y="{y - 3}" width="{WIDTH - LEFT - 8}" height="{lines * LINE + 3}" fill="#f6f7f8"/>')
        out.append(text(LEFT - 8, y + lines * LINE / 2 + 2, row, 11, anchor="end", weight="bold"))
        y += lines * LINE + GAP
    for step in steps:
        if begin <= step["begin"] < end:
            x = place(step["begin"])
            args = step["args"]
            label = f'step: {args["tokens"]} tokens, {args["prompt_tokens"]} of a prompt, m = {args["micro_batches"]}'
            out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 14}" y2="{y - GAP}" stroke="#333" stroke-dasharray="3 3"/>')
            out.append(text(x + 4, TOP - 8, label, 10))
    for span in sorted(shown, key=lambda s: s["begin"]):
        if span["row"] in tops:
            left, right = max(place(span["begin"]), LEFT), min(place(span["end"]), WIDTH - 8)
            out += box(span, left, right - left, tops[span["row"]] + span["line"] * LINE)
    for tick in range(0, int(end - begin) + 1, 1 if end - begin < 16 else 5):
        x = place(begin + tick)
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - GAP}" y2="{y - GAP + 4}" stroke="#333"/>')
        out.append(text(x, y + 6, f"{tick} ms", 10, anchor="middle" if tick else "start"))
    return "\n".join([*out, "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace")
    parser.add_argument("picture")
    parser.add_argument("--step", type=int, default=0, help="first step that is drawn; default: the first one with a prompt")
    parser.add_argument("--milliseconds", type=float, default=0, help="how much; default: two steps")
    arguments = parser.parse_args()
    steps, spans = read_spans(arguments.trace)
    mixed = [i for i, step in enumerate(steps) if step["args"]["tokens"] > step["args"]["prompt_tokens"] > 0]
    first = arguments.step or (mixed[0] if mixed else 0)
    begin = steps[first]["begin"]
    end = begin + arguments.milliseconds if arguments.milliseconds else steps[min(first + 1, len(steps) - 1)]["end"]
    Path(arguments.picture).write_text(draw(steps, spans, begin, end), encoding="utf-8")


if __name__ == "__main__":
    main()
