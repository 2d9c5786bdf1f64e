"""`RemoteMonitor`: send the logs of every epoch to a server."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Mapping

import numpy as np

from plait.errors import ConfigError
from plait.training.callback import Callback, Logs


class RemoteMonitor(Callback):
    """Send the logs of every epoch to a server, by HTTP POST.

    A server that does not answer is a warning: training goes on.

    Args:
        root: the address of the server.
        path: where on it.
        field: the field of the form that holds the logs as JSON.
        headers: more headers.
        send_as_json: send the JSON itself (``application/json``), not a form.
        timeout: the seconds to wait for an answer.

    Raises:
        ConfigError: `root` is no address of HTTP.

    Example:
        >>> import plait
        >>> plait.callbacks.RemoteMonitor("http://localhost:9000").url
        'http://localhost:9000/publish/epoch/end/'
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
        timeout: float = 10.0,
    ) -> None:
        super().__init__()
        if not root.startswith(("http://", "https://")):
            raise ConfigError(
                f"RemoteMonitor: root is an address of HTTP; received {root!r}.",
                fix=f"root='http://{root}'",
            )
        self.root, self.path, self.field = root, path, field
        self.headers, self.send_as_json = dict(headers or {}), send_as_json
        self.timeout = timeout

    @property
    def url(self) -> str:
        """Where logs go."""
        return self.root + self.path

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Send the logs, with the epoch (from 0)."""
        values = {name: np.asarray(value).tolist() for name, value in (logs or {}).items()}
        text = json.dumps({"epoch": epoch, **values})
        if self.send_as_json:
            body, kind = text, "application/json"
        else:
            body = urllib.parse.urlencode({self.field: text})
            kind = "application/x-www-form-urlencoded"
        request = urllib.request.Request(
            self.url, body.encode(), {"Content-Type": kind, **self.headers}, method="POST"
        )
        try:
            urllib.request.urlopen(request, timeout=self.timeout).close()
        except (urllib.error.URLError, OSError) as error:
            warnings.warn(f"RemoteMonitor: {self.url} does not answer: {error}.", stacklevel=2)
