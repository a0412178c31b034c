"""A mix of requests to the bundled model: short and long, greedy and sampled, one turn and several."""

import random

from tandem_process import MODEL

PHRASES = ("What is a {}?", "Define: {}", "What does '{}' mean?", "{}?", "Give me a synonym for {}.")
STREAM = {"stream": True, "stream_options": {"include_usage": True}, "return_token_ids": True}


def words():
    return (MODEL / "questions.txt").read_text(encoding="utf-8").split()


def _messages(rng, vocabulary):
    messages = []
    if rng.random() < 0.2:
        messages.append({"role": "system", "content": "You explain words."})
    for _ in range(rng.choice((0, 0, 0, 1, 3))):  # earlier turns
        messages.append({"role": "user", "content": rng.choice(PHRASES).format(rng.choice(vocabulary))})
        messages.append({"role": "assistant", "content": f"It has to do with {rng.choice(vocabulary)}."})
    messages.append({"role": "user", "content": rng.choice(PHRASES).format(rng.choice(vocabulary))})
    return messages


def _sampling(rng):
    if rng.random() < 0.5:
        return {"temperature": 0}
    return {"temperature": rng.choice((0.5, 1.0, 1.5)), "top_p": rng.choice((0.8, 0.95, 1.0)),
            "top_k": rng.choice((0, 5, 40)), "seed": rng.randrange(1 << 31)}


def _length(rng):
    if rng.random() < 0.25:
        return {"max_tokens": rng.randrange(1, 150), "ignore_eos": True}
    return {"max_tokens": rng.choice((3, 30, 200))}


def make_requests(count, seed, with_logprobs):
    """`count` requests as (path, body). with_logprobs: some ask for logprobs, which are then compared too."""
    rng = random.Random(seed)
    vocabulary = words()
    requests = []
    for _ in range(count):
        body = {**_sampling(rng), **_length(rng), **STREAM}
        if rng.random() < 0.8:
            body["messages"] = _messages(rng, vocabulary)
            if with_logprobs and rng.random() < 0.3:
                body.update(logprobs=True, top_logprobs=rng.choice((0, 3)))
            requests.append(("/v1/chat/completions", body))
        else:
            body["prompt"] = rng.choice((f"A {rng.choice(vocabulary)} is",
                                         [rng.randrange(10, 4000) for _ in range(rng.randrange(1, 200))]))
            requests.append(("/v1/completions", body))
    return requests
