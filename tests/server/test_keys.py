"""Who gets in with what, and where keys come from."""

from __future__ import annotations

import json
import logging
import tomllib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from threading import Thread

import boto3
import openai
import pytest
from click.testing import CliRunner
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from server.cli import main
from server.keys import KeyRing, hash_of, new_token
from server.keys_config import KeysError, parse_keys
from server.keys_source import KeySource
from server.settings import load_settings
from tests.server.conftest import CHAT, DOCS, Running, chat, running
from tests.server.fake_engine import MODEL, FakeEngine
from tests.server.key_examples import bearer, entry, ring, token
from tests.server.test_requests import is_openai_error
from tests.server.test_wire import GET, exchange

TEXT = f'[[keys]]\nname = "a"\nhash = "{hash_of(token("a"))}"\nrequests_per_minute = 5\n'


@pytest.fixture
async def guarded(engine: FakeEngine) -> AsyncIterator[Running]:
    keys = ring(entry("a"), entry("b", models=["other"]))
    async with running(engine.url, keys=keys) as served:
        yield served


@pytest.mark.anyio
async def test_a_key_opens_what_is_for_clients(guarded: Running) -> None:
    assert (await guarded.http.post(CHAT, json=chat(), headers=bearer("a"))).status_code == 200
    assert (await guarded.http.get("/v1/models", headers=bearer("a"))).status_code == 200


