"""Coverage-guided damage for the decoders, in plain Python: atheris cannot see into compiled kernels.

    pip install --target build/atheris atheris==3.0.0
    PYTHONPATH=build/atheris NUMBA_DISABLE_JIT=1 python -m tests.fuzz_atheris evt3 -max_total_time=1800

The name is one of tests/fuzz_recordings.py, or what several begin with (`aedat4`, `es`): their written recordings are the seeds.
What follows goes to libFuzzer. It ends at the first file that is neither read as it should be nor refused by one clear line,
and at one that takes longer than `-timeout`.
Not a part of the tests: atheris is for Linux, and wants long runs.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sources"]):
    from tests.fuzz_recordings import memory_folder, originals, survives, survives_samples

from sources.images import ImagesConfig


def main(name: str, options: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir=memory_folder()) as made:
        folder = Path(made)
        corpus, path = folder / "corpus", folder / "recording.aedat"
        corpus.mkdir()
        seeds = {key: content for key, content in originals(folder).items() if key.startswith(name)}
        if not seeds:
            raise SystemExit(f"no recording is called {name}...: take one of {', '.join(originals(folder))}")
        for key, content in seeds.items():
            (corpus / key.replace(" ", "_")).write_bytes(content)

        def test(data: bytes) -> None:
            path.write_bytes(data or b"\0")
            if name.startswith("idx"):
                survives_samples(ImagesConfig(path=path))
            else:
                survives(path)

        usual = [f"-max_len={2 * max(map(len, seeds.values()))}", "-timeout=20", f"-artifact_prefix={tempfile.gettempdir()}/"]
        atheris.Setup([sys.argv[0], *usual, *options, str(corpus)], test)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
