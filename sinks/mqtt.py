"""Decisions in, messages to an MQTT broker out."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.contract import FilePath, Secret, Sink, SinkConfig, State
from pipeline.packet import Format
from sinks.decisions_only import needs_decisions
from sinks.network import DecisionJson, needs_cover
from sinks.spool import NotDeliveredError, Spool, SpooledDecisions

if TYPE_CHECKING:
    from paho.mqtt.client import Client

BATCH = 100  # messages under way at a time


class MqttConfig(SinkConfig):
    """Publishes each decision as a JSON message of quality of service 1 under one topic of an MQTT 3.1.1 broker, in order.

    In: decisions of any shape. A message has stream, seq (the decision's number, from 0), episode, t_us, class, name, confidence,
    scores (one per class), final and label (null where it is not known).

    Guarantee: at least once; subscribers recognise what they have by (stream, seq). A message is delivered when the broker has
    acknowledged it. While the broker is away, up to `spool` decisions wait in memory, the pipeline goes on and the connection is
    tried again after 1 s to 30 s, doubling; a full spool holds the pipeline up. A checkpoint waits until all decisions before it
    are acknowledged, so a run that resumes misses none and repeats those after the checkpoint.
    Plain text off this machine is refused: set `tls`, or say `insecure: true`. Give the password by ${env:NAME}: no error
    shows it.
    Errors: no broker within `connect_timeout_s`, or one that refuses; a full spool, a checkpoint or an end without a delivery
    for `patience_s`; paho-mqtt that is not installed.

    Example: {type: mqtt, host: 127.0.0.1, topic: lab/decisions}

    Source: MQTT Version 3.1.1 (OASIS 2014), section 4.3.2 (QoS 1).
    """

    type: Literal["mqtt"] = "mqtt"
    host: str = Field("127.0.0.1", min_length=1, description="the broker's name or address")
    port: int = Field(1883, ge=1, le=65535, description="the broker's TCP port (usually 8883 with tls)")
    topic: str | None = Field(None, min_length=1, description="what subscribers name; default: spikeline/<pipeline>/decisions")
    username: str | None = Field(None, description="who publishes")
    password: Secret | None = Field(None, description="its password", repr=False)
    tls: bool = Field(False, description="encrypt, and check the broker's certificate")
    ca_file: FilePath | None = Field(None, description="certificates that prove who the broker is, instead of the system's")
    spool: int = Field(10_000, ge=1, description="most decisions that wait in memory while the broker is away")
    connect_timeout_s: float = Field(10.0, gt=0, description="how long to try to reach the broker at the start")
    patience_s: float = Field(30.0, gt=0, description="how long to wait without a delivery before it is an error")
    insecure: bool = Field(False, description="allow plain text to other machines")

    def check(self, upstream: Format) -> None:
        needs_decisions("mqtt", upstream)
        if self.topic is not None and any(mark in self.topic for mark in "+#\0"):
            raise ValueError(f"mqtt: topic must hold no + and no #, which are for subscribers, got {self.topic!r}")
        if self.password is not None and self.username is None:
            raise ValueError("mqtt: a password needs a username")
        if not self.tls:
            needs_cover("mqtt", self.host, self.insecure, "set tls, or ")

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        self.check(upstream)
        try:
            import paho.mqtt.client  # noqa: F401 - the sink needs it
        except ImportError:
            raise ValueError("mqtt: needs paho-mqtt: pip install 'spikeline[mqtt]'") from None
        texts = DecisionJson(upstream, stream)
        topic = self.topic or f"spikeline/{stream}/decisions"
        return lambda state: Mqtt(self, texts, topic, 0 if state is None else int(state["seq"]))


class Mqtt(SpooledDecisions):
    """Its spool's thread publishes and waits for the broker's word."""

    def __init__(self, config: MqttConfig, texts: DecisionJson, topic: str, seq: int) -> None:
        name = f"mqtt: {config.host}:{config.port}"
        self._topic = topic
        self._client = _connected(config, name)
        self._acknowledged: set[int] = set()  # message numbers
        self._news = threading.Event()
        spool = Spool(name, self._publish, capacity=config.spool, batch=BATCH, patience_s=config.patience_s)
        super().__init__(texts, spool, seq, self._leave)
        self._client.on_disconnect, self._client.on_publish = self._lost, self._confirmed

    def _leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self, batch: list[str], stop: threading.Event) -> None:
        """The client sends again, once it is connected again, what was not acknowledged."""
        self._acknowledged.clear()
        sent = {self._client.publish(self._topic, text.encode(), qos=1).mid for text in batch}
        while not sent <= self._acknowledged:
            if stop.is_set():
                raise NotDeliveredError("given up")
            self._news.wait(0.2)
            self._news.clear()

    def _confirmed(self, client: Client, userdata: Any, number: int, reason: Any, properties: Any) -> None:
        self._acknowledged.add(number)
        self._news.set()

    def _lost(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._spool.trouble(f"connection lost: {reason}")


def _connected(config: MqttConfig, name: str) -> Client:
    """A client whose own thread keeps it connected, once the broker has let it in."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    answered = threading.Event()
    answers: list[Any] = []

    def answer(client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        answers.append(reason)
        answered.set()

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect = answer
    client.max_queued_messages_set(0)
    client.reconnect_delay_set(1, 30)
    client.connect_timeout = min(5.0, config.connect_timeout_s)
    if config.username is not None:
        client.username_pw_set(config.username, config.password)
    if config.tls:
        _encrypt(client, config)
    _reach(client, config, name)
    client.loop_start()
    in_time = answered.wait(config.connect_timeout_s)
    if not in_time or answers[0].is_failure:
        client.disconnect()
        client.loop_stop()
        said = f"refuses the connection: {answers[0]}" if in_time else f"does not answer within {config.connect_timeout_s:g} s"
        raise ValueError(f"{name} {said}: correct host, port, username or password")
    return client


def _encrypt(client: Client, config: MqttConfig) -> None:
    try:
        client.tls_set(ca_certs=None if config.ca_file is None else str(config.ca_file))
    except (OSError, ValueError) as error:
        raise ValueError(f"mqtt: ca_file: cannot read certificates from {config.ca_file}: {error}") from None


def _reach(client: Client, config: MqttConfig, name: str) -> None:
    """Open the connection, trying again after pauses that double."""
    until_s, pause_s = time.monotonic() + config.connect_timeout_s, 0.1
    while True:
        try:
            client.connect(config.host, config.port)
            return
        except ssl.SSLCertVerificationError as error:  # the next attempt would meet the same
            raise ValueError(f"{name}: its certificate is not trusted ({error.verify_message}): correct it, or set "
                             "ca_file") from None
        except OSError as error:
            if time.monotonic() + pause_s > until_s:
                reason = error.strerror or str(error) or type(error).__name__
                raise ValueError(f"{name}: no broker within {config.connect_timeout_s:g} s ({reason}): "
                                 "start it, or correct host and port") from None
        time.sleep(pause_s)
        pause_s *= 2