@pytest.mark.anyio
async def test_openai_client_is_let_in_and_told_why_not(guarded: Running) -> None:
    base_url = guarded.url + "/v1"
    async with openai.AsyncOpenAI(base_url=base_url, api_key=token("a")) as client:
        models = await client.models.list()
        assert [model.id for model in models.data] == [MODEL]
    async with openai.AsyncOpenAI(base_url=base_url, api_key="sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.models.list()
    assert refused.value.code == "invalid_api_key"
    assert "sk-wrong" not in str(refused.value)


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/v1/nothing", CHAT, "/"])
async def test_nothing_else_is_a_key(guarded: Running, path: str) -> None:
    for headers in (
        {},
        {"authorization": token("a")},
        {"authorization": f"Basic {token('a')}"},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {token('nobody')}"},
        {"authorization": f"Bearer {hash_of(token('a'))}"},
        {"x-api-key": token("a")},
        {"api-key": token("a")},
    ):
        answer = await guarded.http.get(path, headers=headers)
        assert answer.status_code == 401, headers
        error = is_openai_error(answer)
        assert (error["code"], error["type"]) == ("invalid_api_key", "invalid_request_error")
        assert answer.headers["www-authenticate"].startswith("Bearer ")


@pytest.mark.anyio
async def test_a_key_in_the_url_or_twice_is_none(guarded: Running) -> None:
    assert (await guarded.http.get("/v1/models", params={"key": token("a")})).status_code == 401
    both = b"".join(f"authorization: Bearer {token(n)}\r\n".encode() for n in ("a", "a"))
    answer = await exchange(guarded, GET + b"connection: close\r\n" + both + b"\r\n")
    assert answer.status_code == 401
    assert is_openai_error(answer)["code"] == "invalid_api_key"


@pytest.mark.anyio
async def test_who_has_no_key_sends_no_body(guarded: Running, engine: FakeEngine) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    answer = await exchange(guarded, head + b"content-length: 1000000\r\n\r\n")
    assert answer.status_code == 401
    assert engine.wires == []
    refused = 'specserve_rejections_total{code="invalid_api_key",key=""}'
    guarded.http.headers.update(bearer("admin"))
    assert await guarded.metric(refused) == 1


@pytest.mark.anyio
async def test_probes_need_no_key_and_metrics_an_admins(guarded: Running) -> None:
    assert (await guarded.http.get("/health/ready")).status_code == 200
    assert (await guarded.http.get("/health/live")).status_code == 200
    answer = await guarded.http.get("/metrics", headers=bearer("a"))
    assert answer.status_code == 403
    assert is_openai_error(answer)["code"] == "insufficient_permissions"
    answer = await guarded.http.get("/metrics", headers=bearer("admin"))
    assert b"specserve_requests_in_flight" in answer.content


@pytest.mark.anyio
async def test_a_model_that_is_not_the_keys_is_as_if_not_there(
    guarded: Running, engine: FakeEngine
) -> None:
    answer = await guarded.http.post(CHAT, json=chat(), headers=bearer("b"))
    assert answer.status_code == 404
    missing = is_openai_error(answer)
    assert missing["code"] == "model_not_found"
    assert engine.wires == []
    assert (await guarded.http.get("/v1/models", headers=bearer("b"))).json()["data"] == []
    answer = await guarded.http.get(f"/v1/models/{MODEL}", headers=bearer("b"))
    assert is_openai_error(answer) == missing


@pytest.mark.anyio
async def test_new_keys_hold_from_the_next_request_on(guarded: Running) -> None:
    guarded.gateway.access.ring = ring(entry("c"))
    assert (await guarded.http.get("/v1/models", headers=bearer("a"))).status_code == 401
    assert (await guarded.http.get("/v1/models", headers=bearer("c"))).status_code == 200


@pytest.mark.anyio
async def test_without_keys_all_is_open(gateway: Running) -> None:
    for path in ("/v1/models", "/metrics"):
        assert (await gateway.http.get(path)).status_code == 200
        wrong = {"authorization": "Bearer wrong"}
        assert (await gateway.http.get(path, headers=wrong)).status_code == 200


def test_a_new_key_is_written_down_as_its_hash_only() -> None:
    options = ["--requests-per-minute", "60", "--model", "m", "--admin", "--priority", "high"]
    done = CliRunner().invoke(main, ["keys", "new", "--name", "team-a", *options])
    assert done.exit_code == 0
    made = done.stderr.splitlines()[-1]
    assert made not in done.stdout
    key = parse_keys(done.stdout, "stdout").find(made)
    assert key is not None
    assert key.model_dump(exclude={"hash"}) == {
        "name": "team-a",
        "requests_per_minute": 60,
        "tokens_per_minute": None,
        "concurrency": None,
        "models": ("m",),
        "priority": "high",
        "admin": True,
    }
    again = CliRunner().invoke(main, ["keys", "new", "--name", "team-b"])
    both = parse_keys(done.stdout + again.stdout, "stdout")
    assert [one.name for one in both.entries] == ["team-a", "team-b"]


@pytest.mark.parametrize(
    "options",
    [["--name", "a b"], ["--name", "anonymous"], ["--name", "a", "--concurrency", "0"], []],
)
def test_a_key_that_cannot_be_is_not_made(options: list[str]) -> None:
    done = CliRunner().invoke(main, ["keys", "new", *options])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_new_keys_are_long_and_different() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(one.removeprefix("sk-specserve-")) >= 43 for one in tokens)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "keys: Field required"),
        ("keys = []", "keys: "),
        ("[[keys]", "no valid TOML"),
        (TEXT + "token = 5", "keys.0.token: Extra inputs"),
        (TEXT + "\nadmin = 1", "keys.0.admin"),
        (TEXT + "models = []", "keys.0.models"),
        (TEXT + "models = [7]", "keys.0.models.0"),
        (TEXT + 'priority = "urgent"', "keys.0.priority"),
        (TEXT + "concurrency = 0", "keys.0.concurrency"),
        (TEXT.replace('"a"', '"anonymous"'), "choose another"),
        (TEXT + TEXT, "name 'a' is there 2 times"),
        (TEXT + TEXT.replace('"a"', '"b"'), "hash "),
        (TEXT.replace("sha256:", ""), "keys.0.hash"),
        ("other = 1\n" + TEXT, "other: Extra inputs"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(KeysError) as refused:
        parse_keys(text, "The file x")
    assert str(refused.value).startswith("The file x")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_keys_come_from_a_file_and_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(TEXT)
    by_file = load_settings({"keys_file": str(file)}, {}).key_source.load()
    by_text = load_settings({}, {"SPECSERVE_KEYS": TEXT}).key_source.load()
    assert by_file == by_text
    assert by_file.entries[0].requests_per_minute == 5
    assert load_settings({}, {}).key_source.load() == KeyRing()


@pytest.mark.parametrize("raw", [b"\xff", b"#" * 5_000_000])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "keys.toml"
    file.write_bytes(raw)
    with pytest.raises(KeysError, match=r"keys\.toml is "):
        KeySource(file=file).load()


@pytest.fixture
def secrets_manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    listening = make_server(
        "127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True
    )
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    thread = Thread(target=listening.serve_forever)
    thread.start()
    for name, value in {
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": f"http://127.0.0.1:{listening.server_port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    yield
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.mark.usefixtures("secrets_manager")
def test_keys_come_from_secrets_manager() -> None:
    client = boto3.session.Session().client("secretsmanager")
    client.create_secret(Name="text", SecretString=TEXT)
    client.create_secret(Name="bytes", SecretBinary=TEXT.encode())
    client.create_secret(Name="json", SecretString=json.dumps({"key": "value"}))
    client.close()
    assert KeySource(secret="text").load() == KeySource(text=TEXT).load()
    assert KeySource(secret="bytes").load() == KeySource(text=TEXT).load()
    with pytest.raises(KeysError, match="The secret json is no valid TOML"):
        KeySource(secret="json").load()
    with pytest.raises(KeysError, match=r"The secret none cannot be had: .*ResourceNotFound"):
        KeySource(secret="none").load()


@pytest.mark.usefixtures("secrets_manager")
def test_a_secret_that_cannot_be_asked_for_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    result = CliRunner().invoke(main, ["--port", "0", "--keys-secret", "x"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: The secret x cannot be had: ")
    assert len(result.stderr.splitlines()) == 1


def test_the_example_in_the_docs_is_one() -> None:
    text = (DOCS / "gateway.md").read_text()
    block = text.split("```toml\n")[1].split("```")[0].replace("sha256:…", hash_of("x"))
    assert set(tomllib.loads(block)["keys"][0]) == set(entry("a").model_dump())
    parse_keys(block, "docs")
