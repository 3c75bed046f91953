"""The progress of a training run: one line an epoch, rewritten in place on a terminal."""

from __future__ import annotations

import sys
import time

import lightning as L


class Progress(L.Callback):
    """Prints epoch, losses, accuracies, firing rates and the time left to stderr."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._began, self._first = time.monotonic(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        done, total = trainer.current_epoch + 1, trainer.max_epochs or 0
        if not trainer.is_global_zero:
            return
        if not sys.stderr.isatty() and done % max(1, total // 20) and done != total:
            return
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        shown = " ".join(f"{name} {value:.4f}" for name, value in figures.items())
        left = (time.monotonic() - self._began) / (done - self._first) * (total - done)
        end = "\r" if sys.stderr.isatty() and done < total else "\n"
        print(f"epoch {done}/{total} {shown} ({left:.0f} s left)", end=end, file=sys.stderr, flush=True)
