"""Where settings come from."""

import stat

import pytest

from itk_client import ConfigError, find_settings
from itk_client.settings import is_loopback, profile_path, read_profile, save_profile


def test_what_is_said_wins(tmp_path):
    """Arguments win over the environment, the environment over the profile."""
    env = {"ITK_CONFIG": str(tmp_path / "c.toml")}
    save_profile("default", {"api_key": "saved", "endpoint_id": "saved"}, environment=env)
    assert find_settings(environment=env).endpoint_id == "saved"
    env |= {"RUNPOD_ENDPOINT_ID": "second", "RUNPOD_API_KEY": "from-env"}
    assert find_settings(environment=env).endpoint_id == "second"
    env["ITK_ENDPOINT_ID"] = "first"
    found = find_settings(environment=env)
    assert (found.endpoint_id, found.api_key) == ("first", "from-env")
    said = find_settings(endpoint_id="said", api_key="k", environment=env)
    assert (said.endpoint_id, said.api_key) == ("said", "k")


def test_a_profile_is_private(tmp_path):
    """The profile file is written 0600 and refused when others may read a key in it."""
    env = {"ITK_CONFIG": str(tmp_path / "sub" / "c.toml")}
    path = save_profile("work", {"api_key": 'a"b\\c', "endpoint_id": "e"}, environment=env)
    save_profile("home", {"endpoint_id": "h"}, environment=env)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_profile("work", environment=env)["api_key"] == 'a"b\\c'
    assert read_profile("home", environment=env) == {"endpoint_id": "h"}
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        read_profile("work", environment=env)
    assert 'a"b' not in str(caught.value)


@pytest.mark.parametrize("text", ["[default", '[default]\ncolour = "red"', "default = 3"])
def test_a_broken_profile_is_named(tmp_path, text):
    """A profile that cannot be used is an error with its path."""
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.toml"):
        find_settings(environment={"ITK_CONFIG": str(path)})


def test_a_missing_key_or_endpoint_says_what_to_set(tmp_path):
    """The error names the variable."""
    env = {"ITK_CONFIG": str(tmp_path / "none")}
    with pytest.raises(ConfigError, match="ITK_ENDPOINT_ID"):
        find_settings(environment=env)
    with pytest.raises(ConfigError, match="RUNPOD_API_KEY"):
        find_settings(endpoint_id="e", environment=env)


def test_an_endpoint_on_this_machine_needs_neither(tmp_path):
    """A loopback address works without key and id."""
    env = {"ITK_CONFIG": str(tmp_path / "none"), "ITK_BASE_URL": "http://127.0.0.1:8008/v2/"}
    found = find_settings(environment=env)
    assert (found.endpoint_id, found.base_url) == ("local", "http://127.0.0.1:8008/v2")
    assert found.origin == "http://127.0.0.1:8008"


@pytest.mark.parametrize(
    "url", ["ftp://x/v2", "x", "https://user:pw@x/v2", "https://x/v2?a=b", "https://"]
)
def test_an_address_must_be_one(url):
    """Addresses that could leak or mislead are refused."""
    with pytest.raises(ConfigError, match="base_url"):
        find_settings(endpoint_id="e", api_key="k", base_url=url, environment={})


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("http://localhost:1", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:8", True),
        ("http://127.0.0.1.evil.test", False),
        ("http://localhost.evil.test", False),
        ("http://10.0.0.1", False),
    ],
)
def test_this_machine_is_recognised(url, is_local):
    """Only addresses that cannot be another machine count as this one."""
    assert is_loopback(url) is is_local


def test_the_profile_lives_in_the_users_folder(tmp_path):
    """XDG_CONFIG_HOME is honoured."""
    found = profile_path({"XDG_CONFIG_HOME": str(tmp_path)})
    assert found == tmp_path / "itk" / "config.toml"
