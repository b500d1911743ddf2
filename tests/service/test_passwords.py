"""Passwords, how they are kept, and the sessions that they open: what is taken, what opens, and what does not open any more."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type
from starlette.testclient import TestClient
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from service import access, accounts, administration, passwords
from service.errors import WeakPassword
from service.records import Role, Scope, User
from service.settings import Settings
from tests.service.conftest import PASSWORD, Clock, Someone, changed, opened, settings_in, someone, storage_of

pytestmark = pytest.mark.slow
NEW = "another horse entirely"
SENT_OVER_AND_OVER = [
    "password",
    "12345678",
    "123456789",
    "qwertyuiop",
    "iloveyou",
    "sunshine",
    "football1",
    "trustno1",
    "passw0rd",
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service without a model, which nobody here asks for."""
    with opened(settings_in(tmp_path_factory.mktemp("passwords"))) as client:
        yield client


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[TestClient]:
    """A service as it is installed, that nobody has used yet."""
    with opened(Settings(database=str(tmp_path / "service.db"), decoders=1)) as client:
        yield client


def browser(service: TestClient, scheme: str = "http") -> TestClient:
    address = f"{scheme}://testserver"
    return TestClient(service.app, address, raise_server_exceptions=False, headers={"Origin": address})


def sign_in(service: TestClient, name: str, password: str) -> int:
    return browser(service).post("/v1/sessions", json={"name": name, "password": password}).status_code


def kept(service: TestClient, name: str, password_hash: str) -> User:
    """A user of whom exactly this is kept."""
    user = User(hashlib.sha256(name.encode()).hexdigest()[:16], name, Role.VIEWER, datetime.now(UTC))
    storage_of(service).add_user(user, password_hash)
    return user


def stored(service: TestClient, name: str) -> str:
    found = storage_of(service).find_user(name)
    assert found
    return found[1]


@pytest.mark.parametrize("password", ["", "1", "qzkvwmx", "\N{OLD KEY}" * 7, "x" * 257, "qz" * 5000])
def test_a_password_has_8_to_256_characters(service: TestClient, password: str):
    answer = service.post("/v1/users", json={"name": "shorty", "password": password})
    assert (answer.status_code, answer.json()["code"]) == (422, "weak_password")
    assert answer.json()["detail"] == "a password has 8 to 256 characters"


@pytest.mark.parametrize(
    "password",
    [
        "qzkvwmxp", "QZKVWMXP", "83920175", "#!%&/()=", "        .", "пароль от дома", "\N{OLD KEY}" * 8, "correct horse battery",
        "z" * 64, "qz" * 64, "y" * 256, "a\tb\nc\rd\x7f\x1b", "' OR 1=1 --", "<script>alert(1)</script>",
    ],
)  # fmt: skip
def test_any_mix_of_characters_will_do(password: str):
    passwords.require_strong(password, "margaret")


@pytest.mark.parametrize("password", SENT_OVER_AND_OVER)
def test_a_password_that_everybody_tries_is_refused_however_it_is_written(service: TestClient, password: str):
    for written in (password, password.upper(), password.title()):
        answer = service.post("/v1/users", json={"name": "margaret", "password": written})
        assert (answer.status_code, answer.json()["code"]) == (422, "weak_password")
        assert written in answer.json()["detail"].split() or written not in answer.text


def test_the_three_thousand_that_are_tried_first_are_refused():
    first = [word for word in FREQUENCY_LISTS["passwords"] if len(word) >= 8][:3000]
    assert len(first) == 3000
    for word in first:
        with pytest.raises(WeakPassword):
            passwords.require_strong(word, "margaret")


@pytest.mark.parametrize("name", ["margaret", "ada1815", "0xdeadbeef", "a.b-c_d"])
@pytest.mark.parametrize("form", ["{}", "{}1", "{}!", "{}2026", "123{}", "{}-{}", "{} {}!", "__{}__"])
def test_a_password_is_more_than_the_name(name: str, form: str):
    for password in (form.format(name, name), form.format(name, name).upper()):
        with pytest.raises(WeakPassword):
            passwords.require_strong(f"{password:.<8}", name)


