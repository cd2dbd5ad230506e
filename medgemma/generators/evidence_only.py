"""`evidence-only`: a structured draft from scores alone, without any generator.

It is about this patient. Retrieved reports are evidence beside the draft: its text has nothing of similar
cases.
"""

from __future__ import annotations

from medsiglip.medgemma.narrative.composing import Background, compose
from medsiglip.medgemma.narrative.statements import Sourced

__all__ = ["EVIDENCE_ONLY", "Background", "Sourced", "compose"]

EVIDENCE_ONLY = "evidence-only"
"""The name of this generator, which needs no configuration."""
