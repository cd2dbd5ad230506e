"""What probes, prompt sets, routing rules, keys and cases may be called: the one statement of these
rules, for the service, its client and the command line.

A name that stands in a URL has no character that means something there, and is not made of dots alone, which
a URL resolves as a step to another path (RFC 3986, section 5.2.4). Patterns are of the kind that both `re`
and JSON Schema understand.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UID = re.compile(r"\.*[0-9A-Za-z_-][0-9A-Za-z._-]*")
_PATIENT_KEY = re.compile(r"[0-9A-Za-z]+")
_IDENTIFIER = re.compile(r"[0-9A-Za-z_-]+")

_PROBE = re.compile(rf"{_NAME.pattern}(?:@[1-9][0-9]{{0,8}})?")

_SUBJECT = re.compile(rf"labels|(?:prompts|probe):{_NAME.pattern}")

# Letters of most scripts, digits, spaces and a few signs: nothing that means something in a URL, and no
# character that is not seen.
_LETTER = r"0-9A-Za-z\u00c0-\u1fff\u2c00-\ud7ff"
_VIEW = re.compile(rf"[{_LETTER}][{_LETTER} ._,()+-]*")

NAME = f"^{_NAME.pattern}$"
"""Of a probe, a prompt set or a routing rule."""
PROBE = f"^{_PROBE.pattern}$"
"""Of a probe, or of one version of it: `effusion@2`."""
SUBJECT = f"^(?:{_SUBJECT.pattern})$"
"""Of what a calibration is made for: `prompts:NAME`, `probe:NAME`, or `labels`."""
UID = f"^{_UID.pattern}$"
"""Of a study, series or instance. Broken files have letters in UIDs, which PS3.5, section 9.1 forbids."""
VIEW = f"^{_VIEW.pattern}$"
"""Of a saved view of the screen."""
PATIENT_KEY = f"^{_PATIENT_KEY.pattern}$"
LONGEST_IN_URL = 64
"""The most characters of all of these; of a UID by PS3.5, section 9.1."""
LONGEST_PROBE = LONGEST_IN_URL + len("@123456789")
LONGEST_SUBJECT = LONGEST_IN_URL + len("prompts:")
LONGEST_LABEL = 4096
"""Of a label or another text; the catalogue, which imports nothing of this package, says so too."""
LONGEST_KEY_NAME = 100

_URL_NAMES = {
    "name": (
        _NAME.fullmatch,
        "letters, digits, dots, hyphens and underscores, beginning with a letter or digit",
    ),
    "probe": (
        _PROBE.fullmatch,
        "letters, digits, dots, hyphens and underscores, beginning with a letter or digit, and perhaps the "
        "number of a version, as in effusion@2",
    ),
    "subject": (_SUBJECT.fullmatch, "prompts:NAME, probe:NAME or labels"),
    "uid": (_UID.fullmatch, "letters, digits, dots, hyphens and underscores, and not dots alone"),
    "patient_key": (_PATIENT_KEY.fullmatch, "letters and digits"),
    "view": (_VIEW.fullmatch, "letters, digits, spaces and ._,()+-, beginning with a letter or digit"),
    "identifier": (_IDENTIFIER.fullmatch, "letters, digits, hyphens and underscores"),
}


def is_name(text: str) -> bool:
    """Whether a probe, a prompt set or a routing rule may be called so."""
    return why_not("name", text) is None


def is_key_name(text: str) -> bool:
    """Whether an API key, and so its user, may be called so: 1 to 100 printable characters."""
    return 0 < len(text.strip()) <= LONGEST_KEY_NAME and text.isprintable()


def why_not(kind: str, text: str) -> str | None:
    """What a text of this kind (`name`, `probe`, `subject`, `uid`, `view`, `patient_key`, `identifier`) must
    be if this one is not.
    """
    matches, meaning = _URL_NAMES[kind]
    longest = LONGEST_SUBJECT if kind == "subject" else LONGEST_IN_URL
    if len(text.partition("@")[0]) <= longest and matches(text):
        return None
    return f"it has 1 to {longest} characters: {meaning}"
