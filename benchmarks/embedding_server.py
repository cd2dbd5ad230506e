"""The peer, a plain FastAPI service: `python -m benchmarks.embedding_server FOLDER PORT`.

Its one route, `POST /v1/embeddings`, encodes each request by itself.
"""

import base64
import io
import sys
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image

from medsiglip.checkpoint import open_checkpoint
from medsiglip.encoder import Encoder
from medsiglip.preprocess import to_model_input


def embeddings_app(encoder: Encoder) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/embeddings")
    def embeddings(request: dict[str, Any]) -> dict[str, Any]:
        pictures = [_picture(one["image"]) for one in request["input"]]
        inputs = [to_model_input(picture, encoder.image_size, encoder.profile) for picture in pictures]
        data = [
            {"index": i, "embedding": base64.b64encode(vector.tobytes()).decode("ascii")}
            for i, vector in enumerate(encoder.encode_images(inputs))
        ]
        return {"object": "list", "data": data, "model": request["model"]}

    return app


def _picture(data_uri: str) -> np.ndarray:
    encoded = base64.b64decode(data_uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(encoded)))


def main() -> None:
    folder, port = sys.argv[1:]
    encoder = Encoder(open_checkpoint(folder), device="cpu")
    uvicorn.run(embeddings_app(encoder), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main()
