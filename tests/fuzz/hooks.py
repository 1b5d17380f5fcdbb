"""Tells Schemathesis what it cannot know: who the caller is, how to restore what a request destroyed before the next one,
and which of its findings are not failures. Run by script/fuzz-api."""

import base64
import itertools
import os
import re

import requests
import schemathesis
from schemathesis.specs.openapi import _auth_retry

URL = os.environ["FUZZ_URL"]
API = URL + "/api/v1"
PASSWORD = os.environ["FUZZ_PASSWORD"]
# An administrator as a caller, and another one who restores users and packages. Neither is in the dictionaries.
ADMIN = os.environ["FUZZ_ADMIN"]
KEEPER = os.environ["FUZZ_KEEPER"]
# The caller: a user name, or "nobody" for requests without a credential.
CALLER = os.environ["FUZZ_CALLER"]

numbers = itertools.count(1)
session = requests.Session()
session.headers["Authorization"] = "Bearer " + os.environ["FUZZ_KEEPER_TOKEN"]


def ask(method, path, json=None, data=None, base=API, fine=(200, 201, 204)):
    answer = session.request(method, base + path, json=json, data=data, allow_redirects=False, timeout=30)
    assert answer.status_code in fine, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer


def find(path):
    """Returns the object, or None. A redirect from an old name counts as None."""
    answer = ask("GET", path, fine=(200, 307, 404))
    return answer.json() if answer.status_code == 200 else None


def new_token(user, name, scope):
    made = requests.post(f"{API}/users/{user}/tokens", json={"name": name, "scopes": [scope]}, auth=(KEEPER, PASSWORD))
    assert made.status_code in (201, 400), made.text
    return made.json().get("sha1")


def token_of_caller():
    return new_token(CALLER, f"fuzz {next(numbers)}", "all")


def restore_person(name, password):
    wanted = {"active": True, "prohibit_login": False, "visibility": "public", "email": f"{name}@example.org"}
    user = find(f"/users/{name}")
    if user is None:
        # A user who was renamed still has the email address.
        for other in ask("GET", f"/users/search?q={name}%40example.org").json()["data"]:
            ask("PATCH", f"/admin/users/{other['login']}", {"email": f"was-{next(numbers)}@example.org"})
        ask("POST", "/admin/users", {"username": name, "email": wanted["email"], "password": PASSWORD})
    elif password or user["is_admin"] or any(user[field] != value for field, value in wanted.items()):
        ask("PATCH", f"/admin/users/{name}", {**wanted, "admin": False, "password": PASSWORD})


def restore_state(path):
    """Makes it possible again to publish to a version, and to delete it."""
    package = path.rsplit("/", 1)[0]
    settings = find(f"/packages{package}/-/settings")
    if settings is not None and settings["archived"]:
        ask("PATCH", f"/packages{package}", {"archived": False})
    version = find(f"/packages{path}")
    if version is not None and version["hold"]:
        ask("PATCH", f"/packages{path}", {"hold": False})
    if version is not None and version["state"] != "published":
        ask("DELETE", f"/packages{path}?purge=true")


def restore(password=False):
    """Creates the users, the organization and the packages of the document's examples that are missing."""
    for name in ("ada", "bob"):
        restore_person(name, password)
    org = find("/orgs/acme")
    if org is None:
        ask("POST", "/admin/users/ada/orgs", {"username": "acme"})
    elif org["visibility"] != "public":
        ask("PATCH", "/orgs/acme", {"visibility": "public"})
    teams = {team["name"].lower(): team["id"] for team in find("/orgs/acme/teams?limit=50")}
    if "writers" not in teams:
        teams["writers"] = ask("POST", "/orgs/acme/teams", {"name": "writers", "permission": "write"}).json()["id"]
    for team, name in (("owners", "ada"), ("writers", "bob")):
        if find(f"/teams/{teams[team]}/members/{name}") is None:
            ask("PUT", f"/teams/{teams[team]}/members/{name}")
    for owner, kind in (("ada", "users"), ("acme", "orgs")):
        quota = find(f"/{kind}/{owner}/quota")
        if any(limit["source"] == "owner" for limit in quota.values()):
            ask("PATCH", f"/{kind}/{owner}/quota", {"versions": None, "bytes": None, "file_bytes": None})
        settings = find(f"/packages/{owner}/generic/hello/-/settings")
        if settings is not None and settings["trusted_publishing_only"]:
            ask("PATCH", f"/packages/{owner}/generic/hello", {"trusted_publishing_only": False})
        for version in ("1.0.0", "2.0.0-rc.1"):
            path = f"/{owner}/generic/hello/{version}"
            restore_state(path)
            files = find(f"/packages{path}/files?limit=50") or []
            if "hello.txt" not in [file["name"].lower() for file in files]:
                ask("PUT", f"/api/packages{path}/hello.txt", data=b"hello, world\n", base=URL)


restore()
new_token("ada", "laptop", "write:package")
tokens = {CALLER: token_of_caller()} if CALLER != "nobody" else {}