@pytest.mark.parametrize("password", ["margaret likes horses", "hail margaret", "83920175"])
def test_a_name_may_be_part_of_a_password(password: str):
    passwords.require_strong(password, "margaret")


def test_every_door_to_a_new_password_has_the_rules(service: TestClient):
    ada, admin = someone(service), someone(service, Role.ADMIN)
    token = {"token": "x"}
    refused = [
        service.post("/v1/users", json={"name": "lin", "password": "password"}),
        service.put("/v1/me/password", headers=ada.headers, json={"old": PASSWORD, "new": "password"}),
        service.patch(f"/v1/users/{ada.user.id}", headers=admin.headers, json={"password": "password"}),
        service.post("/sign-up", data={"name": "lin", "password": "password"}),
        service.post("/account/password", headers=ada.headers, data={"old": PASSWORD, "new": "password"}),
        service.post("/users", headers=admin.headers, data={"name": "lin", "password": "password", "role": "viewer"}),
        service.post(f"/users/{ada.user.id}", headers=admin.headers, data={"action": "password", "password": "password", **token}),
    ]
    assert [answer.status_code for answer in refused] == [422] * 7
    assert {("tried first" in answer.text) for answer in refused} == {True}
    assert sign_in(service, ada.user.name, PASSWORD) == 201


LONG = "x" * 255
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café crème brûlée") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("password", "others"),
    [
        (LONG + "y", (LONG, LONG + "z", LONG + "yy", LONG[:72])),
        (" two  spaces ", ("two  spaces", " two spaces ", " two  spaces", "two  spaces ")),
        (COMPOSED, (DECOMPOSED, COMPOSED.upper(), "cafe creme brulee")),
        ("\N{OLD KEY}" * 8, ("\N{OLD KEY}" * 7, "\N{OLD KEY}" * 9, "?" * 8)),
        ("Capital Letter", ("capital letter", "CAPITAL LETTER")),
    ],
)
def test_a_password_is_checked_to_the_letter(password: str, others: tuple[str, ...]):
    stored = passwords.hashed(password)
    assert passwords.belongs(password, stored)
    assert not [other for other in others if passwords.belongs(other, stored)]


def test_a_long_password_with_every_kind_of_character_goes_through_both_doors(service: TestClient):
    password = ("Grüße, 世界 \N{OLD KEY} \t & + % = ;" * 20)[:256]
    service.post("/v1/users", json={"name": "polyglot", "password": password}).raise_for_status()
    for word in (password, password[:-1]):
        form = browser(service).post("/sign-in", data={"name": "polyglot", "password": word}, follow_redirects=False)
        assert form.status_code == (303 if word == password else 401)
        assert sign_in(service, "polyglot", word) == (201 if word == password else 401)


