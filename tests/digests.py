"""One digest of what each example of a source or operator gives out, as JSON. `python -m tests.digests` prints them."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

from pipeline.packet import Packet
from tests import contract_sources, examples
from tests.contract import run
from tests.packets import content, divisions


def digests() -> dict[str, str]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, example in enumerate(examples.OPERATORS):
            case = examples.operator_case(example, Path(folder))
            found[f"{example.options['type']} {number}"] = digest(run(case.make(), next(divisions(case.episode))))
        for number, source in enumerate(examples.SOURCES):
            if contract_sources.check_source_runs_are_equal in source.excluded:
                continue
            found[f"{source.options['type']} {number}"] = digest(examples.source_case(source, Path(folder)).read())
    return found


def digest(packets: list[Packet]) -> str:
    return hashlib.sha256(repr([content(packet) for packet in packets]).encode()).hexdigest()


if __name__ == "__main__":
    print(json.dumps(digests()))
