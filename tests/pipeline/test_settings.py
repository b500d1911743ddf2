from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.settings import read_secrets, read_settings

GOOD = '[environments.staging]\nhosts = ["127.0.9.1"]\n'


def read(tmp_path: Path, text: str = GOOD, **environ: str):
    (tmp_path / "slipway.toml").write_text(text)
    return read_settings(tmp_path, environ)


def test_the_settings_of_the_repository_name_staging_and_production(root: Path):
    settings = read_settings(root, {})
    assert [e.name for e in settings.environments] == ["staging", "production"]
    assert "load@staging" in settings.environment("production").requires


def test_the_environment_wins_over_the_file(tmp_path: Path):
    settings = read(tmp_path, 'project = "one"\nload_users = 3\n' + GOOD, SLIPWAY_PROJECT="two", SLIPWAY_LOAD_USERS="5")
    assert (settings.project, settings.load_users) == ("two", 5)


@pytest.mark.parametrize(("text", "reason"), [
    ('projekt = "x"\n' + GOOD, "unknown key 'projekt'"),
    ("load_users = 'many'\n" + GOOD, "load_users = 'many' is not a whole number"),
    ("load_users = true\n" + GOOD, "is not a whole number"),
    ('provider = "moon"\n' + GOOD, "provider = 'moon' is not known"),
    ("", "no [environments.NAME] table"),
    ("[environments.staging]\nhosts = []\n", "environments.staging: no hosts"),
    ('[environments.staging]\nhosts = ["web-1"]\n', "'web-1' is no IP address"),
    ('[environments.staging]\nhosts = ["10.0.0.1"]\n', "10.0.0.1 is no loopback address"),
    ('[environments.staging]\nhosts = ["127.0.9.1"]\nhost = "x"\n', "unknown key environments.staging.host"),
    (GOOD + 'service = "open"\n', "environments.staging.service is no table"),
    (GOOD + "service = { sign_up = [1] }\n", "environments.staging.service.sign_up is no text, number, true or false"),
    (GOOD + 'requires = ["luck"]\n', "requires 'luck', which is no gate"),
    (GOOD + 'requires = ["load@stagin"]\n', "requires 'load@stagin', which is no gate"),
    (GOOD + '[environments.other]\nhosts = ["127.0.9.1"]\n', "host 127.0.9.1 is in two places"),
])  # fmt: skip
def test_settings_that_cannot_be_used_are_refused(tmp_path: Path, text: str, reason: str):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert reason in str(caught.value)


def test_an_environments_settings_of_the_service_become_its_variables(tmp_path: Path):
    settings = read(tmp_path, GOOD + 'service = { sign_up = true, queue = 8, model = "small" }\n')
    expected = {"SERVICE_SIGN_UP": "true", "SERVICE_QUEUE": "8", "SERVICE_MODEL": "small"}
    assert settings.environment("staging").service == expected


def test_all_problems_are_named_at_once(tmp_path: Path):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, 'projekt = "x"\n[environments.a]\nhosts = []\n', SLIPWAY_LOADUSERS="3")
    assert all(word in str(caught.value) for word in ("projekt", "no hosts", "SLIPWAY_LOADUSERS"))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match=r"no settings file .*other\.toml"):
        read_settings(tmp_path, {"SLIPWAY_FILE": "other.toml"})


def test_a_file_that_is_no_toml_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path, "project =")


def test_a_secret_comes_from_the_environment_or_from_a_file_that_nobody_else_may_read(tmp_path: Path):
    assert read_secrets({}, tmp_path).jenkins_token == ""
    (tmp_path / "jenkins_token").write_text("from a file\n")
    (tmp_path / "jenkins_token").chmod(0o600)
    assert read_secrets({}, tmp_path).jenkins_token == "from a file"
    assert read_secrets({"SLIPWAY_JENKINS_TOKEN": "said"}, tmp_path).jenkins_token == "said"
    assert "said" not in repr(read_secrets({"SLIPWAY_JENKINS_TOKEN": "said"}, tmp_path))


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path):
    (tmp_path / "hook_secret").write_text("open")
    (tmp_path / "hook_secret").chmod(0o640)
    with pytest.raises(UsageError, match="may be read by others"):
        read_secrets({}, tmp_path)


@pytest.mark.parametrize("url", ["http://ada:secret@jenkins", "ftp://jenkins", "jenkins"])
def test_an_address_of_jenkins_that_holds_a_password_or_is_none_is_refused(tmp_path: Path, url: str):
    with pytest.raises(UsageError, match="is no plain http or https address") as caught:
        read(tmp_path, f'jenkins_url = "{url}"\n' + GOOD)
    assert "secret" not in str(caught.value)


def test_a_text_of_digits_alone_stays_a_text(tmp_path: Path):
    assert read(tmp_path, SLIPWAY_PROJECT="2026").project == "2026"


def test_a_secret_in_the_file_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="belongs into the environment as SLIPWAY_HOOK_SECRET"):
        read(tmp_path, 'hook_secret = "x"\n' + GOOD)
