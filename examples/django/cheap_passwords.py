"""The same settings, but for passwords that cost next to nothing: while logins are weighed, thousands begin."""

from settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
