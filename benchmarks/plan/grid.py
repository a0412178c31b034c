"""The layouts on which `tandem plan` is held against measurements: calibration points, seen points and blind ones.

Layouts are decoding steps: `batch` sequences with `context` tokens each in the cache. Router and workers run on separate
cores; several workers take turns on one core; `latency_ms` is injected, one way; `micro_batches` is the cut.

The calibration (`tandem bench hardware`) measures batches at contexts 16 and 384, with 0, 1 and 3 workers, without a
network and at 1 ms, whole and, at context 16, cut in two. Every layout below differs from all of those in its context at
least.
"""


def layout(workers, batch, context, latency_ms, micro_batches):
    return {
        "workers": workers,
        "batch": batch,
        "context": context,
        "latency_ms": latency_ms,
        "micro_batches": micro_batches,
    }


def seen():
    """Layouts that the model was developed on."""
    layouts = []
    for workers in (0, 1, 2, 3):
        for batch in (1, 4, 16, 48):
            layouts.append(layout(workers, batch, 128, 0, 1))
    for batch in (8, 32, 64):
        layouts.append(layout(1, batch, 256, 0, 1))
    for workers in (1, 2):
        for latency_ms in (0.5, 2, 5):
            for batch, cut in ((8, 1), (8, 2), (32, 1), (32, 2), (32, 4)):
                layouts.append(layout(workers, batch, 64, latency_ms, cut))
    for batch, cut in ((16, 2), (32, 2), (32, 3), (64, 2), (64, 4)):
        layouts.append(layout(1, batch, 64, 0, cut))
    return layouts + [
        layout(0, 10, 200, 0, 1),
        layout(0, 40, 64, 0, 1),
        layout(1, 3, 320, 0, 1),
        layout(1, 20, 200, 0, 1),
        layout(1, 56, 100, 0, 1),
        layout(2, 12, 160, 0, 1),
        layout(3, 24, 96, 0, 1),
        layout(1, 24, 96, 0.75, 1),
        layout(1, 24, 96, 0.75, 3),
        layout(1, 40, 128, 3, 2),
        layout(2, 20, 128, 1.5, 2),
        layout(3, 16, 64, 1, 1),
        layout(3, 48, 64, 3, 4),
        layout(1, 64, 32, 10, 8),
    ]


def blind():
    """Layouts that were predicted, and their predictions committed, before any of them was ever measured."""
    return [
        layout(0, 6, 256, 0, 1),
        layout(0, 28, 100, 0, 1),
        layout(0, 60, 40, 0, 1),
        layout(1, 5, 200, 0, 1),
        layout(1, 12, 40, 0, 1),
        layout(1, 44, 90, 0, 1),
        layout(1, 40, 100, 0, 2),
        layout(1, 48, 50, 0, 3),
        layout(2, 7, 220, 0, 1),
        layout(2, 40, 80, 0, 2),
        layout(3, 36, 130, 0, 1),
        layout(1, 14, 120, 1.2, 2),
        layout(2, 30, 80, 0.4, 3),
        layout(3, 20, 150, 4, 2),
        layout(1, 50, 60, 7, 5),
    ]
