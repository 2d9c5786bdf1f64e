"""Logs that go to a server: a real one, on this machine."""

import http.server
import json
import threading
import urllib.parse

import numpy as np
import pytest

from plait import callbacks
from plait.errors import ConfigError


@pytest.fixture
def server():
    """A server that remembers what it is sent."""
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.append((self.path, dict(self.headers), body))
            self.send_response(500 if "broken" in self.path else 200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


LOGS = {"loss": 0.5, "each": np.array([1.0, 2.0]), "rate": np.float32(0.25)}
SENT = {"epoch": 3, "loss": 0.5, "each": [1.0, 2.0], "rate": 0.25}


def test_a_form(server):
    root, received = server
    callbacks.RemoteMonitor(root, headers={"X-Mine": "yes"}).on_epoch_end(3, LOGS)
    [(path, headers, body)] = received
    assert path == "/publish/epoch/end/"
    assert headers["X-Mine"] == "yes"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert json.loads(urllib.parse.parse_qs(body)["data"][0]) == SENT


def test_json(server):
    root, received = server
    callbacks.RemoteMonitor(root, path="/logs", send_as_json=True).on_epoch_end(3, LOGS)
    [(path, headers, body)] = received
    assert path == "/logs"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == SENT


def test_a_server_that_does_not_answer_is_a_warning(server):
    root, _ = server
    with pytest.warns(UserWarning, match="does not answer: HTTP Error 500"):
        callbacks.RemoteMonitor(root, path="/broken").on_epoch_end(0, LOGS)
    with pytest.warns(UserWarning, match="127.0.0.1:1/publish/epoch/end/ does not answer"):
        callbacks.RemoteMonitor("http://127.0.0.1:1").on_epoch_end(0, LOGS)


def test_other_addresses_are_refused():
    with pytest.raises(ConfigError, match="received 'file:///etc'"):
        callbacks.RemoteMonitor("file:///etc")
