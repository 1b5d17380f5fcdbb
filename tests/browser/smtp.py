"""An SMTP server for the browser tests: prints its port, then each mail as a line of JSON. Needs aiosmtpd."""

import asyncio
import email
import email.policy
import json

from aiosmtpd.smtp import SMTP, AuthResult


class Printer:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        text, html = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))
        fields = {"to": envelope.rcpt_tos, "subject": mail["subject"], "from": mail["from"], "text": text, "html": html}
        print(json.dumps({**fields, "defects": [str(defect) for defect in mail.defects]}), flush=True)
        return "250 queued"


def authenticate(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"packhouse", b"p@ss"))


async def main():
    def protocol():
        return SMTP(Printer(), authenticator=authenticate, auth_required=True, auth_require_tls=False)

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


asyncio.run(main())
