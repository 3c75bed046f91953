"""Runs in dv-processing's environment: the events of an .npz file through its background activity filter.

python dv_filter.py IN.npz OUT.npz ROUNDS: IN holds t_us, x, y, p, size, window_us; OUT gets the events kept and the seconds.
"""

import sys
import time
from datetime import timedelta

import dv_processing as dv
import numpy as np


def main() -> None:
    source, target, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    given = dict(np.load(source))
    store = dv.EventStore()
    for event in zip(*(given[key].tolist() for key in ("t_us", "x", "y", "p")), strict=True):
        store.push_back(event[0], event[1], event[2], bool(event[3]))
    times_s = []
    for _ in range(rounds + 1):  # the first warms up
        begin_s = time.process_time()
        noise_filter = dv.noise.BackgroundActivityNoiseFilter(
            tuple(given["size"].tolist()), timedelta(microseconds=int(given["window_us"]))
        )
        noise_filter.accept(store)
        kept = noise_filter.generateEvents()
        times_s.append(time.process_time() - begin_s)
    place = kept.coordinates()
    np.savez(target, seconds=np.array(times_s[1:]), t_us=kept.timestamps(), x=place[:, 0], y=place[:, 1], p=kept.polarities())


if __name__ == "__main__":
    main()
