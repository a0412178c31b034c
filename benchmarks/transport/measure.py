#!/usr/bin/env python3
"""Runs the transport benchmarks beside their references and writes the ratios.

  measure.py BUILD_DIR [--repetitions 5] [--out DIRECTORY]

Writes transport_shm.json and transport_grpc.json into DIRECTORY (default: benchmarks/results). Reference and transport
run interleaved in one program; figures are medians over the repetitions. Nothing else should run meanwhile: both sides
of a connection need a core of their own.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "benchmarks" / "serve"))
from continuous_batching import processor  # noqa: E402


def run(program, options):
    """Medians of every benchmark: {name: {argument: fields}}."""
    done = subprocess.run(
        [program, "--benchmark_format=json", f"--benchmark_repetitions={options.repetitions}",
         "--benchmark_min_time=0.2", "--benchmark_enable_random_interleaving=true",
         "--benchmark_report_aggregates_only=true"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    medians = {}
    for entry in json.loads(done.stdout)["benchmarks"]:
        if entry["aggregate_name"] == "median":
            name, argument = entry["run_name"].split("/")[:2]
            medians.setdefault(name, {})[int(argument)] = entry
    return medians


def round_trips(medians):
    for size, bare in sorted(medians["BareRingRoundTrip"].items()):
        shm = medians["ShmRoundTrip"][size]
        link = medians["ShmLinkRoundTrip"][size]
        yield {"bytes_each_way": size, "bare_ring_p50_us": round(bare["p50_us"], 3),
               "link_p50_us": round(link["p50_us"], 3), "link_to_bare": round(link["p50_us"] / bare["p50_us"], 2),
               "shm_p50_us": round(shm["p50_us"], 3), "shm_p99_us": round(shm["p99_us"], 3),
               "shm_to_bare": round(shm["p50_us"] / bare["p50_us"], 2)}


def rates(medians, reference, measured):
    for size, base in sorted(medians[reference].items()):
        rate = medians[measured][size]["bytes_per_second"]
        yield {"bytes": size, "reference_GB/s": round(base["bytes_per_second"] / 1e9, 2), "GB/s": round(rate / 1e9, 2),
               "share": round(rate / base["bytes_per_second"], 3)}


def write(path, options, fields):
    commit = subprocess.run(["git", "-C", REPOSITORY, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                            check=False)
    report = {"processor": processor(), "commit": commit.stdout.strip(), "repetitions": options.repetitions, **fields}
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results")
    options = parser.parse_args()
    programs = options.build / "benchmarks" / "transport"
    shm = run(programs / "transport_shm_benchmark", options)
    write(options.out / "transport_shm.json", options,
          {"round_trip_against_a_bare_two_thread_ring": list(round_trips(shm)),
           "one_way_against_memcpy": list(rates(shm, "Memcpy", "ShmOneWay"))})
    grpc = run(programs / "transport_grpc_benchmark", options)
    write(options.out / "transport_grpc.json", options,
          {"one_way_over_loopback_against_a_bare_grpc_stream":
               list(rates(grpc, "BareGrpcStream", "GrpcChannelStream"))})


if __name__ == "__main__":
    main()
