"""A FastAPI service that takes dualauth's access tokens: `python fastapi_service.py PORT`."""

import os
import socket
import sys
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from dualauth_verify import Claims, VerificationError, Verifier

verifier = Verifier(
    issuer=os.environ["DUALAUTH_ISSUER"],
    audience=os.environ["DUALAUTH_AUDIENCE"],
    url=os.environ.get("DUALAUTH_URL"),
    client_id=os.environ.get("DUALAUTH_CLIENT_ID"),
    client_secret=os.environ.get("DUALAUTH_CLIENT_SECRET"),
    staleness_bound=float(os.environ.get("DUALAUTH_STALENESS_BOUND", "1")),
    when_stale=os.environ.get("DUALAUTH_WHEN_STALE", "refuse"),
)
app = FastAPI()


def signed_in(request: Request) -> Claims:
    return verifier.authenticate(request.headers.getlist("authorization"))


@app.exception_handler(VerificationError)
def refused(request: Request, error: VerificationError) -> JSONResponse:
    return JSONResponse(error.problem, error.status, error.headers, media_type="application/problem+json")


@app.get("/me")
def me(user: Annotated[Claims, Depends(signed_in)]):
    return {"sub": user.sub, "username": user.username, "roles": user.roles, "sid": user.sid}


@app.get("/health")
def health():
    return {"fresh": verifier.fresh}


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
