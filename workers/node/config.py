"""A node's settings: a YAML file, the environment (MESH_NODE_…, POOL_URL), and the command line above both."""

import os
import socket
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from workers.node.errors import ConfigRefused

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

    @field_validator("platform_url")
    @classmethod
    def no_trailing_slash(cls, value: str) -> str:
        """URLs are joined with paths that begin with a slash."""
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")


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
