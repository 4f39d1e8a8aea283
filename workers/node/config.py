"""A node's settings: a YAML file, the environment (MESH_NODE_…, POOL_URL), and the command line above both."""

import os
import socket
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from workers.node.errors import ConfigRefused
from workers.node.local_http import address_of
from workers.protocol.quiet_hours import parse_all, zone_of

# Part of every node; whether it can run here is a matter of frameworks.
BUILT_IN = ("detectors",)
LogLevel = Literal["debug", "info", "warn", "error"]


def default_directory() -> Path:
    """Where a node keeps its keys, cache and state unless told otherwise."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "meshwork-node"


class NodeConfig(BaseSettings):
    """What an operator decides about a node."""

    model_config = SettingsConfigDict(env_prefix="MESH_NODE_", extra="forbid", frozen=True)

    name: str = Field(default_factory=lambda: socket.gethostname().split(".")[0][:40], min_length=1, max_length=40)
    platform_url: str = Field(default_factory=lambda: os.environ.get("POOL_URL", "http://localhost:8000"))
    directory: Path = Field(default_factory=default_directory)
    models: list[str] = Field(default_factory=list, description="Models to serve; empty serves all that fit.")
    slots: int = Field(default=1, ge=1, le=64, description="Tasks at a time in the inference lane.")
    log_level: LogLevel = "info"
    engine_address: str = Field(default="127.0.0.1:11434", description="host:port of a local Ollama-style engine.")
    transport: Literal["celery", "http"] = "celery"
    cache_mb: int = Field(default=20_000, ge=100)
    stop_grace_s: float = Field(default=20.0, gt=0, le=600)
    health: str = Field(default="", description="host:port of /health and /metrics; empty serves neither.")
    quiet_hours: list[str] = Field(default_factory=list, description="Times without tasks, such as 22:00-07:00.")
    time_zone: str = Field(default="", description="Zone of the quiet hours; empty is the machine's own.")
    memory_cap_mb: int = Field(default=0, ge=0, description="No new task while the agent holds more; 0 is no cap.")
    power_cap_w: int = Field(default=0, ge=0, description="No new task while the machine draws more; 0 is no cap.")

    @field_validator("platform_url")
    @classmethod
    def no_trailing_slash(cls, value: str) -> str:
        """URLs are joined with paths that begin with a slash."""
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")

    @field_validator("quiet_hours")
    @classmethod
    def times_that_clocks_show(cls, value: list[str]) -> list[str]:
        """A time that cannot be read would never be kept."""
        parse_all(value)
        return value

    @field_validator("time_zone")
    @classmethod
    def a_zone_that_exists(cls, value: str) -> str:
        """By its IANA name."""
        zone_of(value)
        return value

    @field_validator("health")
    @classmethod
    def an_address(cls, value: str) -> str:
        """A port alone is one of the loopback's."""
        return "{}:{}".format(*address_of(value)) if value else ""

    def served(self) -> list[str]:
        """The models that the platform is told of: a list that somebody wrote leaves out nothing that is built in."""
        return sorted({*self.models, *BUILT_IN}) if self.models else []


def load_config(path: Path | None = None, **overrides: Any) -> NodeConfig:
    """Read the settings; `overrides` that are None are left out. Raises ConfigRefused with every fault named."""
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = yaml.safe_load(path.read_text()) or {}
        except (OSError, yaml.YAMLError) as error:
            raise ConfigRefused(f"{path} cannot be read: {error}") from error
        if not isinstance(values, dict):
            raise ConfigRefused(f"{path} must hold settings as `name: value` lines.")

    class FromFile(NodeConfig):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=values)

    try:
        return FromFile(**{key: value for key, value in overrides.items() if value is not None})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigRefused(faults) from error
