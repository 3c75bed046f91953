"""Decisions in, HTTP POST requests of JSON batches out."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Callable
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field

from pipeline.contract import FilePath, Secret, Sink, SinkConfig, State
from pipeline.packet import Format
from sinks.decisions_only import needs_decisions
from sinks.network import DecisionJson, needs_cover
from sinks.spool import NotDeliveredError, Spool, SpooledDecisions

PASSING = (408, 425, 429)  # refusals that later attempts may not meet


class WebhookConfig(SinkConfig):
    """Posts decisions to a URL, as JSON arrays of up to `batch` objects each, in order.

    In: decisions of any shape. An object has stream, seq (the decision's number, from 0), episode, t_us, class, name, confidence,
    scores (one per class), final and label (null where it is not known).

    Guarantee: at least once; a receiver recognises what it has by (stream, seq). A batch is delivered when the answer is 2xx.
    No answer, 5xx, 408, 425 and 429 are tried again after pauses of 0.1 s to 10 s that double, while up to `spool` decisions
    wait in memory and the pipeline goes on; a full spool holds the pipeline up. A checkpoint waits until all decisions before it
    are delivered, so a run that resumes misses none and repeats those after the checkpoint.
    Redirections are not followed. https is checked against the system's certificates, or `ca_file`. Plain http off this machine
    is refused unless `insecure` is true. Put credentials into `headers` by ${env:NAME}: no error shows them, nor what follows
    the ? of the URL.
    Errors: an answer that says that it will never do (other 4xx, 3xx); a full spool, a checkpoint or an end without a delivery
    for `patience_s`.

    Example: {type: webhook, url: "http://127.0.0.1:8080/decisions"}

    Source: RFC 9110, HTTP Semantics, section 15 (status codes).
    """

    type: Literal["webhook"] = "webhook"
    url: str = Field(description="where to post: http:// or https://", repr=False)
    headers: dict[str, Secret] = Field({}, description="further headers, credentials among them", repr=False)
    batch: int = Field(100, ge=1, description="most decisions a request")
    spool: int = Field(10_000, ge=1, description="most decisions that wait in memory while the receiver is away")
    timeout_s: float = Field(10.0, gt=0, description="how long an answer may take")
    patience_s: float = Field(30.0, gt=0, description="how long to wait without a delivery before it is an error")
    ca_file: FilePath | None = Field(None, description="certificates that prove who the receiver is, instead of the system's")
    insecure: bool = Field(False, description="allow plain http to other machines")

    def check(self, upstream: Format) -> None:
        needs_decisions("webhook", upstream)
        url = _split(self.url)
        if url.scheme == "http":
            needs_cover("webhook", url.hostname or "", self.insecure, "use https, or ")
        for name, value in self.headers.items():
            if not (name.isascii() and name.isprintable() and value.isprintable() and ":" not in name and value.isascii()):
                raise ValueError(f"webhook: header {name!r} holds characters that HTTP cannot carry: use printable ASCII")

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        self.check(upstream)
        context = _trust(self.ca_file) if _split(self.url).scheme == "https" else None
        texts = DecisionJson(upstream, stream)
        return lambda state: _posting(self, texts, context, 0 if state is None else int(state["seq"]))


def _posting(config: WebhookConfig, texts: DecisionJson, context: ssl.SSLContext | None, seq: int) -> SpooledDecisions:
    """A spool whose thread posts over one connection that is kept open."""
    poster = _Poster(config, context)
    spool = Spool(f"webhook: {poster.shown}", poster.post, capacity=config.spool, batch=config.batch,
                  patience_s=config.patience_s)
    return SpooledDecisions(texts, spool, seq, poster.close)


class _Poster:
    """One connection to the receiver, opened when it is needed. shown: the URL without what may be secret."""

    def __init__(self, config: WebhookConfig, context: ssl.SSLContext | None) -> None:
        url = _split(config.url)
        self.shown = f"{url.scheme}://{url.netloc}{url.path}"
        self._target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._headers = {"Content-Type": "application/json", "User-Agent": "spikeline"} | config.headers
        host = url.hostname or ""
        self._connection: http.client.HTTPConnection
        if context is None:
            self._connection = http.client.HTTPConnection(host, url.port, timeout=config.timeout_s)
        else:
            self._connection = http.client.HTTPSConnection(host, url.port, timeout=config.timeout_s, context=context)

    def post(self, batch: list[str], stop: threading.Event) -> None:
        try:
            self._connection.request("POST", self._target, f"[{', '.join(batch)}]".encode(), self._headers)
            answer = self._connection.getresponse()
            answer.read()
        except ssl.SSLCertVerificationError as error:
            self._connection.close()
            raise ValueError(f"its certificate is not trusted ({error.verify_message}): correct it, or set ca_file") from None
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise NotDeliveredError(getattr(error, "strerror", None) or str(error) or type(error).__name__) from None
        if answer.status >= 500 or answer.status in PASSING:
            raise NotDeliveredError(f"it answers {answer.status} {answer.reason}")
        if not 200 <= answer.status < 300:
            raise ValueError(f"it answers {answer.status} {answer.reason} to a batch of {len(batch)}: correct url or headers")

    def close(self) -> None:
        self._connection.close()


def _split(text: str) -> SplitResult:
    """The parts of a URL; the error does not show the URL, which may hold a secret."""
    try:
        url = urlsplit(text)
        fits = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and text.isascii() and text.isprintable()
    except ValueError:
        fits = False
    if not fits or " " in text:
        raise ValueError("webhook: url must be http://host:port/path or https://host:port/path in ASCII, got something else")
    if "@" in url.netloc:
        raise ValueError("webhook: url holds a user or a password: put them into headers, as Authorization")
    return url


def _trust(ca_file: FilePath | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"webhook: ca_file: cannot read certificates from {ca_file}: {error.strerror or error}") from None