if tokens:
    # Each owner gets a webhook with a delivery.
    headers = {"Authorization": "Bearer " + tokens[CALLER]}
    for owner in ("user", "orgs/acme"):
        hook = {"type": "gitea", "active": True, "config": {"url": "https://fuzz.invalid/", "content_type": "json"}}
        made = requests.post(f"{API}/{owner}/hooks", json=hook, headers=headers, timeout=30)
        assert made.status_code == 201, made.text
        told = requests.post(f"{API}/{owner}/hooks/{made.json()['id']}/tests", headers=headers, timeout=30)
        assert told.status_code == 204, told.text

    @schemathesis.auth(refresh_interval=None)
    class Caller:
        """The caller, with their token if the route accepts one."""

        def get(self, case, _context):
            schemes = {name for either in case.operation.definition.raw.get("security", []) for name in either}
            if "bearer" in schemes:
                return "Bearer " + tokens[CALLER]
            if "basic" in schemes:
                return "Basic " + base64.b64encode(f"{CALLER}:{PASSWORD}".encode()).decode()
            return None

        def set(self, case, data, _context):
            case.headers = {**(case.headers or {}), "Authorization": data}


class WrongCredentials(dict):
    """The wrong credentials that `ignored_auth` tries, but each password for another account. The tenth for the same account
    would be 429, whether or not the route checks credentials."""

    def get(self, kind, default=None):
        if kind == "_basic_auth":
            return "Basic " + base64.b64encode(f"nobody-{next(numbers)}:wrong".encode()).decode()
        return super().get(kind, default)


_auth_retry.INVALID_AUTH_HEADERS = WrongCredentials(_auth_retry.INVALID_AUTH_HEADERS)


@schemathesis.hook
def filter_case(_context, case):
    """Skips changes of the two administrators, because the caller would lose their own access."""
    user = str((case.path_parameters or {}).get("user", "")).lower()
    return case.method == "GET" or user not in (ADMIN, KEEPER)


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """Sends each request from another address, because ten wrong passwords would block this one."""
    number = next(numbers)
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    case.headers = {**(case.headers or {}), "X-Forwarded-For": address}


@schemathesis.hook
def after_call(_context, case, response):
    method, path = response.request.method, case.operation.path
    if method in ("GET", "HEAD", "OPTIONS") or response.status_code not in (200, 201, 204):
        return
    if "{" in path:
        restore(password=path == "/api/v1/admin/users/{user}")
    if method == "DELETE" and ("/token" in path or path == "/api/v1/admin/users/{user}"):
        # The deleted token may be the one in use.
        tokens.update({CALLER: token_of_caller()} if tokens else {})


VERSION = "/api/v1/packages/{owner}/generic/{name}/{version}"
# Reasons for a refusal that no schema can express.
BEYOND_SCHEMAS = (
    "this password is too common",
    "there is no owner named ",
    "two declared digests contradict each other",
    "this digest describes the form, not the file in it",
    "the bytes received do not have the declared",
    "is already in use",
    "a token needs at least one scope",
    "config.url: ",
    "events: only package exists",
    "the expiration time must be in the future",
    "is in the past",
    "the rule neither deletes nor keeps anything",
    "a token only for feeds has the scope",
    "a pattern has 1 to 1024 bytes",
    "list 1 to 32 patterns",
    "the SHA-256 of a file is 64 hexadecimal digits",
    "leave it out, because",
    "use names and values of up to 255 bytes",
    "error parsing glob",
    "an owner owns all packages, so no grant",
    "a robot's token has the scope",
)


@schemathesis.hook
def filter_failure(_context, failure, case, response):
    """Drops findings of a check that are not failures."""
    text = response.text
    # Whether a field of these bodies is right depends on others, which their schemas don't say; and a preview ignores the
    # fields of a stored rule.
    depends = "/-/retention" in case.operation.path or (case.operation.path, case.method) == (VERSION, "PATCH")
    depends = depends or "/-/publishers" in case.operation.path
    depends = depends or case.operation.path.endswith(("/-/grants", "/oidc/token"))
    if depends and failure.code in ("ST201", "ST202") and response.status_code in (200, 422):
        return False
    if failure.code == "ST202" and response.status_code == 400 and '"error_description":' in text:
        # OAuth has one status for a request that is malformed and for one that is refused (RFC 6749, section 5.2).
        return False
    if failure.code == "ST201" and "violates `minLength`" in failure.message and "/password" in failure.message:
        # The server counts bytes, and a schema counts characters.
        return False
    if failure.code == "ST201" and (response.status_code == 412 or "_pattern: Invalid enum value" in failure.message):
        # The request asked for 412. A pattern may be any regular expression, whatever the generator takes for its values.
        return False
    if failure.code == "ST201" and response.status_code == 200:
        # Invalid page parameters count as missing, as in Gitea. The document says so.
        return not re.search("Invalid component: parameters? (`page`|`limit`)(, (`page`|`limit`))? in query", failure.message)
    if failure.code == "ST202":
        # The request asked for 412. Gitea's API answers 422 or 400 to a name that is taken or an object in use, and the
        # check expects 409.
        asked_for = response.status_code == 412
        in_the_way = '"code":"conflict"' in text or '"code":"blocked"' in text
        return not (asked_for or in_the_way or any(words in text for words in BEYOND_SCHEMAS))
    return True
