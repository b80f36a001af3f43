"""What clients send, and what is in a token."""

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from rest_framework import serializers
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer


def roles(user):
    """Those that Django has without asking for groups, which would be one more statement."""
    return ["user", "admin"] if user.is_staff else ["user"]


class RegisterSerializer(serializers.ModelSerializer):
    password = serializers.CharField(write_only=True, validators=[validate_password])

    class Meta:
        model = User
        fields = ["id", "username", "email", "password"]

    def create(self, validated_data):
        return User.objects.create_user(**validated_data)


class TokenWithNameSerializer(TokenObtainPairSerializer):
    """With what a profile shows, for who reads a token and asks no database."""

    @classmethod
    def get_token(cls, user):
        token = super().get_token(user)
        token["username"] = user.username
        token["roles"] = roles(user)
        return token
