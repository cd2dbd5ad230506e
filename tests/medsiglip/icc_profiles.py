"""ICC profiles of a gamma and three primaries, or of grey (ICC.1:2001-04), and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# Adobe RGB (1998), adapted to D50: red, green and blue as X, Y, Z.
ADOBE_RGB = np.array([[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]])
D50 = (0.96420, 1.0, 0.82491)
# IEC 61966-2-1, adapted to D50.
_TO_LINEAR_SRGB = np.array(
    [[3.13385, -1.61687, -0.49061], [-0.97877, 1.91614, 0.03345], [0.07194, -0.22899, 1.40524]]
)


def rgb_profile(gamma: float = 2.19921875, primaries: Any = ADOBE_RGB) -> bytes:
    curve = b"curv\0\0\0\0" + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big") + bytes(2)
    tags = {name: _xyz(primary) for name, primary in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    return _profile(b"RGB ", {**tags, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)})


def grey_profile(gamma: float) -> bytes:
    curve = b"curv\0\0\0\0" + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big") + bytes(2)
    return _profile(b"GRAY", {b"kTRC": curve})


def srgb_levels(light: Any) -> Any:
    """Linear light 0..1 as levels 0..255 of sRGB."""
    light = np.clip(light, 0.0, 1.0)
    return 255.0 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def as_srgb(colours: Any, gamma: float = 2.19921875, primaries: Any = ADOBE_RGB) -> Any:
    """What a profile of `rgb_profile` means by RGB values 0..1 [..., 3]."""
    return srgb_levels(colours**gamma @ primaries @ _TO_LINEAR_SRGB.T)


def _xyz(values: Any) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(round(v * 65536).to_bytes(4, "big", signed=True) for v in values)


def _profile(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    text = b"made for a test\0"
    given = {
        b"desc": b"desc\0\0\0\0" + len(text).to_bytes(4, "big") + text + bytes(79),
        b"wtpt": _xyz(D50),
        **tags,
    }
    table, data, at = b"", b"", 128 + 4 + 12 * len(given)
    for name, value in given.items():
        value += bytes(-len(value) % 4)
        table += name + (at + len(data)).to_bytes(4, "big") + len(value).to_bytes(4, "big")
        data += value
    size = at + len(data)
    head = size.to_bytes(4, "big") + b"lcms\x02\x10\0\0mntr" + space + b"XYZ " + bytes(12) + b"acsp"
    head += bytes(68 - len(head)) + b"".join(round(v * 65536).to_bytes(4, "big") for v in D50)
    return head + bytes(128 - len(head)) + len(given).to_bytes(4, "big") + table + data
