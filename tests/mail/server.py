"""A mail server by aiosmtpd for one test: python server.py PORT MODE [CERTIFICATE KEY]. MODE is tls, starttls or plain. It takes the user
"me" with the password "canary-password" and mails of nobody else, and prints what it sees, line by line: TRIED name password, MAIL address."""

import asyncio
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    async def handle_DATA(self, server, session, envelope):
        print("MAIL", *envelope.rcpt_tos, "tls" if server.transport.get_extra_info("sslcontext") else "plain", flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    print("TRIED", data.login.decode(), data.password.decode(), flush=True)
    return AuthResult(success=(data.login, data.password) == (b"me", b"canary-password"), handled=False)


async def main(port, mode, certificate=None, key=None):
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

    def server():
        return SMTP(
            Handler(),
            hostname="mail.test",
            tls_context=context if mode == "starttls" else None,
            require_starttls=mode == "starttls",
            authenticator=authenticate,
            auth_required=True,
            auth_require_tls=mode == "starttls",
        )

    loop = asyncio.get_running_loop()
    await loop.create_server(server, "127.0.0.1", int(port), ssl=context if mode == "tls" else None)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
