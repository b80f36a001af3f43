"""Makes hashes.json: passwords as other systems hash them, each by that system's own library where it can be had.

Run by hand, on Linux, with Python 3.11 (whose `crypt` is the machine's crypt(3)) and requirements.txt:

    python make.py CLASS_PHPASS > hashes.json

CLASS_PHPASS is WordPress' wp-includes/class-phpass.php. make.php needs PHP 8, make.mjs npm's firebase-scrypt 2.2.0.
Spring Security's and Keycloak's are computed here as their sources do; the first was checked against the hash in
Pbkdf2PasswordEncoderTests, the second against users in exported realms. ASP.NET's are those of Microsoft's own PasswordHasherTest.
"""

import base64
import crypt
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import argon2
import django.conf
import passlib.hash
import werkzeug.security

HERE = pathlib.Path(__file__).parent
PLAIN = "a quiet lantern over the weir"
# What NFKC changes, in two ways.
TYPED = "\ufb01ne cafe\u0301 under the weir"
LONG = "long " * 18
QUOTED = """ the weir's "quiet" lantern """


def django_hashes(password):
    from django.contrib.auth import hashers

    for hasher in (hashers.PBKDF2PasswordHasher(), hashers.PBKDF2SHA1PasswordHasher()):
        yield "Django 5.2", hasher.encode(password, "saltsaltsalt", iterations=1000)
    for hasher in (hashers.BCryptSHA256PasswordHasher(), hashers.BCryptPasswordHasher()):
        hasher.rounds = 4
        if len(password) < 72 or hasher.digest:
            yield "Django 5.2", hasher.encode(password, hasher.salt())
    hasher = hashers.ScryptPasswordHasher()
    yield "Django 5.2", hasher.encode(password, "saltsaltsalt", n=16)
    hasher = hashers.Argon2PasswordHasher()
    hasher.memory_cost, hasher.time_cost, hasher.parallelism = 64, 1, 2
    yield "Django 5.2", hasher.encode(password, hasher.salt())


def werkzeug_hashes(password):
    for method in ("pbkdf2:sha1:1000", "pbkdf2:sha256:1000", "pbkdf2:sha512:1000", "scrypt:1024:8:1"):
        yield "Werkzeug 3.1", werkzeug.security.generate_password_hash(password, method)


def passlib_hashes(password):
    kinds = passlib.hash
    for kind in (kinds.pbkdf2_sha1, kinds.pbkdf2_sha256, kinds.pbkdf2_sha512):
        yield "passlib 1.7", kind.using(rounds=1000).hash(password)
    for version in (1, 2):
        yield "passlib 1.7", kinds.bcrypt_sha256.using(rounds=4, version=version).hash(password)
    for kind in (kinds.sha256_crypt, kinds.sha512_crypt):
        yield "passlib 1.7", kind.using(rounds=1000).hash(password)
    yield "passlib 1.7", kinds.phpass.using(rounds=7).hash(password)
    yield "passlib 1.7", kinds.scrypt.using(rounds=4).hash(password)


def crypt_hashes(password):
    # 5,000 rounds take a while in tests.
    usual = ("$5$saltstring", "$6$saltstring") if password == PLAIN else ()
    for setting in (*usual, "$5$rounds=1000$saltstring", "$6$rounds=1234$./saltstring12"):
        yield "crypt(3)", crypt.crypt(password, setting)


def spring_hashes(password):
    def pbkdf2(digest, iterations, salt):
        return (salt + hashlib.pbkdf2_hmac(digest, password.encode(), salt, iterations, 32)).hex()

    def scrypt(log_n, salt):
        derived = hashlib.scrypt(password.encode(), salt=salt, n=1 << log_n, r=8, p=1, dklen=32, maxmem=1 << 27)
        salt, derived = (base64.b64encode(text).decode() for text in (salt, derived))
        return f"${log_n << 16 | 8 << 8 | 1:x}${salt}${derived}"

    yield "Spring Security", "{pbkdf2}" + pbkdf2("sha1", 185_000, os.urandom(8))
    yield "Spring Security 5.8", "{pbkdf2@SpringSecurity_v5_8}" + pbkdf2("sha256", 310_000, os.urandom(16))
    yield "Spring Security", "{scrypt}" + scrypt(14, os.urandom(64))
    yield "Spring Security 5.8", "{scrypt@SpringSecurity_v5_8}" + scrypt(16, os.urandom(16))
    argon = argon2.PasswordHasher(time_cost=2, memory_cost=64, parallelism=1).hash(password)
    yield "Spring Security 5.8", "{argon2@SpringSecurity_v5_8}" + argon
    if len(password) < 72:
        yield "Spring Security", "{bcrypt}" + passlib.hash.bcrypt.using(rounds=4, ident="2a").hash(password)
    yield "OpenLDAP", "{CRYPT}" + crypt.crypt(password, "$6$rounds=1000$saltstring")


def keycloak_hashes(password):
    salt = os.urandom(16)
    for digest, length in (("sha1", 20), ("sha256", 32), ("sha256", 64), ("sha512", 64)):
        derived = hashlib.pbkdf2_hmac(digest, password.encode(), salt, 1000, length)
        encoded = "$".join(base64.b64encode(text).decode().rstrip("=") for text in (salt, derived))
        yield "Keycloak", f"$pbkdf2-{digest}$i=1000,l={length}${encoded}"


def run(command, passwords):
    output = subprocess.run(command, input=json.dumps(passwords), capture_output=True, text=True, check=True)
    return json.loads(output.stdout)


def aspnet():
    for text in (
        "ANXrDknc7fGPpigibZXXZFMX4aoqz44JveK6jQuwY3eH/UyPhvr5xTPeGYEckLxz9A==",
        "AQAAAAIAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw",
        "AQAAAAIAAAD6AAAAIJbVi5wbMR+htSfFp8fTw8N8GOS/Sje+S/4YZcgBfU7EQuqv4OkVYmc4VJl9AGZzmRTxSkP7LtVi9IWyUxX8IAAfZ8v"
        "+ZfhjCcudtC1YERSqE1OEdXLW9VukPuJWBBjLuw==",
        "AQAAAAAAAAD6AAAAEAhftMyfTJylOlZT+eEotFXd1elee8ih5WsjXaR3PA9M",
        "AQAAAAEAA9CQAAAAIESkQuj2Du8Y+kbc5lcN/W/3NiAZFEm11P27nrSN5/tId+bR1SwV8CO1Jd72r4C08OLvplNlCDc3oQZ8efcW+jQ=",
    ):
        yield ["ASP.NET Core Identity", "my password", text]


def main():
    django.conf.settings.configure()
    kinds = (django_hashes, werkzeug_hashes, passlib_hashes, crypt_hashes, spring_hashes, keycloak_hashes)
    hashes = [
        [system, password, text]
        for kind in kinds
        for password in (PLAIN, TYPED, LONG)
        for system, text in kind(password)
    ]
    hashes += aspnet()
    hashes += run(["php", HERE / "make.php", sys.argv[1]], [PLAIN, TYPED, QUOTED])
    hashes += run(["node", HERE / "make.mjs"], [PLAIN, TYPED, LONG])
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in hashes)
    print(f"[\n{lines}\n]")


main()
