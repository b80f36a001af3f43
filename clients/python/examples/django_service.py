"""A Django REST framework service that takes dualauth's access tokens: `python django_service.py PORT`."""

import os
import sys
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotAuthenticated

from dualauth_verify import Claims, VerificationError, Verifier

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.urandom(32).hex(),
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [f"{__name__}.DualauthAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "EXCEPTION_HANDLER": f"{__name__}.problem_document",
        "UNAUTHENTICATED_USER": None,
    },
)

verifier = Verifier(
    issuer=os.environ["DUALAUTH_ISSUER"],
    audience=os.environ["DUALAUTH_AUDIENCE"],
    url=os.environ.get("DUALAUTH_URL"),
    client_id=os.environ.get("DUALAUTH_CLIENT_ID"),
    client_secret=os.environ.get("DUALAUTH_CLIENT_SECRET"),
    staleness_bound=float(os.environ.get("DUALAUTH_STALENESS_BOUND", "1")),
    when_stale=os.environ.get("DUALAUTH_WHEN_STALE", "refuse"),
)


@dataclass(frozen=True)
class SignedIn:
    """`request.user`."""

    claims: Claims
    is_authenticated = True


class DualauthAuthentication(BaseAuthentication):
    def authenticate(self, request):
        header = request.headers.get("Authorization")
        if header is None:
            return None
        claims = verifier.authenticate([header])
        return SignedIn(claims), claims

    def authenticate_header(self, request):
        return "Bearer"


def problem_document(error, context):
    from rest_framework.views import Response, exception_handler

    if isinstance(error, NotAuthenticated):
        error = VerificationError("not_authenticated", "Sign in first.")
    if not isinstance(error, VerificationError):
        return exception_handler(error, context)
    return Response(error.problem, error.status, headers=error.headers, content_type="application/problem+json")


# Below what the settings name: REST framework reads them here.
from rest_framework.decorators import api_view, permission_classes  # noqa: E402
from rest_framework.response import Response  # noqa: E402


@api_view()
def me(request):
    user = request.user.claims
    return Response({"sub": user.sub, "username": user.username, "roles": user.roles, "sid": user.sid})


@api_view()
@permission_classes([])
def health(request):
    return Response({"fresh": verifier.fresh})


urlpatterns = [path("me", me), path("health", health)]
application = get_wsgi_application()


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


if __name__ == "__main__":
    with make_server("127.0.0.1", int(sys.argv[1]), application, server_class=Server) as server:
        print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
