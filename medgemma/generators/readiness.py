"""Whether a generator sees its pictures: one prompt with two different pictures must give two answers.

A server with the wrong chat template, or a build for text alone, silently drops pictures and writes fluent
reports of nothing.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.generators import Readiness
from medsiglip.medgemma.generators.replies import Reply
from medsiglip.medgemma.prompting.budget import Budget
from medsiglip.medgemma.prompting.prompts import Prompt

# A generator that samples its answers differs between two pictures, whether it sees them or not.
_SEEN = (re.compile(r"\bred\b", re.IGNORECASE), re.compile(r"\bblue\b", re.IGNORECASE))
_QUESTION = "Describe this picture in one sentence: its colours and what shape it shows."


def try_two_pictures(generate: Callable[[Prompt], Reply], budget: Budget) -> Readiness:
    """Send the same prompt with two pictures, and with the first again. Returns the code and sentence of a
    DraftError instead of raising it.

    `image-blind` when both answers are the same but for case and white space, or when the first picture gets
    different answers and the answers do not name the pictures' colours.
    """
    disc, stripes = probe_pictures()
    try:
        first, second, again = (generate(_prompt(picture, budget)) for picture in (disc, stripes, disc))
    except DraftError as error:
        return Readiness(False, error.code, str(error), may_pass=error.may_pass)
    steady = _folded(first.text) == _folded(again.text)
    seen = all(
        colour.search(reply.text) for colour, reply in zip(_SEEN, (first, second), strict=True)
    ) and not any(colour.search(reply.text) for colour, reply in zip(_SEEN, (second, first), strict=True))
    if _folded(first.text) == _folded(second.text) or not (steady or seen):
        return Readiness(
            False,
            "image-blind",
            f"{first.model} answers two different pictures as if it did not see them; serve "
            "a multimodal checkpoint with its own chat template.",
            first.model,
        )
    return Readiness(True, None, f"{first.model} tells two pictures apart.", first.model)


def probe_pictures() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a red disc on white and blue stripes on black, uint8 [448, 448, 3] both."""
    y, x = np.mgrid[:448, :448]
    disc = np.full((448, 448, 3), 255, np.uint8)
    disc[(x - 224) ** 2 + (y - 224) ** 2 < 140**2] = (220, 20, 20)
    stripes = np.zeros((448, 448, 3), np.uint8)
    stripes[(x // 56) % 2 == 0] = (20, 60, 230)
    return disc, stripes


class RememberedReadiness:
    """Calls `probe` again when its last result is older than `seconds`, or `seconds_unready` if not ready.

    Concurrent callers wait for one probe.
    """

    def __init__(
        self,
        probe: Callable[[], Readiness],
        seconds: float = 300.0,
        seconds_unready: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe, self._clock = probe, clock
        self._seconds = {True: seconds, False: seconds_unready}
        self._lock = threading.Lock()
        self._known: tuple[Readiness, float] | None = None

    def __call__(self) -> Readiness:
        """Return the remembered answer, or a new one."""
        with self._lock:
            if self._known is not None:
                answer, at = self._known
                if self._clock() - at < self._seconds[answer.ready]:
                    return answer
            answer = self._probe()
            self._known = (answer, self._clock())
            return answer


def _prompt(picture: NDArray[np.uint8], budget: Budget) -> Prompt:
    return Prompt(
        "two-pictures",
        None,
        (_QUESTION, picture),
        64 + budget.thinking_tokens,
        budget.picture_cost(_QUESTION),
    )


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
