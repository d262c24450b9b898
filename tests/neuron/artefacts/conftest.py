"""A real S3 server on a real socket: moto's, with a hook in front of each request."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

Client = Any
"""boto3 has no types."""
Hook = Callable[[str, str], str | None]
"""From method and path to a status line that is answered instead; None lets it pass."""


App = Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]
"""WSGI."""


@dataclass
class Server:
    """What is asked is kept in `requests`; `hook` may hold a request or refuse it."""

    url: str = ""
    hook: Hook | None = None
    requests: list[tuple[str, str]] = field(default_factory=list)

    def wrap(self, app: App) -> App:
        def answer(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
            method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
            self.requests.append((method, path))
            status = self.hook(method, path) if self.hook else None
            if status is None:
                return app(environ, start)
            # Unread, it would reset the connection before the answer is read.
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            code = status.partition(" ")[2].replace(" ", "")
            body = f"<Error><Code>{code}</Code><Message>as told</Message></Error>".encode()
            start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]

        return answer

    def puts(self) -> list[str]:
        return [path for method, path in self.requests if method == "PUT"]


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    server = Server()
    app = server.wrap(DomainDispatcherApplication(create_backend_app))
    listening = make_server("127.0.0.1", 0, app, threaded=True)
    server.url = f"http://127.0.0.1:{listening.server_port}"
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield server
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Nothing of the machine's own configuration; the same for child processes."""
    values = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "SPECSERVE_STORE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture
def server(moto: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto.url)
    moto.hook = None
    moto.requests.clear()
    yield moto
    moto.hook = None


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    made = boto3.session.Session().client("s3", endpoint_url=server.url)
    yield made
    made.close()


@pytest.fixture
def bucket(client: Client) -> str:
    name = f"store-{uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    return name
