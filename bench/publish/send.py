"""Publishing, in an order that may be cut anywhere and begun again."""

import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass

from bench.errors import PublishError, UsageProblemError
from bench.publish.cloudwatch import CloudWatch
from bench.publish.layout import Shipment, sent_marker
from neuron.artefacts.errors import AddressError, NotPublishedError, StoreError
from neuron.artefacts.s3 import S3Store
from neuron.artefacts.s3_errors import Service

SERVICE = Service(policy="bench publish --policy")


@dataclass(frozen=True)
class Published:
    address: str
    """The folder's, `s3://…`."""
    new: bool
    """`False`: this very file was there already."""
    metrics: int
    """That were sent now; 0 if they had been, or were not asked for."""


def publish(shipment: Shipment, address: str, namespace: str | None) -> Published:
    """`address` is s3://bucket/prefix, `namespace` one of CloudWatch's or `None`.

    Raises UsageProblemError for another address, PublishError for who does not take it.
    """
    try:
        with CloudWatch(namespace) if namespace else nullcontext() as cloud:
            return _publish(shipment, S3Store(address, service=SERVICE), cloud)
    except AddressError as error:
        raise UsageProblemError(str(error)) from error
    except StoreError as error:
        raise PublishError(str(error)) from error


def _publish(shipment: Shipment, store: S3Store, cloud: CloudWatch | None) -> Published:
    place = shipment.place
    for name, content in shipment.drawn.items():
        store.replace(f"{place}/{name}", content)
    new = store.create(f"{place}/result.json", shipment.result)
    address = f"{store.address}/{place}"
    if cloud is None:
        return Published(address, new, 0)
    marker = f"{place}/{sent_marker(cloud.namespace)}"
    if _holds(store, marker):
        return Published(address, new, 0)
    cloud.put(shipment.metrics, shipment.at)
    store.create(marker, json.dumps([asdict(one) for one in shipment.metrics]).encode())
    return Published(address, new, len(shipment.metrics))


def _holds(store: S3Store, key: str) -> bool:
    try:
        store.read(key)
    except NotPublishedError:
        return False
    return True
