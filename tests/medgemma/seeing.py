"""Answers a scripted server's readiness prompt as a generator that sees its pictures does."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

_QUESTION = "Describe this picture in one sentence"


def seen(body: Mapping[str, Any]) -> str | None:
    """What a generator says of the picture that asks whether it sees; None for any other request."""
    contents = [message["content"] for message in body["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    if not any(part.get("text", "").startswith(_QUESTION) for part in parts):
        return None
    [uri] = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
    red, _, blue = np.asarray(picture).reshape(-1, 3).mean(axis=0)
    return "A red disc on white." if red > blue else "Blue stripes on black."
