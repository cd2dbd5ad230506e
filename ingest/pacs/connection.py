"""How a PACS is reached: by DICOMweb, or by DIMSE.

Secrets stay in files or with the command that gives a token; a connection holds only their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from medsiglip.ingest.errors import PacsError

Kind = Literal["dicomweb", "dimse"]
Retrieval = Literal["get", "move"]
DocumentFormat = Literal["sr", "pdf"]
# PS3.5, section 6.2: an AE title has 16 characters of the default repertoire, without backslash and controls.
_AE_TITLE = re.compile(r"(?=.*[^ ])[ -\[\]-~]{1,16}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,251}[A-Za-z0-9])?|::1?")
_HOURS = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]")
_LONGEST = 2000
FORMATS: tuple[DocumentFormat, ...] = ("sr", "pdf")


@dataclass(frozen=True, slots=True)
class Connection:
    """A PACS under a name.

    `url` is the root of a DICOMweb service, such as `https://pacs.example/dicom-web`. `ae_title`, `host` and
    `port` are those of a DIMSE service, `calling_ae_title` is how this side calls itself. `retrieve` is how
    studies come by DIMSE, `move_destination` the AE title by which the PACS knows the receiver of this home
    (C-MOVE). `changes_url` is the root of Orthanc's REST API, whose list of changes then says what is new.

    TLS: `tls` for DIMSE (a URL says it itself); `ca_file` holds the certificates that are trusted in place of
    the system's, `certificate_file` and `key_file` are this side's own. Of `token_file`, `token_command` and
    `username` with `password_file` at most one is given.

    `rate` is how many operations a second a pull or a sync may cause, one for each query and for each
    instance, None for no limit; `hours` when a sync may work, in local time, as `20:00-06:00`. `keep_files`
    says whether files stay in the home after their pictures were embedded; `send_accepted` which documents of
    an accepted draft are sent here without being asked for.
    """

    name: str
    kind: Kind
    url: str | None = None
    host: str | None = None
    port: int | None = None
    ae_title: str | None = None
    calling_ae_title: str = "MEDSIGLIP"
    retrieve: Retrieval = "get"
    move_destination: str | None = None
    changes_url: str | None = None
    tls: bool = False
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    token_file: Path | None = None
    token_command: str | None = None
    username: str | None = None
    password_file: Path | None = None
    rate: float | None = None
    hours: str | None = None
    timeout_seconds: float = 30.0
    keep_files: bool = True
    send_accepted: tuple[DocumentFormat, ...] = ()

    @property
    def names_secrets(self) -> bool:
        """Whether files or a command of this machine are named, which only its command line may do."""
        return any(getattr(self, name) is not None for name in NAMING_SECRETS)

    def to_json(self) -> dict[str, Any]:
        """The options as JSON values, without the name and without defaults."""
        given = asdict(self)
        defaults = {one.name: one.default for one in fields(self)}
        return {
            name: str(value)
            if isinstance(value, Path)
            else list(value)
            if isinstance(value, tuple)
            else value
            for name, value in given.items()
            if name != "name" and value != defaults[name]
        }

    @classmethod
    def from_json(cls, name: str, options: Mapping[str, Any]) -> Connection:
        """The connection of `to_json`; raises what `checked` raises."""
        known = {one.name for one in fields(cls)} - {"name"}
        values = {key: value for key, value in options.items() if key in known}
        for key in _PATHS:
            values[key] = None if values.get(key) is None else Path(values[key])
        values["send_accepted"] = tuple(values.get("send_accepted") or ())
        return checked(cls(name=name, **values))


_PATHS = ("ca_file", "certificate_file", "key_file", "token_file", "password_file")
NAMING_SECRETS = (*_PATHS, "token_command")
_OF_DIMSE = ("host", "port", "ae_title", "calling_ae_title", "retrieve", "move_destination")


def checked(connection: Connection) -> Connection:
    """The connection, if its options go together; raises `PacsError` `bad-connection`."""
    problem = _problem(connection)
    if problem is not None:
        raise PacsError("bad-connection", f"The connection {connection.name} cannot be used: {problem}.")
    return connection


def _problem(given: Connection) -> str | None:
    if given.kind == "dicomweb":
        problem = _problem_of_url("url", given.url)
        defaults = {one.name: one.default for one in fields(Connection)}
        misplaced = [name for name in _OF_DIMSE if getattr(given, name) != defaults[name]]
        if problem is None and misplaced:
            problem = f"{misplaced[0]} belongs to DIMSE, and the kind is dicomweb"
    else:
        problem = _problem_of_dimse(given)
    return problem or _problem_of_access(given) or _problem_of_pace(given)


def _problem_of_url(name: str, url: str | None) -> str | None:
    try:
        parts = urlsplit(url or "")
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or len(url or "") > _LONGEST or re.search(r"[\s\x00-\x1f\x7f]", url or ""):
        return f"{name} must be an address such as https://pacs.example/dicom-web"
    if parts.username is not None or parts.password is not None:
        return f"{name} holds a name or password: give username and password_file instead"
    if parts.query or parts.fragment:
        return f"{name} may hold no ? and no #"
    return None


def _problem_of_dimse(given: Connection) -> str | None:
    if given.url is not None:
        return "url belongs to dicomweb, and the kind is dimse"
    if _HOST.fullmatch(given.host or "") is None:
        return "host must be a name or an address"
    if not isinstance(given.port, int) or not 0 < given.port < 65536:
        return "port must be from 1 to 65535"
    for name in ("ae_title", "calling_ae_title", "move_destination"):
        value = getattr(given, name)
        if (value is not None or name == "ae_title") and _AE_TITLE.fullmatch(value or "") is None:
            return f"{name} must be an AE title of at most 16 characters"
    if given.retrieve not in ("get", "move"):
        return "retrieve must be get or move"
    if given.retrieve == "move" and given.move_destination is None:
        return "C-MOVE needs move_destination, the AE title by which the PACS knows the receiver"
    if given.retrieve != "move" and given.move_destination is not None:
        return "move_destination is for C-MOVE: give retrieve=move, too, or leave it out"
    if given.token_file or given.token_command or given.username:
        return "tokens and passwords belong to dicomweb, and the kind is dimse"
    return None


def _problem_of_access(given: Connection) -> str | None:
    ways = [given.token_file, given.token_command, given.username]
    if sum(way is not None for way in ways) > 1:
        return "give one of token_file, token_command and username"
    if (given.username is None) != (given.password_file is None):
        return "username and password_file go together"
    if (given.certificate_file is None) != (given.key_file is None):
        return "certificate_file and key_file go together"
    problem = None if given.changes_url is None else _problem_of_url("changes_url", given.changes_url)
    return problem or _problem_of_tls(given)


def _problem_of_tls(given: Connection) -> str | None:
    """What would go in clear where TLS is asked for, or to another server than the one that is meant."""
    service, changes = (None if url is None else urlsplit(url) for url in (given.url, given.changes_url))
    schemes = {address.scheme for address in (service, changes) if address is not None}
    if given.tls and service is not None and service.scheme != "https":
        return "tls is asked for, and url begins with http: give an https address"
    certificates = [name for name in ("ca_file", "certificate_file") if getattr(given, name) is not None]
    if certificates and not given.tls and "https" not in schemes:
        return f"{certificates[0]} is given, and no TLS is spoken: give tls for DIMSE, or an https address"
    has_key = given.token_file or given.token_command or given.username
    if has_key and service is not None and changes is not None:
        is_other = service.hostname != changes.hostname
        if is_other or (service.scheme == "https" and changes.scheme != "https"):
            return "changes_url leads to another host than url, or out of TLS, and would be told its token"
    return None


def _problem_of_pace(given: Connection) -> str | None:
    if given.rate is not None and not 0.01 <= given.rate <= 100_000:
        return "rate must be from 0.01 to 100000 operations a second"
    if given.hours is not None and _HOURS.fullmatch(given.hours) is None:
        return "hours must be such as 20:00-06:00"
    if not 1 <= given.timeout_seconds <= 3600:
        return "timeout_seconds must be from 1 to 3600"
    if len(set(given.send_accepted)) != len(given.send_accepted) or not set(given.send_accepted) <= set(
        FORMATS
    ):
        return "send_accepted must be sr, pdf or both"
    return None
