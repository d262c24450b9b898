"""Where keys come from: a file, the environment, or AWS Secrets Manager."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from server.keys import KeyRing
from server.keys_config import KeysError, parse_keys

CONNECT_S = 5.0
READ_S = 10.0
MAX_FILE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class KeySource:
    """At most one is set; none: no keys."""

    file: Path | None = None
    text: str | None = None
    secret: str | None = None
    """Name or ARN in AWS Secrets Manager."""

    def load(self) -> KeyRing:
        """Blocks. Raises KeysError."""
        if self.file is not None:
            return parse_keys(_read(self.file), f"The file {self.file}")
        if self.secret is not None:
            return parse_keys(_secret(self.secret), f"The secret {self.secret}")
        if self.text is not None:
            return parse_keys(self.text, "SPECSERVE_KEYS")
        return KeyRing()


def _read(path: Path) -> str:
    try:
        with path.open("rb") as source:
            raw = source.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise KeysError(f"The file {path} cannot be read: {error.strerror}.") from error
    if len(raw) > MAX_FILE_BYTES:
        raise KeysError(f"The file {path} is larger than {MAX_FILE_BYTES} bytes.")
    return _text(raw, f"The file {path}")


def _text(raw: bytes, source: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise KeysError(f"{source} is no valid TOML: it is not UTF-8.") from error


def _secret(name: str) -> str:
    # Imported late: boto3 takes a while, and most gateways need it not.
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(
        connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"total_max_attempts": 3}
    )
    try:
        client = boto3.session.Session().client("secretsmanager", config=config)
        try:
            answer = client.get_secret_value(SecretId=name)
        finally:
            client.close()
    except (BotoCoreError, ClientError) as error:
        raise KeysError(f"The secret {name} cannot be had: {error}.") from error
    text = answer.get("SecretString")
    return str(text) if text is not None else _text(answer["SecretBinary"], f"The secret {name}")
