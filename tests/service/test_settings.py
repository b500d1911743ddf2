from __future__ import annotations

from dataclasses import Field, fields

import pytest

from service.errors import ConfigError
from service.settings import Settings


def test_settings_of_an_empty_environment_are_the_defaults():
    assert Settings.from_env({"PATH": "/bin", "SERVICES": "not ours"}) == Settings()
    assert (Settings().host, Settings().port, Settings().max_upload_bytes) == ("127.0.0.1", 8000, 10_000_000)


def test_nobody_signs_up_and_guests_look_around_unless_it_is_said_otherwise():
    assert (Settings().sign_up, Settings().guests, Settings().storage) == (False, True, "sqlite")


def test_every_kind_of_setting_is_read():
    environ = {"SERVICE_PORT": "80", "SERVICE_SECURE_COOKIES": "true", "SERVICE_GUESTS": "false", "SERVICE_RELEASE": "0123"}
    assert Settings.from_env(environ) == Settings(port=80, secure_cookies=True, guests=False, release="0123")


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_every_setting_is_a_variable_of_its_name(field: Field[object]):
    value, text = {"str": ("aws", "aws"), "int": (7, "7"), "bool": (not field.default, str(not field.default).lower())}[
        str(field.type)
    ]
    assert getattr(Settings.from_env({f"SERVICE_{field.name.upper()}": text}), field.name) == value


@pytest.mark.parametrize("store", ["", "dynamodb", "SQLITE"])
def test_an_unknown_store_is_refused(store: str):
    with pytest.raises(ConfigError, match=f"^SERVICE_STORAGE='{store}' is none of sqlite, aws$"):
        Settings.from_env({"SERVICE_STORAGE": store})


def test_a_port_that_no_machine_has_is_refused():
    with pytest.raises(ConfigError, match="SERVICE_PORT=70000 is no port"):
        Settings.from_env({"SERVICE_PORT": "70000"})


@pytest.mark.parametrize("name", ["SERVICE_DATABSE", "SERVICE_", "SERVICE_port", "SERVICE_PORTS"])
def test_an_unknown_setting_is_refused(name: str):
    with pytest.raises(ConfigError, match=f"^unknown setting {name}$"):
        Settings.from_env({name: "1"})


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "many", " 1", "0x10", "²"])
def test_a_number_that_is_no_whole_number_above_zero_is_refused(value: str):
    with pytest.raises(ConfigError, match=f"^SERVICE_QUEUE={value!r} "):
        Settings.from_env({"SERVICE_QUEUE": value})


@pytest.mark.parametrize("value", ["", "yes", "1", "True", "on"])
def test_a_truth_that_is_neither_true_nor_false_is_refused(value: str):
    with pytest.raises(ConfigError, match="is neither true nor false"):
        Settings.from_env({"SERVICE_SECURE_COOKIES": value})


def test_all_problems_are_named_at_once():
    environ = {
        "SERVICE_PORT": "http", "SERVICE_DATABSE": "x", "SERVICE_SECURE_COOKIES": "no", "SERVICE_QUEUE": "8",
        "SERVICE_STORAGE": "s3",
    }  # fmt: skip
    with pytest.raises(ConfigError) as refusal:
        Settings.from_env(environ)
    assert [problem.split("=")[0] for problem in str(refusal.value).split("; ")] == [
        "unknown setting SERVICE_DATABSE",
        "SERVICE_PORT",
        "SERVICE_SECURE_COOKIES",
        "SERVICE_STORAGE",
    ]
