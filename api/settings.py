"""The settings: one table of names, defaults and descriptions. Importing this module reads no environment.

The command line has precedence over the environment, the environment over a TOML file, and that over the
defaults. The file is the one of `--config` or `MEDSIGLIP_CONFIG`, else `medsiglip.toml` in the home, if it
exists. It has one `name = value` a line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict

from medsiglip.api.access_settings import Issuer, PublicUrl, ScopeValues, SyslogUrl
from medsiglip.api.errors import ServiceError
from medsiglip.api.url_passwords import without_password
from medsiglip.index.errors import excerpt
from medsiglip.toml_file import TomlError, parse_toml, toml_bytes

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "bfloat16"]
LogFormat = Literal["json", "text"]
IndexKindName = Literal["auto", "flat", "bounded", "quick", "gpu-flat", "gpu-ivf-flat", "gpu-ivf-pq"]
_PREFIX = "MEDSIGLIP_"
_CONFIG = f"{_PREFIX}CONFIG"
# Length of a name that is compared with others, which costs the product of their lengths (difflib).
_LONGEST_NAME = 64
# Scheme, host and port as a browser sends them (RFC 6454, section 6.2); `*` would let every page in.
# A name, and an address whose scheme runs nothing in the screen that shows the link.
_VIEWER = re.compile(
    r"[^\s=<>\"'&]{1,40}=(?!(?i:javascript|data|vbscript|blob|file):)[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"\\]{1,1000}"
)
_WEBHOOK = re.compile(r"https?://[A-Za-z0-9.\[\]:-]{1,255}(/[!-~]{0,2000})?")
_ENGINE = re.compile(r"local|ray|ray://[A-Za-z0-9.\[\]:-]{1,255}:[0-9]{1,5}")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")


class Settings(BaseSettings):
    """Each field may be set as `MEDSIGLIP_<NAME>` or in a file; the command line has precedence over both."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", env_ignore_empty=True)

    home: Path = Field(Path("~/.local/share/medsiglip"), description="folder that holds the archive")
    model: str | None = Field(
        None, description="tiny, a checkpoint folder or a hub id; the home's own when unset"
    )
    profile: str | None = Field(None, description="preprocessing profile; the home's own when unset")
    device: Device = Field("auto", description="where the encoder runs: auto, cpu or cuda")
    precision: Precision = Field("float32", description="arithmetic of the encoder: float32 or bfloat16")
    batch_size: int | None = Field(None, ge=1, le=4096, description="images encoded at once")
    workers: int | None = Field(None, ge=1, le=256, description="processes that decode and render")
    ingest_engine: str = Field(
        "local", description="what renders and encodes in an ingest: local, ray or ray://HOST:PORT"
    )
    index_kind: IndexKindName = Field(
        "auto",
        description="kind of vector search: auto, flat, bounded (exact by codes), quick (both ways), "
        "gpu-flat, gpu-ivf-flat or gpu-ivf-pq",
    )
    vector_url: str | None = Field(
        None,
        description="where vectors lie beside the shards: pgvector or milvus://HOST:PORT; in memory when "
        "unset",
    )
    vector_password_file: Path | None = Field(
        None, description="file with the password of the user that vector_url names"
    )
    database_url: str | None = Field(
        None, description="SQLAlchemy URL of the catalogue; SQLite in the home when unset"
    )
    database_password_file: Path | None = Field(
        None, description="file with the password of the user that database_url names"
    )
    object_url: str | None = Field(
        None,
        description="where vectors, maps and previews lie: s3://bucket/prefix, with ?endpoint_override= and "
        "region= where needed; in the home when unset",
    )
    object_credentials_file: Path | None = Field(
        None,
        description="credentials for object_url, as AWS's own file has them; AWS's usual ones when unset",
    )
    object_cache_bytes: int = Field(
        64 << 30, ge=1 << 20, description="copies of objects that a machine keeps, in bytes"
    )
    ingest_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="folders that clients may name files under, colon-separated; none when unset"
    )
    bootstrap_key_file: Path | None = Field(
        None, description="file with a secret that becomes the first admin key"
    )
    rate_limit: int = Field(
        60_000, ge=1, description="requests a minute that one key may send to one server process"
    )
    rate_burst: int = Field(5_000, ge=1, description="requests that a key which was quiet may send at once")
    session_seconds: float = Field(
        43_200.0, ge=60, le=31_536_000, description="how long a browser stays signed in, in seconds"
    )
    oidc_issuer: Issuer | None = Field(
        None, description="OpenID provider by which people sign in, as its tokens name it"
    )
    oidc_client_id: str | None = Field(None, min_length=1, description="this service's name at oidc_issuer")
    oidc_client_secret_file: Path | None = Field(
        None, description="file with the secret of oidc_client_id; none for a public client"
    )
    oidc_public_url: PublicUrl | None = Field(
        None, description="address of this service in browsers, to which oidc_issuer sends them back"
    )
    oidc_name: str = Field(
        "your organisation",
        min_length=1,
        max_length=100,
        description="what the sign-in page calls oidc_issuer",
    )
    oidc_request: str = Field("openid profile", description="scopes that oidc_issuer is asked for")
    oidc_claim: str = Field(
        "groups", min_length=1, description="claim of tokens that says what a person may do; a.b is b in a"
    )
    oidc_scopes: ScopeValues = Field(
        (), description="values of oidc_claim and what they allow, such as read=radiology, comma-separated"
    )
    oidc_audience: str | None = Field(
        None, min_length=1, description="name of this API in access tokens; none is taken when unset"
    )
    audit_syslog: SyslogUrl | None = Field(
        None, description="receiver of the audit trail: udp://, tcp:// or tls://HOST:PORT"
    )
    max_json_bytes: int = Field(
        32 << 20, ge=1024, description="largest body of a request that is no upload, in bytes"
    )
    max_upload_bytes: int = Field(8 << 30, ge=1, description="largest upload of files, in bytes")
    max_upload_files: int = Field(20_000, ge=1, description="most files in one upload")
    upload_pause_seconds: float = Field(
        30.0, gt=0, description="longest time in which a body may stand still, in seconds"
    )
    upload_seconds: float = Field(
        21_600.0, gt=0, description="longest time that one body may take as a whole, in seconds"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="origins whose pages may ask, such as https://viewer.example, comma-separated"
    )
    viewers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="links of cases to other viewers, such as PACS=https://pacs.example/view?uid={study}, "
        "separated by spaces",
    )
    min_free_bytes: int = Field(
        1 << 30, ge=0, description="free disk in the home below which the service is not ready, in bytes"
    )
    generators: Path | None = Field(
        None,
        description="TOML file that names the generators of drafts; generators.toml in the home when unset",
    )
    uncertain_low: float = Field(
        0.2, ge=0, le=1, description="score from which a finding is neither absent nor present"
    )
    uncertain_high: float = Field(0.8, ge=0, le=1, description="score from which a finding is present")
    receive_host: str = Field(
        "127.0.0.1", description="address that the receiver listens on; 0.0.0.0 for all"
    )
    receive_port: int = Field(11112, ge=0, le=65535, description="port of the receiver; 0 takes a free one")
    receive_aet: str = Field(
        "MEDSIGLIP", min_length=1, max_length=16, description="AE title that senders must call the receiver"
    )
    receive_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="who may send to the receiver: AET, AET@HOST or AET@NETWORK, comma-separated; any sender "
        "of this machine when unset",
    )
    receive_peers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="where senders take reports of storage commitment, such as CT1=10.1.0.7:104, "
        "comma-separated",
    )
    receive_quiet_seconds: float = Field(
        60.0, ge=0.1, le=86_400, description="how long nothing more of a study comes before it is ingested"
    )
    receive_longest_seconds: float = Field(
        3600.0, ge=1, le=604_800, description="how long a study that keeps growing waits at most"
    )
    receive_processes: int = Field(2, ge=1, le=64, description="processes that receive instances")
    receive_largest_bytes: int = Field(
        4 << 30, ge=1024, description="largest instance that the receiver takes, in bytes"
    )
    receive_associations: int = Field(
        100, ge=1, le=1000, description="associations that may be open with the receiver at once"
    )
    receive_tls_certificate_file: Path | None = Field(
        None, description="certificate of the receiver (PEM); without one it speaks no TLS"
    )
    receive_tls_key_file: Path | None = Field(None, description="key of the receiver's certificate (PEM)")
    receive_tls_ca_file: Path | None = Field(
        None, description="certificates (PEM) of which senders must show one; none is asked for when unset"
    )
    fetched_seconds: float = Field(
        86_400.0,
        ge=60,
        description="how long files that were fetched again from a PACS stay unused, in seconds",
    )
    webhook_url: str | None = Field(
        None, description="address that is told of new studies, accepted reports and failed syncs"
    )
    webhook_secret_file: Path | None = Field(
        None, description="file with the secret that signs what webhook_url is told"
    )
    log_format: LogFormat = Field("json", description="lines of the server's log: json or text")
    log_file: Path | None = Field(
        None, description="file that servers and workers add their log to; standard error when unset"
    )
    otlp_endpoint: str | None = Field(
        None, description="OpenTelemetry collector that traces go to, such as http://127.0.0.1:4318"
    )
    trace_ratio: float = Field(
        1.0, ge=0, le=1, description="part of the traces that are recorded, of those that begin here"
    )

    @field_validator("ingest_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: object) -> object:
        parts = value.split(os.pathsep) if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            return parts
        return tuple(Path(part).expanduser().absolute() for part in parts if str(part).strip())

    @field_validator("receive_allow", "receive_peers", mode="before")
    @classmethod
    def _split_senders(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())

    @field_validator("ingest_engine")
    @classmethod
    def _check_engine(cls, value: str) -> str:
        if _ENGINE.fullmatch(value) is None:
            raise ValueError(
                f"{value!r} is no engine: local, ray, or an address such as ray://10.1.0.7:10001"
            )
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError(f"{origin!r} is no origin such as https://viewer.example")
        return value

    @field_validator("webhook_url")
    @classmethod
    def _check_webhook(cls, value: str | None) -> str | None:
        if value is not None and _WEBHOOK.fullmatch(value) is None:
            raise ValueError(f"{value!r} is no address such as https://ris.example/events")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _check_collector(cls, value: str | None) -> str | None:
        if value is not None and _WEBHOOK.fullmatch(value) is None:
            raise ValueError(f"{value!r} is no address such as http://127.0.0.1:4318")
        return value

    @field_validator("viewers", mode="before")
    @classmethod
    def _split_viewers(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("viewers")
    @classmethod
    def _check_viewers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for viewer in value:
            if _VIEWER.fullmatch(viewer) is None or "{study}" not in viewer:
                raise ValueError(
                    f"{viewer!r} is no link such as PACS=https://pacs.example/view?uid={{study}}"
                )
        return value


@dataclass(frozen=True, slots=True)
class TracedSettings:
    """Settings and where each value comes from: `command line`, a variable, a file or `default`."""

    settings: Settings
    origins: dict[str, str]


def read_settings(config: Path | None = None, **given: Any) -> Settings:
    """The settings of file and environment, overridden by those `given` (None means not given).

    Raises ServiceError `bad-setting`, naming option, variable or file, when a value cannot be used, and
    `bad-config` for a file that cannot be used.
    """
    return trace_settings(config, **given).settings


def trace_settings(config: Path | None = None, **given: Any) -> TracedSettings:
    """As `read_settings`, with the origin of each value."""
    chosen = {name: value for name, value in given.items() if value is not None}
    environment = EnvSettingsSource(Settings)()
    file, stored = _stored(config, chosen.get("home") or environment.get("home"))
    origins = {
        **dict.fromkeys(Settings.model_fields, "default"),
        **dict.fromkeys(stored, str(file)),
        **{name: f"{_PREFIX}{name.upper()}" for name in environment},
        **dict.fromkeys(chosen, "command line"),
    }
    try:
        settings = Settings(**{**stored, **environment, **chosen})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        shown = f"--{name.replace('_', '-')}" if name in chosen else f"{_PREFIX}{name.upper()}"
        if origins.get(name) == str(file):
            shown = f"{name} in {file}"
        raise ServiceError("bad-setting", f"{shown} cannot be used: {first['msg'].lower()}") from None
    settings = settings.model_copy(update={"home": settings.home.expanduser().absolute()})
    return TracedSettings(settings, origins)


def _stored(config: Path | None, home: Any) -> tuple[Path | None, dict[str, Any]]:
    """The file of settings, if there is one, and its values."""
    named = config or os.environ.get(_CONFIG) or None
    names = list(Settings.model_fields)
    if named is not None:
        file = Path(named).expanduser().absolute()
        return file, read_config_file(file, names)
    folder = Path(home or Settings.model_fields["home"].default).expanduser().absolute()
    file = folder / "medsiglip.toml"
    if not file.is_file():
        return None, {}
    # The file in a home cannot set another home.
    return file, read_config_file(file, [name for name in names if name != "home"])


def read_config_file(file: Path, names: Sequence[str]) -> dict[str, Any]:
    """The values of `names` that the file sets.

    Raises ServiceError `bad-config` for a file that cannot be read, and for another name.
    """
    try:
        found = parse_toml(toml_bytes(file))
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ServiceError("bad-config", f"the settings in {file} cannot be read: {reason}.") from None
    except TomlError as error:
        raise ServiceError("bad-config", f"{file} is not TOML: {error}.") from None
    for name in found:
        if name not in names:
            near = get_close_matches(name[:_LONGEST_NAME].lower().replace("-", "_"), names, n=1)
            meant = f"did you mean {near[0]}?" if near else "`medsiglip config show` lists all."
            raise ServiceError(
                "bad-config", f"{file} sets {excerpt(name)}, which may not be set there; {meant}"
            )
    return found


def describe_settings(traced: TracedSettings) -> dict[str, Any]:
    """`{"settings": [{"name", "value", "origin", "description"}]}`, in the order of the table."""
    values = printable_values(traced.settings)
    fields = type(traced.settings).model_fields
    return {
        "settings": [
            {
                "name": name,
                "value": values[name],
                "origin": traced.origins[name],
                "description": field.description,
            }
            for name, field in fields.items()
        ]
    }


def printable_values(settings: Settings) -> dict[str, Any]:
    """Each setting's value as JSON; of a URL the password is `***`."""
    return {
        name: without_password(value) if isinstance(value, str) else value
        for name, value in settings.model_dump(mode="json").items()
    }
