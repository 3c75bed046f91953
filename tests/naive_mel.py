"""The slow plain truth of mel_spikes: a whole sound at once, one band and one frequency at a time."""

from __future__ import annotations

import cmath
import math


def mel_spikes(
    sound: list[float], rate_hz: float, channels: int, window: int, hop: int, low_hz: float, high_hz: float, delta_db: float,
    floor_db: float,
) -> list[tuple[int, int]]:  # fmt: skip
    """(t us, unit), unit being channels + band for up."""
    low, high = (2595 * math.log10(1 + f / 700) for f in (low_hz, high_hz))
    edges = [700 * (10 ** ((low + (high - low) * k / (channels + 1)) / 2595) - 1) for k in range(channels + 2)]
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * i / window) for i in range(window)]
    sent, out = [floor_db] * channels, []
    for end in range(hop, len(sound) + 1, hop):
        seen = [0.0] * max(0, window - end) + sound[max(0, end - window) : end]
        power = []
        for k in range(window // 2 + 1):
            x = sum(s * h * cmath.exp(-2j * math.pi * k * i / window) for i, (s, h) in enumerate(zip(seen, hann, strict=True)))
            power.append(abs(x) ** 2 / (sum(hann) / 2) ** 2)
        spikes = []
        for band in range(channels):
            total = 0.0
            for k, p in enumerate(power):
                f = k * rate_hz / window
                rise = (f - edges[band]) / (edges[band + 1] - edges[band])
                fall = (edges[band + 2] - f) / (edges[band + 2] - edges[band + 1])
                total += max(0.0, min(rise, fall)) * p
            change = 10 * math.log10(max(10 ** (floor_db / 10), total)) - sent[band]
            steps = math.floor(abs(change) / delta_db)
            sent[band] += math.copysign(steps * delta_db, change)
            spikes += [channels + band if change > 0 else band] * steps
        out += [(round((end - 1) * 1e6 / rate_hz), unit) for unit in sorted(spikes)]
    return out
