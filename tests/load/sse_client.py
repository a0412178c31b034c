"""A small asyncio HTTP client for streamed completions: hundreds of them in one thread, every byte accounted for."""

import asyncio
import dataclasses
import json
import time


class ProtocolError(Exception):
    """The server broke HTTP, or the connection broke."""


@dataclasses.dataclass
class Answer:
    """What one request got. Times are those of time.monotonic()."""

    status: int = 0
    headers: dict = dataclasses.field(default_factory=dict)  # names in lower case
    body: str = ""  # when it was no event stream
    text: str = ""
    token_ids: list = dataclasses.field(default_factory=list)  # where the server sends them
    logprobs: list = dataclasses.field(default_factory=list)  # where the request asks for them
    finish_reason: str | None = None
    usage: dict | None = None
    done: bool = False  # "[DONE]" came
    error: str = ""  # an error inside the stream
    sent: float = 0
    first_token: float = 0

    def result(self):
        """What must be the same whenever the same request is made."""
        usage = self.usage or {}
        return (self.text, self.finish_reason, usage.get("prompt_tokens"), usage.get("completion_tokens"),
                self.token_ids, self.logprobs)

    def complaint(self):
        """Why this is no complete answer; empty when it is one."""
        if self.status != 200:
            return f"status {self.status}: {self.body[:200]}"
        if self.error:
            return f"error in the stream: {self.error}"
        if not self.done or self.finish_reason is None or self.usage is None:
            return f"the stream ended early after {self.text[-40:]!r}"
        return ""


class Connection:
    """One keep-alive connection. Answers come one at a time."""

    def __init__(self, port):
        self._port = port
        self._reader = self._writer = None

    async def stream(self, path, body, abandon_after=None):
        """Posts `body`, which asks for a stream with usage. After `abandon_after` pieces the connection is closed and
        None is returned."""
        try:
            return await self._stream(path, body, abandon_after)
        except (OSError, EOFError, ValueError) as error:
            await self.close()
            raise ProtocolError(f"{type(error).__name__}: {error}") from error

    async def close(self):
        if self._writer is not None:
            self._writer.close()
            self._reader = self._writer = None

    async def _stream(self, path, body, abandon_after):
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        data = json.dumps(body).encode()
        self._writer.write(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nContent-Type: application/json\r\n"
                           f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        answer = Answer(sent=time.monotonic())
        await self._read_head(answer)
        if answer.headers.get("transfer-encoding") != "chunked":
            answer.body = (await self._reader.readexactly(int(answer.headers["content-length"]))).decode()
        else:
            pieces = 0
            async for event in self._events():
                pieces += take_event(answer, event)
                if abandon_after is not None and pieces >= abandon_after:
                    await self.close()
                    return None
        if answer.headers.get("connection") == "close":
            await self.close()
        return answer

    async def _read_head(self, answer):
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        answer.status = int(head[0].split()[1])
        for line in head[1:-2]:
            name, value = line.split(":", 1)
            answer.headers[name.lower()] = value.strip()

    async def _events(self):
        """The data of every server-sent event of a chunked body."""
        pending = b""
        while True:
            size = int(await self._reader.readline(), 16)
            chunk = await self._reader.readexactly(size + 2)
            if size == 0:
                break
            pending += chunk[:-2]
            *events, pending = pending.split(b"\n\n")
            for event in events:
                if event.startswith(b"data: "):
                    yield event[len(b"data: "):]
        if pending:
            raise ValueError(f"the stream ends inside an event: {pending[:80]!r}")


def take_event(answer, data):
    """Adds one event to `answer`. True when it brought a piece of the text."""
    if data == b"[DONE]":
        answer.done = True
        return False
    if answer.done:
        raise ValueError("an event after [DONE]")
    event = json.loads(data)
    if event.get("error"):
        answer.error = str(event["error"].get("message"))
        return False
    answer.usage = event.get("usage") or answer.usage
    brought = False
    for choice in event["choices"]:
        if answer.finish_reason is not None:
            raise ValueError("a piece of text after finish_reason")
        text = choice.get("text") or choice.get("delta", {}).get("content") or ""
        answer.text += text
        answer.token_ids += choice.get("token_ids") or []
        answer.logprobs += (choice.get("logprobs") or {}).get("content") or []
        answer.finish_reason = choice.get("finish_reason")
        brought = brought or bool(text)
    if brought and answer.first_token == 0:
        answer.first_token = time.monotonic()
    return brought