@pytest.mark.parametrize(
    "body", [b'{"name": "ada", "password": "half \\ud83d a key"}', b'{"name": "ada", "password": "zero\\u0000byte"}']
)
def test_a_password_that_is_no_text_is_refused(service: TestClient, body: bytes):
    for path in ("/v1/sessions", "/v1/users"):
        answer = service.post(path, content=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


def test_a_hash_is_argon2id_with_what_owasp_asks_for_and_a_salt_of_its_own():
    first, second = passwords.hashed(PASSWORD), passwords.hashed(PASSWORD)
    parameters = extract_parameters(first)
    assert (parameters.type, parameters.version) == (Type.ID, 19)
    assert (parameters.memory_cost >= 46 * 1024, parameters.time_cost >= 1) == (True, True)
    assert (parameters.salt_len >= 16, parameters.hash_len >= 32) == (True, True)
    assert first.split("$")[4] != second.split("$")[4]
    assert not passwords.outdated(first)


def test_a_hash_takes_fifty_milliseconds_and_the_memory_that_it_says():
    program = """
import time
from pathlib import Path
from service import passwords
def peak(): return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before, start = peak(), time.thread_time()
passwords.hashed("correct horse")
print(peak() - before, time.thread_time() - start)
"""
    kib, seconds = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert int(kib) >= 40 * 1024
    assert float(seconds) >= 0.05


@pytest.mark.parametrize("nothing", ["", "$", "none", "00$", "$argon2id$", "$argon2id$v=19$m=1", "x" * 100])
def test_what_is_no_hash_opens_with_no_password(nothing: str):
    for password in ("", nothing, PASSWORD):
        assert not passwords.belongs(password, nothing)


def kept_by_the_release_before(password: str) -> str:
    """As releases before schema 2 did it: scrypt with N = 2**15, r = 8, p = 3, and salt and key in hexadecimal."""
    salt = b"salt of sixteen."
    key = hashlib.scrypt(password.encode(), salt=salt, n=2**15, r=8, p=3, dklen=32, maxmem=2**27)
    return f"{salt.hex()}${key.hex()}"


def test_a_password_of_the_release_before_opens_and_is_kept_anew(service: TestClient):
    kept(service, "veteran", kept_by_the_release_before(PASSWORD))
    assert sign_in(service, "veteran", "wrong horse") == 401
    assert stored(service, "veteran") == kept_by_the_release_before(PASSWORD)
    assert sign_in(service, "veteran", PASSWORD) == 201
    assert stored(service, "veteran").startswith("$argon2id$")
    assert [sign_in(service, "veteran", word) for word in (PASSWORD, "wrong horse")] == [201, 401]


def test_a_password_that_was_kept_with_less_is_kept_anew(service: TestClient):
    kept(service, "thrifty", PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD))
    assert sign_in(service, "thrifty", "wrong horse") == 401
    assert extract_parameters(stored(service, "thrifty")).memory_cost == 8 * 1024
    assert sign_in(service, "thrifty", PASSWORD) == 201
    assert not passwords.outdated(stored(service, "thrifty"))
    assert sign_in(service, "thrifty", PASSWORD) == 201


def test_nothing_can_be_signed_in_with_where_nobody_made_an_account(fresh: TestClient):
    assert list(storage_of(fresh).items()) == []
    for name in ("admin", "root", "guest", "slipway"):
        for word in ("", name, "password"):
            assert sign_in(fresh, name, word) in (401, 429)
    for word in ("", "admin", "session", "slipway_", "0" * 43):
        assert fresh.get("/v1/users", headers={"Authorization": f"Bearer {word}"}).status_code == 401


def test_nobody_makes_an_account_where_it_was_not_opened(fresh: TestClient):
    account = {"name": "mallory", "password": PASSWORD}
    answer = fresh.post("/v1/users", json=account)
    assert (answer.status_code, answer.json()["code"]) == (403, "sign_up_closed")
    assert fresh.post("/v1/users", json={**account, "role": "admin"}).status_code == 403
    assert browser(fresh).post("/sign-up", data=account).status_code == 403
    assert list(storage_of(fresh).items()) == []


@pytest.mark.parametrize("role", ["admin", "operator"])
def test_nobody_signs_up_as_more_than_a_viewer(service: TestClient, role: str):
    for asking in ({}, someone(service).headers, someone(service, Role.OPERATOR).headers):
        answer = service.post("/v1/users", headers=asking, json={"name": "mallory", "password": PASSWORD, "role": role})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


def set_up(service: TestClient, token: str, name: str = "first") -> int:
    return service.post("/v1/set-up", json={"token": token, "name": name, "password": PASSWORD}).status_code


def offered(service: TestClient) -> str | None:
    return administration.offer_set_up(storage_of(service), now=datetime.now(UTC))


def test_a_set_up_token_cannot_be_guessed_quickly(fresh: TestClient):
    offered(fresh)
    answers = [set_up(fresh, f"guess {number}") for number in range(70)]
    assert (answers[0], answers[-1], answers.count(403) <= 61) == (403, 429, True)


def secrets_of(service: TestClient) -> dict[str, list[bytes]]:
    """A hundred of each kind of secret, as bytes; the store forgets them."""
    storage, now, ada = storage_of(service), datetime.now(UTC), someone(service)
    kinds: dict[str, Callable[[], str | None]] = {
        "session": lambda: accounts.start_session(storage, ada.user, now=now, lifetime=timedelta(hours=1)),
        "device": lambda: accounts.attempts.device_token(storage, "ada", accounts.Source("x"), now),
        "set-up": lambda: administration.offer_set_up(storage, now=now, renew=True),
    }
    found = {kind: [make() or "" for _ in range(100)] for kind, make in kinds.items()}
    life = timedelta(days=1)
    owners = [someone(service).user for _ in range(2)]
    made = [access.make_token(storage, owner, "x", (Scope.READ,), life, now=now)[1] for owner in owners for _ in range(50)]
    found["API"] = [secret.removeprefix(access.PREFIX) for secret in made]
    return {kind: [base64.urlsafe_b64decode(secret + "==") for secret in secrets] for kind, secrets in found.items()}


