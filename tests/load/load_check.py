#!/usr/bin/env python3
"""Puts the bundled model under load and checks every answer.

    tests/load/load_check.py                 # a short run
    tests/load/load_check.py --minutes 5     # evidence

1. Every request of a random mix is answered alone first. Then hundreds of clients stream the same requests at the same
   time, and some leave in the middle. Every complete answer must be the one given alone: text, finish_reason, token
   counts, and token ids and logprobs where the server sends them. There must be no error, and memory must stay flat.
2. A burst far past the queue: only 200 and 429 with Retry-After, the admitted answers right, and their time to first
   token bounded by what the queue holds.

Exit status 0 when all of that holds. Prints one JSON object.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from request_mix import make_requests  # noqa: E402
from server_memory import MemoryLog  # noqa: E402
from sse_client import Connection, ProtocolError  # noqa: E402
from tandem_process import serve  # noqa: E402

ABANDONED = 0.03  # share of requests whose client leaves in the middle
BURST_QUEUE = 64
BURST_SEQUENCES = 16
FLAT_GROWTH = 0.03  # of allocated memory, between the first and the last quarter after warming up
FLAT_MIN_SECONDS = 60  # shorter runs are warming up all the time


def note(text):
    print(text, file=sys.stderr, flush=True)


async def answer_alone(port, requests):
    """One after the other, on one connection."""
    connection = Connection(port)
    answers = []
    for path, body in requests:
        answer = await connection.stream(path, body)
        if answer.complaint():
            raise SystemExit(f"alone, {body} got {answer.complaint()}")
        answers.append(answer)
    await connection.close()
    return answers


def percentile(values, fraction):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] if ordered else 0.0


class Clients:
    """Clients that ask until the time is over, and what went wrong for them."""

    def __init__(self, port, requests, expected):
        self._port, self._requests, self._expected = port, requests, expected
        self.answers = self.tokens = self.abandoned = 0
        self.errors, self.differences, self.ttft = [], [], []

    async def run(self, count, seconds, seed):
        deadline = time.monotonic() + seconds
        await asyncio.gather(*(self._client(random.Random(f"{seed}/{i}"), deadline) for i in range(count)))

    async def _client(self, rng, deadline):
        connection = Connection(self._port)
        while time.monotonic() < deadline:
            index = rng.randrange(len(self._requests))
            path, body = self._requests[index]
            abandon_after = rng.randrange(1, 10) if rng.random() < ABANDONED else None
            try:
                answer = await connection.stream(path, body, abandon_after)
            except ProtocolError as error:
                self.errors.append(str(error))
                continue
            if answer is None:
                self.abandoned += 1
            else:
                self._check(index, answer)
        await connection.close()

    def _check(self, index, answer):
        if answer.complaint():
            self.errors.append(answer.complaint())
            return
        self.answers += 1
        self.tokens += answer.usage["completion_tokens"]
        self.ttft.append(answer.first_token - answer.sent if answer.first_token else 0.0)
        if answer.result() != self._expected[index].result():
            self.differences.append({"request": self._requests[index][1], "alone": self._expected[index].result(),
                                     "together": answer.result()})


async def supports_logprobs(port):
    answer = await Connection(port).stream("/v1/chat/completions", {
        "messages": [{"role": "user", "content": "piano?"}], "max_tokens": 2, "logprobs": True, "stream": True,
        "stream_options": {"include_usage": True}})
    return answer.status == 200 and bool(answer.logprobs)


async def sustained_load(server, args):
    with_logprobs = await supports_logprobs(server.port)
    requests = make_requests(args.requests, args.seed, with_logprobs)
    note(f"answering {len(requests)} requests alone")
    expected = await answer_alone(server.port, requests)
    note(f"{args.clients} clients for {args.minutes} minutes")
    clients = Clients(server.port, requests, expected)
    seconds = args.minutes * 60
    workers = {f"worker {i}": pid for i, pid in enumerate(server.children())}
    memory = MemoryLog({"router": server.pid, **workers})
    sampling = asyncio.create_task(memory.run(interval=min(1.0, seconds / 20)))
    start = time.monotonic()
    await clients.run(args.clients, seconds, args.seed)
    elapsed = time.monotonic() - start
    sampling.cancel()
    memory.sample()
    report = {
        "clients": args.clients, "seconds": elapsed, "distinct_requests": len(requests), "answers": clients.answers,
        "abandoned": clients.abandoned, "errors": len(clients.errors), "different_answers": len(clients.differences),
        "answers_with_token_ids": sum(bool(a.token_ids) for a in expected),
        "answers_with_logprobs": sum(bool(a.logprobs) for a in expected),
        "output_tokens": clients.tokens, "output_tokens_per_second": clients.tokens / elapsed,
        "ttft_p50_s": percentile(clients.ttft, 0.5), "ttft_p99_s": percentile(clients.ttft, 0.99),
        "memory": memory.report(warm_up=elapsed * 0.2),
    }
    complaints = [f"error: {error}" for error in clients.errors[:5]]
    complaints += [f"different answer: {json.dumps(difference)[:2000]}" for difference in clients.differences[:3]]
    if clients.answers == 0:
        complaints.append("no answer at all")
    if elapsed >= FLAT_MIN_SECONDS and report["memory"]["all"]["growth"] > FLAT_GROWTH:
        complaints.append(f"memory grew by {report['memory']['all']['growth']:.1%}")
    return report, complaints


async def send_burst(port, requests, count):
    """`count` requests at once: (index of the request, answer, when it was complete) each, and what broke."""
    async def one(index):
        connection = Connection(port)
        answer = await connection.stream(*requests[index])
        await connection.close()
        return index, answer, time.monotonic()

    outcomes = await asyncio.gather(*(one(i % len(requests)) for i in range(count)), return_exceptions=True)
    broken = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)], broken


async def burst(server, args):
    requests = make_requests(50, args.seed + 1, with_logprobs=False)
    expected = await answer_alone(server.port, requests)
    note(f"a burst of {args.burst} requests")
    start = time.monotonic()
    outcomes, broken = await send_burst(server.port, requests, args.burst)
    elapsed = max((end for _, _, end in outcomes), default=start) - start
    admitted = [(index, answer) for index, answer, _ in outcomes if answer.status == 200]
    refused = [answer for _, answer, _ in outcomes if answer.status == 429]
    ttft = [answer.first_token - answer.sent for _, answer in admitted if answer.first_token]
    rate = len(admitted) / elapsed if elapsed else 0.0
    # The last in the queue waits for all before it.
    bound = (BURST_QUEUE + BURST_SEQUENCES) / rate if rate else 0.0
    report = {
        "requests": args.burst, "max_queue": BURST_QUEUE, "max_sequences": BURST_SEQUENCES, "seconds": elapsed,
        "admitted": len(admitted), "refused": len(refused), "admitted_per_second": rate,
        "ttft_p50_s": percentile(ttft, 0.5), "ttft_p99_s": percentile(ttft, 0.99), "queue_bound_s": bound,
    }
    complaints = [f"burst: {error!r}" for error in broken[:5]]
    complaints += [f"burst: {answer.complaint()}" for _, answer, _ in outcomes
                   if answer.status != 429 and answer.complaint()][:5]
    if any(int(answer.headers.get("retry-after", 0)) < 1 for answer in refused):
        complaints.append("burst: a 429 without Retry-After")
    if any(answer.result() != expected[index].result() for index, answer in admitted):
        complaints.append("burst: an admitted answer differs from the one given alone")
    if not admitted or not refused:
        complaints.append(f"burst: {len(admitted)} admitted, {len(refused)} refused; both should happen")
    elif report["ttft_p99_s"] > 2 * bound:  # twice: the clients share the machine
        complaints.append(f"burst: p99 of TTFT is {report['ttft_p99_s']:.2f} s, the queue holds {bound:.2f} s of work")
    return report, complaints


def run(args):
    with tempfile.TemporaryDirectory() as folder:
        with serve(Path(folder, "log"), "--log-level", "warning", workers=args.workers) as server:
            load_report, complaints = asyncio.run(sustained_load(server, args))
        with serve(Path(folder, "burst"), "--log-level", "warning", "--max-queue", BURST_QUEUE, "--max-sequences",
                   BURST_SEQUENCES, workers=args.workers) as server:
            burst_report, burst_complaints = asyncio.run(burst(server, args))
    return {"load": load_report, "burst": burst_report}, complaints + burst_complaints


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0.25, help="of sustained load")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=400, help="distinct ones in the mix")
    parser.add_argument("--burst", type=int, default=3000, help="requests at once")
    parser.add_argument("--workers", type=int, default=2, help="expert worker processes")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main():
    report, complaints = run(parse_arguments())
    print(json.dumps({**report, "complaints": complaints}, indent=2))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
