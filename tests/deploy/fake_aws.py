"""moto, behind a front that adds what moto lacks, and faults.

Fake here, not moto's: Capacity Blocks, client tokens of RunInstances and the capacity that it takes
from a block, and Run Command with a host that answers. Each answer is checked against botocore's
own service model before it is sent, so a field that AWS does not have fails the test.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, Literal
from urllib.parse import parse_qs
from uuid import uuid4

from botocore.model import OperationModel
from botocore.session import get_session
from botocore.validate import ParamValidator
from moto.core.serialize import EC2Serializer, JSONSerializer
from moto.core.utils import get_service_model

App = Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]
"""WSGI."""
Form = dict[str, str]
Answer = tuple[str, list[tuple[str, str]], bytes]
Fault = Literal["refused", "lost", "gone"]
"""A call that is refused; one that is done and its answer lost; nothing gets through any more."""

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ZONE = "us-east-1a"
ERROR = (
    "<Response><Errors><Error><Code>{code}</Code><Message>{text}</Message></Error></Errors>"
    "<RequestID>0</RequestID></Response>"
)
_MODELS = get_session()


def model(service: str, operation: str) -> OperationModel:
    found: OperationModel = _MODELS.get_service_model(service).operation_model(operation)
    return found


def motos(service: str, operation: str) -> OperationModel:
    """The same model in the classes that moto's serializers insist on."""
    found: OperationModel = get_service_model(service).operation_model(operation)
    return found


def checked(service: str, operation: str, answer: dict[str, Any]) -> dict[str, Any]:
    report = ParamValidator().validate(answer, model(service, operation).output_shape)
    assert not report.has_errors(), report.generate_report()
    return answer


def offering(id_: str, fee: str, **changed: object) -> dict[str, Any]:
    """23.5 h that have begun, as a block bought today would."""
    start = NOW - timedelta(minutes=30)
    return {
        "CapacityBlockOfferingId": id_,
        "InstanceType": "trn2.3xlarge",
        "AvailabilityZone": ZONE,
        "InstanceCount": 1,
        "StartDate": start,
        "EndDate": start + timedelta(hours=24),
        "CapacityBlockDurationHours": 24,
        "UpfrontFee": fee,
        "CurrencyCode": "USD",
        "Tenancy": "default",
        **changed,
    }


