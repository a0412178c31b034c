"""Memory of a server and its workers, sampled while it is under load."""

import asyncio
import time
from pathlib import Path


def anonymous_bytes(pids):
    """Memory that the processes have allocated; mapped files, which the kernel may drop at any time, are left out."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1]) * 1024
    return total


class MemoryLog:
    """Samples of (seconds, bytes)."""

    def __init__(self, pids):
        self._pids = pids
        self._start = time.monotonic()
        self.samples = []

    def sample(self):
        self.samples.append((time.monotonic() - self._start, anonymous_bytes(self._pids)))

    async def run(self, interval):
        """Until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(interval)

    def report(self, warm_up):
        """Growth after `warm_up` seconds: the slope of a straight line, and the last quarter against the first."""
        samples = [(t, size) for t, size in self.samples if t >= warm_up]
        mean_t = sum(t for t, _ in samples) / len(samples)
        mean_size = sum(size for _, size in samples) / len(samples)
        spread = sum((t - mean_t) ** 2 for t, _ in samples)
        slope = sum((t - mean_t) * (size - mean_size) for t, size in samples) / spread if spread else 0.0
        quarter = max(1, len(samples) // 4)
        first = sum(size for _, size in samples[:quarter]) / quarter
        last = sum(size for _, size in samples[-quarter:]) / quarter
        return {"samples": len(samples), "warm_up_s": warm_up, "slope_bytes_per_minute": slope * 60,
                "first_quarter_bytes": first, "last_quarter_bytes": last, "growth": last / first - 1}
