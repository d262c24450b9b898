"""Publishing against moto's S3, CloudWatch and IAM on a real socket."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import httpx
import pytest

from bench import cli
from bench.client_limit import UNLIMITED, ClientLimits
from bench.errors import PublishError, UsageProblemError
from bench.publish.layout import Shipment, shipment
from bench.publish.metrics import PER_LEVEL, PER_ROW, Metric, check_sendable, metrics
from bench.publish.policy import publish_policy
from bench.publish.send import Published, publish
from bench.record import Result
from bench.summary import summarise
from tests.bench.results import result
from tests.neuron.artefacts.conftest import Client, Server
from tests.neuron.artefacts.conftest import aws as aws
from tests.neuron.artefacts.conftest import bucket as bucket
from tests.neuron.artefacts.conftest import client as client
from tests.neuron.artefacts.conftest import moto as moto
from tests.neuron.artefacts.conftest import server as server

Become = Callable[[dict[str, Any]], None]
Console = pytest.CaptureFixture[str]
NOW = datetime.now(UTC).replace(microsecond=0)
NAMESPACE = "specserve/bench"
WHERE = (("Pair", "local"), ("Load", "concurrency 1"), ("Workload", "sql"))
FIGURES = (Metric("Speedup", 40 / 15, "None", WHERE), Metric("Invalid", 0, "Count", WHERE[:2]))


def measured(found: Result, at: datetime = NOW) -> Result:
    source = found.provenance.model_copy(update={"date": at.isoformat()})
    return found.model_copy(update={"provenance": source})


def stored(found: Result, folder: Path) -> Path:
    path = folder / "r.json"
    path.write_text(found.model_dump_json())
    return path


@pytest.fixture
def cloudwatch(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", server.url)
    made = boto3.session.Session().client("cloudwatch")
    yield made
    made.close()


def published(path: Path, bucket: str, *more: str) -> int:
    return cli.run(["publish", str(path), "--s3", f"s3://{bucket}/team/bench/", *more])


def sent(bucket: str, namespace: str | None = None) -> Published:
    """A shipment made by hand: what a page costs to draw is paid in one test only."""
    made = Shipment("speedup/local/x", b"{}", {"report.html": b""}, FIGURES, NOW)
    return publish(made, f"s3://{bucket}/team/bench", namespace)


def keys(client: Client, bucket: str) -> list[str]:
    listed = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    return sorted(str(one["Key"]) for one in listed)


def test_a_result_has_one_place_however_often_it_is_published(
    client: Client, bucket: str, tmp_path: Path, capsys: Console
) -> None:
    path = stored(measured(result("sql"), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)), tmp_path)
    assert published(path, bucket, "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert first["new"] is True
    folder = first["address"].removeprefix(f"s3://{bucket}/")
    assert folder.startswith("team/bench/speedup/local/2026-01-02/20260102T030405Z-")
    names = ("report.html", "result.json", "summary.json")
    assert keys(client, bucket) == [f"{folder}/{name}" for name in names]

    put = client.get_object(Bucket=bucket, Key=f"{folder}/result.json")
    assert put["Body"].read() == path.read_bytes()
    page = client.get_object(Bucket=bucket, Key=f"{folder}/report.html")
    assert page["ContentType"] == "text/html"
    rows = json.loads(client.get_object(Bucket=bucket, Key=f"{folder}/summary.json")["Body"].read())
    assert rows["rows"][0]["verdict"] == "faster"

    written = put["LastModified"]
    assert published(path, bucket) == 0
    out, err = capsys.readouterr()
    assert (out.strip(), err) == (first["address"], "bench: was there already\n")
    head = client.head_object(Bucket=bucket, Key=f"{folder}/result.json")
    assert (head["LastModified"], len(keys(client, bucket))) == (written, 3)


def test_figures_are_sent_once(cloudwatch: Client, client: Client) -> None:
    client.create_bucket(Bucket="figures")
    # moto keeps one account for all tests of a process.
    namespace = "specserve/figures"
    assert [sent("figures", namespace).metrics for _ in range(2)] == [2, 0]
    got = cloudwatch.get_metric_statistics(
        Namespace=namespace,
        MetricName="Speedup",
        Dimensions=[{"Name": name, "Value": value} for name, value in WHERE],
        StartTime=NOW - timedelta(minutes=1),
        EndTime=NOW + timedelta(minutes=1),
        Period=60,
        Statistics=["Average", "SampleCount"],
    )
    (point,) = got["Datapoints"]
    assert point["Average"] == pytest.approx(40 / 15)
    assert point["SampleCount"] == 1
    # Another namespace has not had them.
    assert sent("figures", "other").metrics == 2


def test_what_has_no_speedup_has_no_figure() -> None:
    found = result("sql").model_copy(update={"kind": "overhead"})
    made = shipment(found, summarise(found, UNLIMITED), b"file")
    assert (made.result, made.drawn, made.metrics) == (b"file", {}, ())
    assert made.place.startswith("overhead/local/2026-11-24/")
    with pytest.raises(UsageProblemError, match="kind overhead has no speedup"):
        check_sendable(found)


def named(found: list[Metric]) -> dict[tuple[str, str], float]:
    return {(one.name, dict(one.dimensions).get("Workload", "")): one.value for one in found}


def test_what_is_worth_nothing_is_counted_and_has_no_figure() -> None:
    wrong = result("sql", "json_extract", wrong=1)
    told = named(metrics(wrong, summarise(wrong, UNLIMITED)))
    assert told == {("NotLossless", ""): 2, ("Invalid", ""): 0, ("NotShown", ""): 0}
    broken = result("sql", broken="sql")
    assert named(metrics(broken, summarise(broken, UNLIMITED)))["NotShown", ""] == 1
    limited = result("sql")
    told = named(metrics(limited, summarise(limited, ClientLimits(cpu=0.0))))
    assert told == {("NotLossless", ""): 0, ("Invalid", ""): 1, ("NotShown", ""): 0}


def test_a_row_s_figures_have_dimensions_that_no_run_adds_to() -> None:
    found = result("sql", "json_extract")
    one, again = (
        metrics(measured(found, at), summarise(found)) for at in (NOW, NOW - timedelta(days=3))
    )
    assert one == again
    assert {name for each in one for name, _ in each.dimensions} == {"Pair", "Load", "Workload"}
    told = named(one)
    assert told["Speedup", "sql"] == told["Speedup", "structured"] == pytest.approx(40 / 15)
    assert (told["TpotPlain", "sql"], told["TpotSpeculative", "sql"]) == pytest.approx((40, 15))
    assert (told["Valid", "sql"], told["AcceptanceLength", "sql"]) == (100, 4)
    assert len(one) == PER_LEVEL + 2 * PER_ROW


@pytest.mark.parametrize(
    ("days", "more", "words"),
    [
        (15, ("--cloudwatch", NAMESPACE), "takes nothing that is older than 14 days"),
        (-1, ("--cloudwatch", NAMESPACE), "more than 2 hours ahead"),
        (0, ("--cloudwatch", "AWS/EC2"), "is no namespace"),
        (0, ("--cloudwatch", "a b"), "is no namespace"),
    ],
)
def test_what_cloudwatch_would_not_take_is_refused_before_anything_is_sent(
    days: int, more: tuple[str, ...], words: str,
    client: Client, bucket: str, tmp_path: Path, capsys: Console,
) -> None:  # fmt: skip
    path = stored(measured(result("sql"), NOW - timedelta(days=days)), tmp_path)
    assert published(path, bucket, *more) == 2
    assert words in capsys.readouterr().err
    assert keys(client, bucket) == []


def test_a_store_that_refuses_has_its_exit_code(
    server: Server, tmp_path: Path, capsys: Console
) -> None:
    path = stored(measured(result("sql", broken="sql")), tmp_path)
    assert published(path, "nobody-made-this-one") == 11
    assert "there is no bucket of that name" in capsys.readouterr().err
    server.hook = lambda method, path: "403 Access Denied"
    assert published(path, "some-bucket") == 11
    assert "`bench publish --policy` prints what the role" in capsys.readouterr().err
    assert cli.run(["publish", str(path), "--s3", "/data/store"]) == 2


@pytest.fixture
def role(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Become]:
    """Be a user that has this policy and no other."""

    def become(document: dict[str, Any]) -> None:
        iam = boto3.session.Session().client("iam", endpoint_url=server.url)
        user = f"bench-{uuid4().hex[:8]}"
        iam.create_user(UserName=user)
        # moto takes an action's prefix from the signature, where CloudWatch is `monitoring`.
        text = json.dumps(document).replace("cloudwatch:Put", "monitoring:Put")
        iam.put_user_policy(UserName=user, PolicyName="it", PolicyDocument=text)
        made = iam.create_access_key(UserName=user)["AccessKey"]
        iam.close()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", made["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", made["SecretAccessKey"])
        enforce(server, "0")

    yield become
    enforce(server, "inf")


def enforce(server: Server, after: str) -> None:
    httpx.post(f"{server.url}/moto-api/reset-auth", content=after).raise_for_status()


def test_the_printed_policy_is_enough_and_no_more(
    cloudwatch: Client, client: Client, role: Become, capsys: Console
) -> None:
    client.create_bucket(Bucket="policed")
    asked = ["--s3", "s3://policed/team/bench", "--cloudwatch", NAMESPACE]
    assert cli.run(["publish", "--policy", *asked]) == 0
    role(json.loads(capsys.readouterr().out))
    assert [sent("policed", NAMESPACE).metrics for _ in range(2)] == [2, 0]
    with pytest.raises(PublishError, match="access is denied"):
        publish(Shipment("x", b"", {}, (), NOW), "s3://policed/team/other", None)


def test_figures_that_were_refused_come_with_the_next_publish(
    cloudwatch: Client, client: Client, role: Become, server: Server
) -> None:
    client.create_bucket(Bucket="later")
    role(publish_policy("s3://later/team/bench", None))
    with pytest.raises(PublishError, match=f"CloudWatch, namespace {NAMESPACE}: access is denied"):
        sent("later", NAMESPACE)
    enforce(server, "inf")
    found = sent("later", NAMESPACE)
    assert (found.new, found.metrics) == (False, 2)


def test_figures_whose_fate_is_unknown_are_not_sent_again_unasked(
    cloudwatch: Client, client: Client, server: Server
) -> None:
    client.create_bucket(Bucket="unknown")
    namespace = "specserve/unknown"
    asked = []

    def hook(method: str, path: str) -> str | None:
        if method != "POST" or "unknown" in path:
            return None
        asked.append(path)
        return "500 Internal Server Error"

    server.hook = hook
    with pytest.raises(PublishError, match="no answer says whether they were taken"):
        sent("unknown", namespace)
    assert len(asked) == 1
    server.hook = None
    assert sent("unknown", namespace).metrics == 2
    assert sent("unknown", namespace).metrics == 0


def test_the_policy_names_everything_it_allows() -> None:
    document = publish_policy("s3://b/a/p/", "ns", partition="aws-cn", kms_key="arn:aws-cn:kms:key")
    told = {one["Sid"]: one for one in document["Statement"]}
    assert told["Results"]["Resource"] == "arn:aws-cn:s3:::b/a/p/*"
    assert told["ListBelowThePrefix"]["Condition"] == {"StringLike": {"s3:prefix": "a/p/*"}}
    assert told["Figures"]["Condition"] == {"StringEquals": {"cloudwatch:namespace": "ns"}}
    assert told["TheBucketsKey"]["Resource"] == "arn:aws-cn:kms:key"
    text = json.dumps(document)
    assert "Delete" not in text
    assert ":*" not in text.replace("p/*", "")


def test_a_policy_needs_no_result_and_a_publish_does(capsys: Console) -> None:
    assert cli.run(["publish", "--s3", "s3://b/p"]) == 2
    assert "Name the RESULT.json" in capsys.readouterr().err
    assert cli.run(["publish", "--policy", "--s3", "nowhere"]) == 2
    assert "no s3://bucket/prefix" in capsys.readouterr().err