@dataclass
class FakeAws:
    inner: App
    offerings: list[dict[str, Any]] = field(default_factory=list)
    reservations: list[dict[str, Any]] = field(default_factory=list)
    unready: list[str] = field(default_factory=list)
    """What the next probes of a host print; none left is ready."""
    agent: bool = True
    unseen: int = 0
    """How many looks at instances still show none: EC2 is not consistent at once."""
    drained: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    fault: tuple[int, Fault] | None = None
    """Which call from now on, counted from 0."""
    _tokens: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)
    _taken: dict[str, str] = field(default_factory=dict)
    _commands: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __call__(self, environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        operation, form = _operation(environ, body)
        index = len(self.calls)
        self.calls.append(operation)
        at, fault = self.fault or (0, None)
        if fault == "gone" and index >= at:
            return _send(start, _error("503 Service Unavailable", "Unavailable"))
        if fault == "refused" and index == at:
            return _send(start, _error("403 Forbidden", "UnauthorizedOperation"))
        answer = self._answer(environ, body, operation, form)
        if fault == "lost" and index == at:
            answer = _error("500 Internal Server Error", "InternalError")
        return _send(start, answer)

    def _answer(self, environ: dict[str, Any], body: bytes, operation: str, form: Form) -> Answer:
        ours = getattr(self, f"_do_{operation}", None)
        if ours is not None:
            answer: Answer = ours(environ, body, form)
            return answer
        return self._moto(environ, body)

    def _moto(self, environ: dict[str, Any], body: bytes) -> Answer:
        sent: list[Any] = []
        again = {**environ, "wsgi.input": BytesIO(body)}
        content = b"".join(self.inner(again, lambda *args: sent.extend(args)))
        return sent[0], sent[1], content

    def _do_DescribeCapacityBlockOfferings(self, _: object, __: object, form: Form) -> Answer:  # noqa: N802
        matching = [
            one
            for one in self.offerings
            if one["InstanceType"] == form["InstanceType"]
            and one["CapacityBlockDurationHours"] == int(form["CapacityDurationHours"])
        ]
        # Two pages, so that reading only the first is noticed.
        first = "NextToken" not in form
        page = matching[:1] if first else matching[1:]
        answer: dict[str, Any] = {"CapacityBlockOfferings": page}
        if first and len(matching) > 1:
            answer["NextToken"] = "more"
        return _ec2("DescribeCapacityBlockOfferings", answer)

    def _do_PurchaseCapacityBlock(self, _: object, __: object, form: Form) -> Answer:  # noqa: N802
        found = [
            one
            for one in self.offerings
            if one["CapacityBlockOfferingId"] == form["CapacityBlockOfferingId"]
        ]
        if not found:
            return _error("400 Bad Request", "InvalidCapacityBlockOfferingId.NotFound")
        if form.get("DryRun") == "true":
            return _error("412 Precondition Failed", "DryRunOperation")
        self.offerings.remove(found[0])
        bought = {
            "CapacityReservationId": f"cr-{uuid4().hex[:17]}",
            "InstanceType": found[0]["InstanceType"],
            "InstancePlatform": form["InstancePlatform"],
            "AvailabilityZone": found[0]["AvailabilityZone"],
            "TotalInstanceCount": 1,
            "AvailableInstanceCount": 1,
            "State": "active" if found[0]["StartDate"] <= NOW else "scheduled",
            "StartDate": found[0]["StartDate"],
            "EndDate": found[0]["EndDate"],
            "EndDateType": "limited",
            "ReservationType": "capacity-block",
            "Tags": [
                {"Key": key, "Value": form[f"TagSpecification.1.Tag.{number}.Value"]}
                for number, key in _numbered(form, r"TagSpecification\.1\.Tag\.(\d+)\.Key")
            ],
        }
        self.reservations.append(bought)
        return _ec2("PurchaseCapacityBlock", {"CapacityReservation": bought})

    def _do_DescribeCapacityReservations(self, _: object, __: object, form: Form) -> Answer:  # noqa: N802
        found = self.reservations
        for number, name in _numbered(form, r"Filter\.(\d+)\.Name"):
            values = [value for _, value in _numbered(form, rf"Filter\.{number}\.Value\.(\d+)")]
            found = [one for one in found if _filtered(one, name) in values]
        return _ec2("DescribeCapacityReservations", {"CapacityReservations": found})

    def _do_RunInstances(self, environ: dict[str, Any], body: bytes, form: Form) -> Answer:  # noqa: N802
        token = form["ClientToken"]
        asked = hashlib.sha256(body).hexdigest()
        if token in self._tokens:
            before, instance, content = self._tokens[token]
            if before != asked:
                return _error("400 Bad Request", "IdempotentParameterMismatch")
            if instance in self._ended:
                content = content.replace(b">pending<", b">terminated<")
            return "200 OK", [("Content-Type", "text/xml")], content
        target = "CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId"
        block = form.get(target)
        if (block is not None) != (
            form.get("InstanceMarketOptions.MarketType") == "capacity-block"
        ):
            return _error("400 Bad Request", "InvalidParameterCombination")
        if block is not None and block in self._taken.values():
            return _error("400 Bad Request", "ReservationCapacityExceeded")
        status, headers, content = self._moto(environ, body)
        instance = re.findall(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", content)[0].decode()
        self._tokens[token] = (asked, instance, content)
        if block is not None:
            self._taken[instance] = block
        return status, headers, content

    def _do_DescribeInstances(self, environ: dict[str, Any], body: bytes, form: Form) -> Answer:  # noqa: N802
        if self.unseen == 0 or not self._tokens:
            return self._moto(environ, body)
        self.unseen -= 1
        if "InstanceId.1" in form:
            return _error("400 Bad Request", "InvalidInstanceID.NotFound")
        return _ec2("DescribeInstances", {"Reservations": []})

    def _do_TerminateInstances(self, environ: dict[str, Any], body: bytes, form: Form) -> Answer:  # noqa: N802
        for _, instance in _numbered(form, r"InstanceId\.(\d+)"):
            self._ended.add(instance)
            self._taken.pop(instance, None)
        return self._moto(environ, body)

    def _do_SendCommand(self, _: object, body: bytes, __: object) -> Answer:  # noqa: N802
        asked = json.loads(body)
        instance, script = asked["InstanceIds"][0], asked["Parameters"]["commands"][0]
        if not self.agent:
            text = json.dumps({"__type": "InvalidInstanceId", "message": "no agent"})
            return (
                "400 Bad Request",
                [("Content-Type", "application/x-amz-json-1.1")],
                text.encode(),
            )
        identity = f"00000000-0000-0000-0000-{len(self._commands):012d}"
        if "health/ready" in script:
            output = self.unready.pop(0) if self.unready else ""
            self._commands[identity] = ("Failed" if output else "Success", output)
        else:
            self.drained.append(instance)
            self._commands[identity] = ("Success", "")
        return _ssm("SendCommand", {"Command": {"CommandId": identity}})

    def _do_GetCommandInvocation(self, _: object, body: bytes, __: object) -> Answer:  # noqa: N802
        asked = json.loads(body)
        status, output = self._commands[asked["CommandId"]]
        answer = {**asked, "Status": status, "StandardOutputContent": output}
        return _ssm("GetCommandInvocation", answer)


def _operation(environ: dict[str, Any], body: bytes) -> tuple[str, Form]:
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return target.rpartition(".")[2], {}
    if "x-www-form-urlencoded" in environ.get("CONTENT_TYPE", ""):
        form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
        return form["Action"], form
    return f"{environ['REQUEST_METHOD']} object", {}


def _numbered(form: Form, pattern: str) -> Iterator[tuple[str, str]]:
    for key, value in form.items():
        match = re.fullmatch(pattern, key)
        if match:
            yield match[1], value


def _filtered(reservation: dict[str, Any], name: str) -> str:
    if name == "state":
        return str(reservation["State"])
    tags = {one["Key"]: one["Value"] for one in reservation["Tags"]}
    return str(tags.get(name.removeprefix("tag:"), ""))


def _ec2(operation: str, answer: dict[str, Any]) -> Answer:
    sent = EC2Serializer(motos("ec2", operation)).serialize(checked("ec2", operation, answer))
    return "200 OK", [("Content-Type", "text/xml")], str(sent["body"]).encode()


def _ssm(operation: str, answer: dict[str, Any]) -> Answer:
    sent = JSONSerializer(motos("ssm", operation)).serialize(checked("ssm", operation, answer))
    return "200 OK", [("Content-Type", "application/x-amz-json-1.1")], str(sent["body"]).encode()


def _error(status: str, code: str) -> Answer:
    text = ERROR.format(code=code, text="as told")
    return status, [("Content-Type", "text/xml")], text.encode()


def _send(start: Callable[..., object], answer: Answer) -> Iterable[bytes]:
    status, headers, content = answer
    kept = [pair for pair in headers if pair[0].lower() != "content-length"]
    start(status, [*kept, ("Content-Length", str(len(content)))])
    return [content]
