"""What a host is set up with: units, scripts and configuration, as one archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import shlex
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deploy import ports
from deploy.aws.errors import SettingsError
from neuron.cost.parameters import shipped
from neuron.models import store_name
from neuron.pair import Pair

SYSTEMD = Path(__file__).parent.parent / "systemd"
SCRIPTS = ("prepare-disk", "pull-image")
FIRST_BOOT = SYSTEMD / "first-boot.sh"

DRAIN_TIMEOUT_S = 600
"""As long as the gateway's longest answer; the gateway's unit waits a minute more."""
CORES_PER_CHIP = 4
"""At LNC 2."""
STACK = "nxdi"
DIGEST = re.compile(r"[a-z0-9.-]+(:\d+)?/[A-Za-z0-9._/-]+(:[\w.-]+)?@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Choice:
    """What the operator chooses."""

    pair: Pair
    engine_image: str
    gateway_image: str
    keys_secret: str | None
    """None: no keys, and the gateway listens on loopback only."""

    def __post_init__(self) -> None:
        if self.pair.stack != STACK:
            raise SettingsError(
                f"Pair {self.pair.name!r} is of the stack {self.pair.stack!r}, and the units here "
                f"start {STACK!r} only: choose such a pair."
            )
        for field in ("engine_image", "gateway_image"):
            image = getattr(self, field)
            if not DIGEST.fullmatch(image):
                raise SettingsError(
                    f"{field} {image!r} has no digest: write REGISTRY/REPOSITORY@sha256:…, as a "
                    "tag can become another image."
                )


@dataclass(frozen=True)
class HostSettings:
    name: str
    choice: Choice
    region: str
    bucket: str
    log_group: str
    drain_at: datetime | None
    """None: nothing ends the host from outside."""

    @property
    def pair(self) -> Pair:
        return self.choice.pair

    @property
    def engines(self) -> int:
        """As many as the instance's cores hold. Raises SettingsError."""
        instance, degree = self.pair.instance, self.pair.tp_degree
        known = shipped().instances
        if instance not in known or degree is None:
            raise SettingsError(
                f"Pair {self.pair.name!r} needs an instance of {', '.join(known)} and a tp_degree."
            )
        fits = self._cores // degree
        if not fits or self.pair.lnc != 2:
            raise SettingsError(
                f"tp_degree = {degree} at lnc = {self.pair.lnc} does not fit the {self._cores} "
                f"logical cores of {instance} at lnc = 2."
            )
        return fits

    @property
    def _cores(self) -> int:
        return int(shipped().instances[str(self.pair.instance)].cores.value)

    def devices(self) -> list[str]:
        return [f"--device=/dev/neuron{chip}" for chip in range(self._cores // CORES_PER_CHIP)]


def files(settings: HostSettings) -> dict[str, tuple[str, int]]:
    """Path on the host to text and mode."""
    units = {
        f"/etc/systemd/system/{path.name}": (path.read_text(encoding="utf-8"), 0o644)
        for path in sorted(SYSTEMD.glob("*.service"))
    }
    scripts = {
        f"/opt/specserve/bin/{name}": ((SYSTEMD / name).read_text(encoding="utf-8"), 0o755)
        for name in SCRIPTS
    }
    enabled = [
        "specserve-disk.service",
        "specserve-gateway.service",
        "specserve-neuron-monitor.service",
        *(f"specserve-preflight@{index}.service" for index in range(settings.engines)),
    ]
    if settings.drain_at is not None:
        enabled.append("specserve-drain.timer")
        units["/etc/systemd/system/specserve-drain.timer"] = (_timer(settings.drain_at), 0o644)
    configuration = {
        "pair.toml": settings.pair.to_toml(),
        "gateway.toml": _gateway(settings),
        "pull.sh": "".join(_pull(settings)),
        "host.env": _env(
            {
                "NAME": settings.name,
                "AWS_DEFAULT_REGION": settings.region,
                "ENGINE_IMAGE": settings.choice.engine_image,
                "GATEWAY_IMAGE": settings.choice.gateway_image,
                "LOG_GROUP": settings.log_group,
                "DEVICES": " ".join(settings.devices()),
                "MONITOR_PORT": str(ports.NEURON_MONITOR),
            }
        ),
        "units": "".join(f"{unit}\n" for unit in enabled),
    }
    for index in range(settings.engines):
        configuration[f"engine-{index}.env"] = _engine(settings.pair, index)
    written = {
        f"/etc/specserve/{name}": (text, 0o644) for name, text in sorted(configuration.items())
    }
    return {**units, **scripts, **written}


def archive(settings: HostSettings) -> bytes:
    """The same bytes for the same settings: its SHA-256 is its name."""
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path, (text, mode) in sorted(files(settings).items()):
            content = text.encode()
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def first_boot(region: str, bucket: str, key: str, sha256: str) -> str:
    text = FIRST_BOOT.read_text(encoding="utf-8")
    values = {"AWS::Region": region, "Bucket": bucket, "BundleKey": key, "BundleSha256": sha256}
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _timer(at: datetime) -> str:
    return (
        "[Unit]\nDescription=specserve: drain before EC2 ends this instance\n\n"
        f"[Timer]\nOnCalendar={at:%Y-%m-%d %H:%M:%S} UTC\nAccuracySec=1s\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )


def _env(values: Mapping[str, str]) -> str:
    return "".join(f'{key}="{value}"\n' for key, value in values.items())


def _engine(pair: Pair, index: int) -> str:
    degree = int(pair.tp_degree or 0)
    first = index * degree
    return _env(
        {
            "PORT": str(ports.HOST_ENGINE + index),
            "NEURON_RT_VISIBLE_CORES": f"{first}-{first + degree - 1}",
        }
    )


def _pull(settings: HostSettings) -> Iterator[str]:
    """Weights first: an artefact's key has their content in it."""
    store = f" --store s3://{settings.bucket}/neuron\n"
    yield "set -eu\n"
    for model in filter(None, (settings.pair.draft, settings.pair.target)):
        yield (
            shlex.join(["neuron", "weights", "pull", store_name(Path(model)), "--to", model])
            + store
        )
    yield f"neuron artefacts pull /etc/specserve/pair.toml{store}"


def _gateway(settings: HostSettings) -> str:
    pair = settings.pair
    top: dict[str, object] = {
        "host": "127.0.0.1" if settings.choice.keys_secret is None else "0.0.0.0",  # noqa: S104
        "port": ports.GATEWAY,
        "metrics_host": "0.0.0.0",  # noqa: S104 - the security group says who reaches it
        "metrics_port": ports.GATEWAY_METRICS,
        "drain_timeout": float(DRAIN_TIMEOUT_S),
        "max_in_flight": settings.engines * pair.max_num_seqs,
    }
    if settings.choice.keys_secret is not None:
        top["keys_secret"] = settings.choice.keys_secret
    pool = "plain" if pair.draft is None else "speculative"
    replicas = [
        {
            "name": f"{pool}-{index}",
            "pool": pool,
            "url": f"http://127.0.0.1:{ports.HOST_ENGINE + index}",
            "stack": pair.stack,
            "plugin": pair.plugin,
            "sampling": pair.sampling,
        }
        for index in range(settings.engines)
    ]
    sections = ["".join(_keys(top)), *(f"[[replicas]]\n{''.join(_keys(one))}" for one in replicas)]
    return "\n".join(sections)


def _keys(values: Mapping[str, object]) -> Iterator[str]:
    return (f"{key} = {json.dumps(value)}\n" for key, value in values.items())
