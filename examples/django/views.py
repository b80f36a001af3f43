"""Sessions by Django and JWTs by SimpleJWT, over one table of users."""

from django.contrib.auth import login, logout
from django.http import HttpResponse
from rest_framework import generics, status
from rest_framework.authtoken.serializers import AuthTokenSerializer
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication

from serializers import RegisterSerializer, roles


def health(request):
    return HttpResponse("ok")


class Register(generics.CreateAPIView):
    authentication_classes = []
    permission_classes = [AllowAny]
    serializer_class = RegisterSerializer


class SessionLogin(APIView):
    authentication_classes = []
    permission_classes = [AllowAny]

    def post(self, request):
        credentials = AuthTokenSerializer(data=request.data, context={"request": request})
        credentials.is_valid(raise_exception=True)
        user = credentials.validated_data["user"]
        login(request, user)
        return Response({"user_id": user.pk, "username": user.username})


class SessionLogout(APIView):
    def post(self, request):
        logout(request)
        return Response(status=status.HTTP_204_NO_CONTENT)


class Profile(APIView):
    """Either credential will do. The user is read from the database, a token's too: SimpleJWT does so by default."""

    def get(self, request):
        user = request.user
        mode = "jwt" if request.auth else "session"
        return Response(
            {"user_id": user.pk, "username": user.username, "roles": roles(user), "auth": {"mode": mode}}
        )


class StatelessProfile(APIView):
    """The user is what the token says, and nobody is asked."""

    authentication_classes = [JWTStatelessUserAuthentication]

    def get(self, request):
        user = request.user
        return Response(
            {"user_id": user.id, "username": user.username, "roles": request.auth["roles"], "auth": {"mode": "jwt"}}
        )
