"""Memory of a server and its workers, sampled while it is under load."""

import asyncio
import time
from pathlib import Path

SERIES_POINTS = 30


def anonymous_bytes(pid):
    """Memory that a process has allocated; mapped files, which the kernel may drop at any time, are left out."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} has no RssAnon")


def mean(values):
    return sum(values) / len(values)


def slope(times, values):
    """Of the straight line through the points, by least squares."""
    mid_time, mid_value = mean(times), mean(values)
    spread = sum((t - mid_time) ** 2 for t in times)
    return sum((t - mid_time) * (v - mid_value) for t, v in zip(times, values)) / spread if spread else 0.0


class MemoryLog:
    """Samples of every process over time."""

    def __init__(self, pids_by_name):
        self._pids = pids_by_name
        self._start = time.monotonic()
        self._times = []
        self._sizes = {name: [] for name in pids_by_name}

    def sample(self):
        self._times.append(time.monotonic() - self._start)
        for name, pid in self._pids.items():
            self._sizes[name].append(anonymous_bytes(pid))

    async def run(self, interval):
        """Until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(interval)

    def report(self, warm_up):
        """Growth of each process, and of all, after `warm_up` seconds."""
        first = next((i for i, t in enumerate(self._times) if t >= warm_up), len(self._times) - 1)
        total = [sum(sizes) for sizes in zip(*self._sizes.values())]
        return {"warm_up_s": warm_up, "all": self._growth(total, first),
                **{name: self._growth(sizes, first) for name, sizes in self._sizes.items()}}

    def _growth(self, sizes, first):
        """The slope of a straight line, and the last quarter against the first; with the points of a curve."""
        times, after = self._times[first:], sizes[first:]
        quarter = max(1, len(after) // 4)
        before, late = mean(after[:quarter]), mean(after[-quarter:])
        step = max(1, len(sizes) // SERIES_POINTS)
        return {"samples": len(after), "slope_bytes_per_minute": round(slope(times, after) * 60),
                "first_quarter_bytes": round(before), "last_quarter_bytes": round(late), "growth": round(late / before - 1, 5),
                "series_kib": [size // 1024 for size in sizes[::step]]}
