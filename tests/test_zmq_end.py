"""A context that does not end does not hold up the run."""

import threading
import time

import zmq

from pipeline import zmq_end


class Stuck:
    """A context that ends when it is let go."""

    def __init__(self):
        self.let_go = threading.Event()

    def term(self):
        self.let_go.wait(30)


def test_a_context_that_ends_is_waited_for():
    context = zmq.Context()
    assert zmq_end.terminate(context)
    assert context.closed


def test_a_context_that_does_not_end_is_left_behind(monkeypatch):
    monkeypatch.setattr(zmq_end, "SPARE_S", 0.05)
    context, begin_s = Stuck(), time.monotonic()
    assert not zmq_end.terminate(context, linger_s=0.05)
    assert 0.1 <= time.monotonic() - begin_s < 10
    context.let_go.set()


def test_what_lingers_leaves_first(monkeypatch):
    monkeypatch.setattr(zmq_end, "SPARE_S", 0.0)
    context = Stuck()
    threading.Timer(0.2, context.let_go.set).start()
    assert zmq_end.terminate(context, linger_s=20)
