"""Speaks with tokenizer_tool (the protocol is described in tokenizer_tool.cc)."""

import struct
import subprocess


class ToolError(Exception):
    pass


class TokenizerTool:
    def __init__(self, binary, model_dir):
        self._process = subprocess.Popen([binary, model_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self):
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        self._process.wait()
        self._process.stdout.close()

    def _read(self, size):
        data = self._process.stdout.read(size)
        if len(data) != size:
            raise ToolError(f"tokenizer_tool ended early (exit code {self._process.wait()})")
        return data

    def call(self, command, body):
        try:
            self._process.stdin.write(command.encode() + struct.pack("<I", len(body)) + body)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ToolError(f"tokenizer_tool ended early (exit code {self._process.wait()})") from None
        (size,) = struct.unpack("<I", self._read(4))
        if size == 0xFFFFFFFF:
            (size,) = struct.unpack("<I", self._read(4))
            raise ToolError(self._read(size).decode())
        return self._read(size)

    def _ids(self, command, body):
        data = self.call(command, body)
        return list(struct.unpack(f"<{len(data) // 4}i", data))

    def encode(self, text, add_special_tokens=True):
        return self._ids("E" if add_special_tokens else "e", text.encode())

    def encode_user(self, text):
        return self._ids("u", text.encode())

    def encode_spans(self, spans):
        body = b"".join(struct.pack("<BI", special, len(raw)) + raw
                        for raw, special in ((text.encode(), special) for text, special in spans))
        return self._ids("p", body)

    def decode(self, ids, skip_special_tokens):
        return self.call("d" if skip_special_tokens else "D", struct.pack(f"<{len(ids)}i", *ids)).decode()

    def decode_stepwise(self, ids, skip_special_tokens):
        return self.call("i" if skip_special_tokens else "I", struct.pack(f"<{len(ids)}i", *ids)).decode()

    def token_bytes(self, token_id):
        return self.call("B", struct.pack("<i", token_id))
