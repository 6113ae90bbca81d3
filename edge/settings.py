"""Every setting of the edge, under the name it has in the environment (see .env.example)."""

import base64
import binascii
import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?")


class SettingsError(Exception):
    """A sentence for each setting that is missing or malformed; never a value."""


def an_origin(url: str) -> str:
    url = url.rstrip("/")
    if not ORIGIN.fullmatch(url):
        raise ValueError("it must look like https://example.org, without a path")
    return url


def an_issuer(url: str) -> str:
    if not re.fullmatch(r"https?://\S+", url):
        raise ValueError("it must be a web address")
    return url


def origins(text: object) -> object:
    if not isinstance(text, str):
        return text
    listed = [part.strip() for part in text.split(",") if part.strip()]
    return listed if listed == ["*"] else [an_origin(part) for part in listed]


def an_api_key(role: str, prefix: str) -> Any:
    """Either kind of key: the opaque one, or the legacy token made out to that very role."""

    def check(key: SecretStr) -> SecretStr:
        text = key.get_secret_value()
        if not text.startswith(prefix) and role_of(text) != role:
            raise ValueError(f"it must be a key {prefix}… or the legacy {role} token")
        return key

    return AfterValidator(check)


def role_of(token: str) -> object:
    try:
        payload = token.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["role"]
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None


class Settings(BaseSettings):
    """A description here ends the sentence `NAME is missing: …`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    supabase_url: Annotated[str, AfterValidator(an_origin)] = Field(
        description="the address of the Supabase project, such as https://abc.supabase.co"
    )
    supabase_anon_key: Annotated[SecretStr, an_api_key("anon", "sb_publishable_")] = Field(
        description="the project's publishable key (or its legacy anon token)"
    )
    supabase_service_key: Annotated[SecretStr, an_api_key("service_role", "sb_secret_")] = Field(
        description="the project's secret key (or its legacy service_role token)"
    )
    supabase_jwt_secret: Annotated[SecretStr, Field(min_length=32)] | None = Field(
        None, description="the legacy secret that signs people's tokens with HS256"
    )
    supabase_issuer: Annotated[str, AfterValidator(an_issuer)] | None = Field(
        None, description="the issuer of people's tokens"
    )

    app_name: str = Field("CHAS", description="the name the API document shows")
    edge_url: Annotated[str, AfterValidator(an_issuer)] | None = Field(
        None, description="the edge's own public address, which the API document names"
    )
    app_version: str = Field("dev", description="the version /health shows")
    environment: str = Field("development", description="the deployment's name, for the log")
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        BeforeValidator(lambda level: level.upper() if isinstance(level, str) else level),
    ] = Field("INFO", description="the least serious line to log")
    slow_request_log_threshold_ms: int = Field(
        500, ge=0, description="how long a request may take before it is logged as slow"
    )

    allowed_origins: Annotated[list[str], NoDecode, BeforeValidator(origins)] = Field(
        [], description="the web origins a browser may call from, separated by commas"
    )
    auth_token_cache_ttl_seconds: float = Field(
        15, ge=0, le=300, description="how long a deleted or banned person may go unnoticed"
    )
    invite_attempts_per_minute: int = Field(
        60, ge=1, description="how many invite codes one address may try in a minute"
    )
    house_timeout_seconds: float = Field(
        10, ge=0.1, le=60, description="how long the project may take to answer a call"
    )
    metrics: bool = Field(False, description="whether /metrics shows figures for Prometheus")
    enforce_invite_whitelist: bool | None = Field(
        None, description="whether people need an invite, until the database is told otherwise"
    )

    edge_host: str = Field("127.0.0.1", description="the address to listen on")
    edge_port: int = Field(54330, ge=1, le=65535, description="the port to listen on")
    forwarded_allow_ips: str = Field(
        "127.0.0.1", description="the proxies whose word on a caller's address is taken"
    )

    @property
    def issuer(self) -> str:
        return self.supabase_issuer or f"{self.supabase_url}/auth/v1"


def load_settings() -> Settings:
    from_environment: dict[str, Any] = {}
    try:
        return Settings(**from_environment)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        raise SettingsError("\n".join(sentence(problem) for problem in problems)) from None


def sentence(problem: Any) -> str:
    field = str(problem["loc"][0])
    description = Settings.model_fields[field].description
    if problem["type"] == "missing":
        return f"{field.upper()} is missing: {description}."
    reason = problem["msg"].removeprefix("Value error, ")
    return f"{field.upper()} is malformed ({description}): {reason}."
