"""Passwords and tokens in a pipeline's YAML: any text may be one, and no error shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import Draft, read_draft
from sinks.mqtt import MqttConfig
from sinks.webhook import WebhookConfig
from spikeline.catalog import make_catalog

TEXT = """\
source: {type: memory, shape: [2], events: []}
sinks:
  - {type: mqtt, username: me, password: PASSWORD, port: "${env:PORT:-1883}"}
  - {type: webhook, url: "http://127.0.0.1/", headers: {token: "${env:TOKEN:-x}"}}
"""


def loaded(folder: Path, password: str) -> Draft:
    (folder / "x.yaml").write_text(TEXT.replace("PASSWORD", password))
    return read_draft(folder / "x.yaml", make_catalog(custom=False))


@pytest.mark.parametrize("password", ["0123", "12e4", "0x1f", "1_000", "-1.50", "p:w #1", "plain"])
def test_a_password_of_digits_reaches_the_sink_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    for name, value in (("PASSWORD", password), ("TOKEN", password), ("PORT", "1884")):
        monkeypatch.setenv(name, value)
    pipeline = loaded(tmp_path, '"${env:PASSWORD}"')
    mqtt, webhook = pipeline.sinks
    assert isinstance(mqtt, MqttConfig)
    assert isinstance(webhook, WebhookConfig)
    assert (mqtt.password, webhook.headers["token"], mqtt.port) == (password, password, 1884)
    assert type(mqtt.port) is int
    assert password not in repr(pipeline.sinks)


def test_a_password_that_is_no_text_is_refused_without_being_shown(tmp_path: Path) -> None:
    (problem,) = loaded(tmp_path, "987654").document.problems
    assert "must be text: put it between quotes" in str(problem)
    assert "987654" not in str(problem)