def test_every_secret_has_more_than_128_bits_by_chance(fresh: TestClient):
    for kind, secrets in secrets_of(fresh).items():
        assert len(set(secrets)) == 100, kind
        assert min(map(len, secrets)) >= 24, kind
        numbers = [int.from_bytes(secret, "big") for secret in secrets]
        ones = [sum(number >> bit & 1 for number in numbers) for bit in range(24 * 8)]
        assert (min(ones) >= 20, max(ones) <= 80) == (True, True), kind  # a fair bit leaves this range once in 10**9


def opens(service: TestClient, *tokens: str) -> list[int]:
    """What is answered to these tokens, as bearer and as cookie alike."""
    found = []
    for token in tokens:
        bearer = service.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code
        cookie = service.get("/v1/me", headers={"Cookie": f"session={token}"}).status_code
        assert bearer == cookie
        found.append(bearer)
    return found


def test_signing_in_makes_a_new_session_and_ends_the_one_that_the_browser_had(service: TestClient):
    ada, page = someone(service), browser(service)
    page.cookies.set("session", ada.token, domain="testserver.local")
    page.post("/v1/sessions", json=ada.credentials).raise_for_status()
    second = page.cookies["session"]
    page.post("/sign-in", data=ada.credentials, follow_redirects=False)
    third = page.cookies["session"]
    assert len({ada.token, second, third}) == 3
    assert opens(service, ada.token, second, third) == [401, 401, 200]


def test_a_session_that_somebody_else_chose_is_never_opened(service: TestClient):
    ada, page = someone(service), browser(service)
    page.cookies.set("session", "chosen-by-an-attacker", domain="testserver.local")
    page.post("/v1/sessions", json=ada.credentials).raise_for_status()
    assert opens(service, "chosen-by-an-attacker") == [401]


def sign_out(service: TestClient, ada: Someone) -> None:
    service.delete("/v1/sessions", headers=ada.headers).raise_for_status()


def sign_out_on_the_page(service: TestClient, ada: Someone) -> None:
    page = browser(service)
    page.post("/sign-out", headers={"Cookie": f"session={ada.token}"}, follow_redirects=False)


def change_password(service: TestClient, ada: Someone) -> None:
    service.put("/v1/me/password", headers=ada.headers, json={"old": PASSWORD, "new": NEW}).raise_for_status()


def change_password_on_the_page(service: TestClient, ada: Someone) -> None:
    service.post("/account/password", headers=ada.headers, data={"old": PASSWORD, "new": NEW}, follow_redirects=False)


def leave(service: TestClient, ada: Someone) -> None:
    service.request("DELETE", "/v1/me", headers=ada.headers, json={"password": PASSWORD}).raise_for_status()


def be_disabled(service: TestClient, ada: Someone) -> None:
    admin = someone(service, Role.ADMIN)
    service.patch(f"/v1/users/{ada.user.id}", headers=admin.headers, json={"disabled": True}).raise_for_status()
    service.patch(f"/v1/users/{ada.user.id}", headers=admin.headers, json={"disabled": False}).raise_for_status()


def be_given_a_password(service: TestClient, ada: Someone) -> None:
    admin = someone(service, Role.ADMIN)
    service.patch(f"/v1/users/{ada.user.id}", headers=admin.headers, json={"password": NEW}).raise_for_status()


def be_deleted(service: TestClient, ada: Someone) -> None:
    admin = someone(service, Role.ADMIN)
    service.delete(f"/v1/users/{ada.user.id}", headers=admin.headers).raise_for_status()


