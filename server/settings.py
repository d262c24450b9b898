"""Every option of `server`: flag, environment variable, key, default and help, said once."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, HttpUrl, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from server import defaults
from server.config.sections import (
    ONLY_ENGINE,
    BalanceConfig,
    Count,
    EjectionConfig,
    Number,
    ReplicaConfig,
    RetryConfig,
    Seconds,
    SpeculationConfig,
)
from server.config.sources import PREFIX, SettingsError, flag, layers, merged, sentence
from server.defaults import WhenDown
from server.keys_source import KeySource
from server.usage import Pool

__all__ = ["PREFIX", "Settings", "SettingsError", "flag", "load_settings"]

ENGINE_FLAGS = ("pair", "target", "draft", "plain", "engine_url")
"""They describe the one replica that there is where the file lists none."""
QUOTA_STORE = r"^(redis|rediss|valkey|valkeys)://"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    pair: str = Field("local", description="Shipped pair or path of a TOML file.")
    target: str | None = Field(None, description="Another target for the pair.")
    draft: str | None = Field(None, description="Another draft for the pair.")
    plain: bool = Field(False, description="The target alone, without speculation.")
    engine_url: HttpUrl | None = Field(
        None, description="Use the engine at this URL and start none; --plain if it has no draft."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    drain_timeout: float = Field(
        25.0, ge=0, allow_inf_nan=False, description="Seconds running requests get after SIGTERM."
    )
    allow_anonymous: bool = Field(
        False, description="Without keys, serve whoever reaches a port that is not loopback."
    )
    keys_file: Path | None = Field(None, description="TOML file of API keys.")
    keys_secret: str | None = Field(
        None, description="Secret in AWS Secrets Manager that holds what a keys file would."
    )
    keys: str | None = Field(
        None, description="What a keys file would hold; meant for the environment."
    )
    quota_store: Annotated[str, Field(pattern=QUOTA_STORE)] | None = Field(
        None,
        description="redis://, rediss://, valkey:// or valkeys:// for gateways that share quotas; "
        "by default each counts alone.",
    )
    quota_store_down: WhenDown = Field(
        "local",
        description="While the quota store does not answer: local counts here alone, refuse "
        "answers 503.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address of --metrics-port.")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="A port with /metrics alone, for which no key is needed."
    )
    header_timeout: Seconds = Field(
        defaults.HEADER_TIMEOUT_S, description="Seconds for a request's headers to arrive."
    )
    body_timeout: Seconds = Field(
        defaults.BODY_TIMEOUT_S, description="Seconds for a request's body to arrive."
    )
    queue_timeout: Seconds = Field(
        defaults.QUEUE_TIMEOUT_S, description="Seconds a request may wait for its turn."
    )
    connect_timeout: Seconds = Field(
        defaults.CONNECT_TIMEOUT_S, description="Seconds to connect to the engine."
    )
    first_token_timeout: Seconds = Field(
        defaults.FIRST_TOKEN_TIMEOUT_S,
        description="Seconds until a stream's first tokens, the engine's queue included.",
    )
    chunk_timeout: Seconds = Field(
        defaults.CHUNK_TIMEOUT_S, description="Seconds between two chunks of a stream."
    )
    write_timeout: Seconds = Field(
        defaults.WRITE_TIMEOUT_S,
        description="Seconds a client may take nothing of its answer before it is dropped.",
    )
    total_timeout: Seconds = Field(
        defaults.TOTAL_TIMEOUT_S, description="Seconds for a whole answer."
    )
    max_connections: Count = Field(
        defaults.MAX_CONNECTIONS, description="Connections that clients may hold at once."
    )
    max_in_flight: Count = Field(
        defaults.MAX_IN_FLIGHT, description="Requests that run at once; more wait."
    )
    max_queued: Number = Field(
        defaults.MAX_QUEUED, description="Requests that wait at once; more are answered 503."
    )
    max_body_bytes: Count = Field(defaults.MAX_BODY_BYTES, description="Largest request body.")
    engine_start_timeout: Seconds = Field(
        defaults.ENGINE_START_TIMEOUT_S,
        description="Seconds for the engine to give a checked token.",
    )
    engine_stop_grace: Seconds = Field(
        defaults.ENGINE_STOP_GRACE_S,
        description="Seconds between SIGTERM and SIGKILL for the engine.",
    )
    engine_max_failures: Count = Field(
        defaults.ENGINE_MAX_FAILURES,
        description="Engines lost in a row before no more are started.",
    )
    log_dir: Path | None = Field(
        None, description="Folder for the engine's log; by default a new temporary one."
    )

    request_log: str = Field(
        "-", description="A line of JSON for each request: `-` is stderr, or a file, or `off`."
    )
    log_prompts: bool = Field(False, description="Prompts in that log too; never answers.")
    otlp_endpoint: HttpUrl | None = Field(
        None, description="OpenTelemetry collector that gets traces, as http://HOST:4318."
    )

    replicas: tuple[ReplicaConfig, ...] = Field(
        (), description="The engines; without any, the one that the flags describe."
    )
    speculation: SpeculationConfig = Field(
        SpeculationConfig(), description="Which pool serves a request that does not say."
    )
    balance: BalanceConfig = Field(
        BalanceConfig(), description="Which replica of a pool gets a request."
    )
    ejection: EjectionConfig = Field(
        EjectionConfig(), description="Which replicas get none for a while."
    )
    retry: RetryConfig = Field(
        RetryConfig(), description="When a failed request is sent to another replica."
    )

    @model_validator(mode="after")
    def _one_engine(self) -> Self:
        if self.engine_url is not None and (self.target or self.draft):
            raise ValueError("--engine-url names a running engine; leave out --target and --draft")
        return self

    @model_validator(mode="after")
    def _replicas_are_whole(self) -> Self:
        if not self.replicas:
            return self
        for name in ENGINE_FLAGS:
            if name in self.model_fields_set:
                raise ValueError(f"replicas says which engines there are; leave out {flag(name)}")
        names = [one.name for one in self.replicas]
        for one in self.replicas:
            if names.count(one.name) > 1:
                raise ValueError(f"two replicas are named {one.name!r}; give each its own name")
            if one.url is not None and one.stack is None:
                raise ValueError(
                    f"replica {one.name!r} has a url; say what runs there with its key stack"
                )
        return self

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        given = [self.keys_file, self.keys_secret, self.keys]
        keys = sum(source is not None for source in given)
        if keys > 1:
            raise ValueError("keys come from one of --keys-file, --keys-secret and --keys")
        if keys and self.allow_anonymous:
            raise ValueError("--allow-anonymous is for a server without keys; leave it or them out")
        if not keys and not self.allow_anonymous and not is_loopback(self.host):
            raise ValueError(
                f"--host {self.host} is open to others and there are no keys; give --keys-file, "
                "or --allow-anonymous to serve whoever comes"
            )
        return self

    @property
    def key_source(self) -> KeySource:
        return KeySource(self.keys_file, self.keys, self.keys_secret)

    @property
    def engines(self) -> tuple[ReplicaConfig, ...]:
        """The replicas, also where only flags describe one."""
        if self.replicas:
            return self.replicas
        pool: Pool = "plain" if self.plain else "speculative"
        if self.engine_url is not None:
            return (ReplicaConfig(name=ONLY_ENGINE, pool=pool, url=self.engine_url),)
        return (
            ReplicaConfig(
                name=ONLY_ENGINE, pool=pool, pair=self.pair, target=self.target, draft=self.draft
            ),
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The others are asked by `load_settings`, which knows which said what.
        return (init_settings,)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Another name may lead anywhere.
        return host == "localhost"


def load_settings(
    given: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None
) -> Settings:
    """`given` goes before the environment, and that before the file. Raises SettingsError."""
    found = layers(Settings, given, environ, file)
    try:
        return Settings.model_validate(merged(found))
    except ValidationError as error:
        raise SettingsError(sentence(Settings, error, found, file)) from error
