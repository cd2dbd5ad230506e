"""Answers with vectors."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Embedding(BaseModel):
    """One vector of unit length: numbers, or float32 little-endian in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Tokens of the texts; pictures have none."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(BaseModel):
    """Vectors in the order of the input."""

    object: Literal["list"]
    data: list[Embedding]
    model: str = Field(examples=["google/medsiglip-448"])
    usage: Usage