ENDS = [
    sign_out, sign_out_on_the_page, change_password, change_password_on_the_page, leave, be_disabled, be_given_a_password,
    be_deleted,
]  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_a_session_that_ended_never_opens_anything_again(service: TestClient, end: Callable[[TestClient, Someone], None]):
    ada, storage, now = someone(service), storage_of(service), datetime.now(UTC)
    beside = [accounts.start_session(storage, ada.user, now=now, lifetime=timedelta(hours=1)) for _ in range(5)]
    assert opens(service, ada.token, *beside) == [200] * 6
    end(service, ada)
    goes_on = end in (sign_out, sign_out_on_the_page)
    assert opens(service, ada.token, *beside) == [401] + [200 if goes_on else 401] * 5


def test_a_dead_token_replayed_a_thousand_times_opens_nothing(service: TestClient):
    ada = someone(service)
    sign_out(service, ada)
    opened = 0
    for _ in range(1000):
        with pytest.raises(access.NotSignedIn):
            opened += bool(access.caller_of(storage_of(service), ada.token, now=datetime.now(UTC)))
    assert opened == 0


def test_a_session_ends_by_itself(service: TestClient):
    ada, page, clock = someone(service), browser(service), Clock()
    token = page.post("/v1/sessions", json=ada.credentials).json()["token"]
    with changed(service, now=clock):
        for ahead, status in ((timedelta(days=14, minutes=-1), 200), (timedelta(days=14, minutes=1), 401)):
            clock.ahead = ahead
            assert opens(service, token) == [status]


def test_the_old_password_opens_nothing_once_there_is_a_new_one(service: TestClient):
    ada = someone(service)
    change_password(service, ada)
    assert [sign_in(service, ada.user.name, word) for word in (PASSWORD, NEW)] == [401, 201]


def flags(cookie: str) -> set[str]:
    return {part.strip().lower() for part in cookie.split(";")[1:]}


@pytest.mark.parametrize(
    ("scheme", "settings", "secure"), [("http", {}, False), ("https", {}, True), ("http", {"secure_cookies": True}, True)]
)
def test_the_cookies_of_a_session_are_kept_from_scripts_other_sites_and_plain_http(
    service: TestClient, scheme: str, settings: dict[str, bool], secure: bool
):
    ada = someone(service)
    with changed(service, settings=settings):
        for path, form in (("/v1/sessions", {"json": ada.credentials}), ("/sign-in", {"data": ada.credentials})):
            answer = browser(service, scheme).post(path, follow_redirects=False, **form)
            cookies = answer.headers.get_list("set-cookie")
            assert [cookie.partition("=")[0] for cookie in cookies] == ["session", "device"]
            for cookie in cookies:
                assert {"httponly", "samesite=lax", "path=/"} <= flags(cookie)
                assert ("secure" in flags(cookie)) == secure
                assert not [flag for flag in flags(cookie) if flag.startswith("domain")]


@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True)])
def test_the_cookie_of_a_guest_is_kept_as_well(client: TestClient, pictures: dict[str, bytes], scheme: str, secure: bool):
    answer = browser(client, scheme).post("/", files={"image": ("cat.jpg", pictures["cat"])})
    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.startswith("guest=")
    assert {"httponly", "samesite=lax", "path=/", "max-age=3600"} <= flags(cookie)
    assert ("secure" in flags(cookie)) == secure


@pytest.mark.parametrize("path", ["/v1/sessions", "/sign-out"])
def test_signing_out_takes_the_cookie_away(service: TestClient, path: str):
    headers = {"Cookie": f"session={someone(service).token}"}
    answer = browser(service).request("DELETE" if path == "/v1/sessions" else "POST", path, headers=headers, follow_redirects=False)
    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.startswith('session="";')
    assert "max-age=0" in flags(cookie)


def test_no_secret_is_in_the_store_as_it_is(fresh: TestClient):
    ada = someone(fresh)
    answer = browser(fresh).post("/v1/sessions", json=ada.credentials)
    secret = access.make_token(storage_of(fresh), ada.user, "x", (Scope.READ,), timedelta(days=1), now=datetime.now(UTC))[1]
    token = offered(fresh)
    folder = Path(fresh.app.state.tools.settings.database).parent
    written = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
    assert accounts.digest(secret).encode() in written
    for each in (PASSWORD, answer.json()["token"], answer.cookies["device"], secret, token):
        assert each.encode() not in written
