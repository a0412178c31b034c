"""The bundled model's answers, over HTTP, whatever the number of expert workers and whatever else is running."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tandem_process import golden_prompts, serve

GOLDEN = golden_prompts()


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_every_golden_answer_is_given_with_any_number_of_workers(workers, tmp_path):
    with serve(tmp_path / "log", workers=workers) as server:
        assert len(server.children()) == workers
        for prompt in GOLDEN:
            assert server.chat(prompt["messages"]) == prompt["greedy_text"]


def test_two_worker_processes_do_the_expert_work(tmp_path):
    with serve(tmp_path / "log", workers=2) as server:
        def tokens_by_worker():
            totals = {}
            for labels, value in server.metric("tandem_moe_worker_tokens_total"):
                totals[labels["worker"]] = totals.get(labels["worker"], 0) + value
            return totals

        before = tokens_by_worker()
        assert server.ask("What is a piano?") == GOLDEN[0]["greedy_text"]
        after = tokens_by_worker()
        assert len(after) == 2
        assert all(after[worker] > before.get(worker, 0) for worker in after)


def requests_of_a_mixed_load():
    """Greedy and sampled requests, short and long, as (messages, fields)."""
    greedy = [(prompt["messages"], {}) for prompt in GOLDEN]
    sampled = [(prompt["messages"], {"temperature": 1.0, "top_p": 0.95, "seed": 7 + i, "max_tokens": 20 + 10 * i,
                                     "ignore_eos": i % 2 == 0}) for i, prompt in enumerate(GOLDEN)]
    return greedy + sampled


def test_concurrent_requests_get_the_answers_they_get_alone(service):
    load = requests_of_a_mixed_load()
    alone = [service.chat(messages, **fields) for messages, fields in load]
    with ThreadPoolExecutor(len(load)) as pool:
        together = list(pool.map(lambda request: service.chat(request[0], **request[1]), load))
    assert together == alone


def test_streamed_deltas_add_up_to_the_whole_answer(service):
    events = list(service.stream("What is a piano?", stream_options={"include_usage": True}))
    assert events[-1] is None
    assert events[-2]["choices"] == []
    assert events[-2]["usage"]["completion_tokens"] > 0
    deltas = [event["choices"][0] for event in events[:-2]]
    assert "".join(choice["delta"].get("content") or "" for choice in deltas) == GOLDEN[0]["greedy_text"]
    assert deltas[-1]["finish_reason"] == "stop"
