"""The least an edge could be: one route, served as ours is."""

import os

import uvicorn
from litestar import Litestar, get


@get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok", "version": "0"}


if __name__ == "__main__":
    uvicorn.run(
        Litestar([health], openapi_config=None),
        host="127.0.0.1",
        port=int(os.environ["EDGE_PORT"]),
        log_config=None,
        access_log=False,
        server_header=False,
    )
