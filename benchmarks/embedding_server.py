"""Services with one route, `POST /v1/embeddings`: `python -m benchmarks.embedding_server KIND FOLDER PORT`.

`shared` answers through `api.encoding.SharedEncoder`, `alone` encodes each request by itself, as a route does
that is written without further thought. Both read, draw and answer pictures by the same lines.
"""

import base64
import io
import sys
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image

from api.encoding import SharedEncoder
from medsiglip.checkpoint import open_checkpoint
from medsiglip.preprocess import to_model_input


def embeddings_app(encoder: Any) -> FastAPI:
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
    kind, folder, port = sys.argv[1:]
    checkpoint = open_checkpoint(folder)
    encoder: Any
    if kind == "shared":
        encoder = SharedEncoder(checkpoint, device="cpu", batch_size=16)
        encoder.encode_images(np.zeros((1, encoder.image_size, encoder.image_size, 3), np.uint8))
    else:
        from medsiglip.encoder import Encoder

        encoder = Encoder(checkpoint, device="cpu")
    uvicorn.run(embeddings_app(encoder), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main()
