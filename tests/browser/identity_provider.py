"""An identity provider for the browser tests (Canaille): prints its issuer as JSON. Needs requirements-oidc.txt.

Usage: identity_provider.py CLIENT_ID CLIENT_SECRET REDIRECT_URI PASSWORD
"""

import json
import logging
import socket
import sys

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from werkzeug.serving import make_server

client_id, client_secret, redirect_uri, password = sys.argv[1:]
# Its own address is part of its configuration, so it must have a port before it listens.
listener = socket.create_server(("127.0.0.1", 0))
address = f"127.0.0.1:{listener.getsockname()[1]}"
app = create_app({
    "SECRET_KEY": "the secret of the browser tests",
    "SERVER_NAME": address,
    "PREFERRED_URL_SCHEME": "http",
    # Otherwise the consent page is skipped for servers on this machine.
    "CANAILLE_OIDC": {"TRUSTED_DOMAINS": []},
})

with app.app_context():
    backend = Backend.instance
    client = models.Client(
        client_id=client_id,
        client_secret=client_secret,
        client_name="Packhouse",
        client_uri=redirect_uri,
        redirect_uris=[redirect_uri],
        grant_types=["authorization_code"],
        response_types=["code"],
        scope=["openid", "profile", "email", "groups"],
        token_endpoint_auth_method="client_secret_basic",
    )
    backend.save(client)
    client.audience = [client]
    backend.save(client)
    people = []
    for name in ["mary", "nina", "olga"]:
        person = models.User(
            user_name=name,
            formatted_name=name.title(),
            family_name="Example",
            display_name=name,
            emails=[f"{name}@example.org"],
            password=password,
        )
        backend.save(person)
        people.append(person)
    backend.save(models.Group(display_name="developers", members=people[:1]))

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = make_server("127.0.0.1", 0, app, threaded=True, fd=listener.fileno())
print(json.dumps({"issuer": f"http://{address}"}), flush=True)
server.serve_forever()
