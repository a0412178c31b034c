"""Starting, watching and ending real `tandem` processes.

Every process is started on free ports with its log in a file, is waited for with a deadline and never by a blind sleep,
and is ended by its own pid.
"""

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "pocket-dictionary"
BINARY = Path(os.environ.get("TANDEM_BIN", ROOT / "build" / "release" / "tandem"))
SANITIZED = any(name in BINARY.parts for name in ("asan", "tsan"))
# Deadlines only keep a broken run from hanging; nothing here measures time.
PATIENCE = 300 if SANITIZED else 60


def golden_prompts():
    return json.loads((MODEL / "golden.json").read_text(encoding="utf-8"))["prompts"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clean_environment():
    """This process's environment without TANDEM_*, which the binary reads as flags."""
    return {key: value for key, value in os.environ.items() if not key.startswith("TANDEM_")}


def read_metric(url, name):
    """Samples of one metric family of a process: list of (labels, value)."""
    text = requests.get(f"{url}/metrics", timeout=10).text
    samples = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)) for labels, value in samples]


def run_tandem(*args, env=None):
    """Runs a command to its end: CompletedProcess with text output."""
    return subprocess.run([str(BINARY), *map(str, args)], env={**clean_environment(), **(env or {})}, timeout=PATIENCE,
                          capture_output=True, text=True, errors="replace", check=False)


class TandemProcess:
    """A long-running `tandem` command. Use as a context manager; leaving it ends the process."""

    def __init__(self, log, *args):
        self.log = Path(log)
        with self.log.open("wb") as out:
            self.process = subprocess.Popen([str(BINARY), *map(str, args)], env=clean_environment(),
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def log_text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_until(self, predicate, what, patience=PATIENCE):
        """Returns the first true value of predicate(). Fails when the process ends or the deadline passes before."""
        deadline = time.monotonic() + patience
        while True:
            value = predicate()
            if value:
                return value
            ended = self._exit_status(within=0.02)
            if ended is not None:
                raise AssertionError(f"process ended with {ended} before {what}:\n{self.log_text()[-4000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what} within {patience} s:\n{self.log_text()[-4000:]}")

    def wait(self):
        """The exit status of a process that is expected to end."""
        return self.process.wait(timeout=PATIENCE)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        if self.process.poll() is None:
            self.terminate()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def children(self):
        """Pids of living child processes, for `serve` its expert workers."""
        pids = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                pids += [int(pid) for pid in (task / "children").read_text().split()]
            except (FileNotFoundError, ProcessLookupError):
                continue  # the thread ended meanwhile
        return sorted(pids)

    def _exit_status(self, within):
        try:
            return self.process.wait(timeout=within)
        except subprocess.TimeoutExpired:
            return None


class Service(TandemProcess):
    """A process with the HTTP API: `serve` or `router`. Ready when the constructor returns, unless wait=False."""

    def __init__(self, log, command, *args, wait=True):
        self.port = free_port()
        self.grpc_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(log, command, *args, "--port", self.port, "--grpc-port", self.grpc_port)
        if wait:
            try:
                self.wait_until(self.healthy, "readiness")
            except BaseException:
                self.stop()
                raise

    def healthy(self):
        try:
            return requests.get(f"{self.url}/health", timeout=10).status_code == 200
        except requests.ConnectionError:
            return False

    def post(self, path, body, stream=False):
        return requests.post(self.url + path, json=body, stream=stream, timeout=PATIENCE)

    def chat(self, messages, **fields):
        """The message content of one chat completion; greedy unless fields say otherwise."""
        body = {"messages": messages, "temperature": 0, "max_tokens": 200, **fields}
        response = self.post("/v1/chat/completions", body)
        assert response.status_code == 200, response.text
        return response.json()["choices"][0]["message"]["content"]

    def ask(self, question, **fields):
        return self.chat([{"role": "user", "content": question}], **fields)

    def stream(self, question, **fields):
        """The `data:` events of a streamed chat completion, as parsed JSON; "[DONE]" comes as None."""
        body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "stream": True, **fields}
        response = self.post("/v1/chat/completions", body, stream=True)
        assert response.status_code == 200, response.text
        for line in response.iter_lines():
            if line.startswith(b"data: "):
                data = line[len(b"data: "):]
                yield None if data == b"[DONE]" else json.loads(data)

    def metric(self, name):
        return read_metric(self.url, name)


def serve(log, *args, workers=2, model=MODEL, wait=True):
    return Service(log, "serve", model, "--expert-workers", workers, *args, wait=wait)
