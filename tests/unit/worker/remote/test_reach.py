"""How a provider is reached: the catalogue's entry under the model's options."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.foundation.errors import InvalidSetting
from services.foundation.settings.providers import Provider
from services.worker.engines.options import read_options
from services.worker.engines.remote.reach import Reach, RemoteOptions, reach_of
from tests.contract.engine import KEY, spec
from tests.contract.remote import spec_at


def reach(provider: Provider | None = None, **options: Any) -> Reach:
    made = spec(**options) if provider is None else spec_at(provider, **options)
    return reach_of(made, read_options(made, RemoteOptions))


def entry(**fields: object) -> Provider:
    return Provider.model_validate({"base_url": "https://vendor.example/v1", **fields})


def test_todays_options_need_no_provider():
    found = reach(base_url="http://10.0.0.4:8000/v1", model="up", api_key=KEY, timeout_seconds=3, proxy="http://p:1")
    assert found.base_url == httpx.URL("http://10.0.0.4:8000/v1/")
    assert found.upstream == "up"
    assert found.key == SecretStr(KEY)
    assert (found.first_byte_seconds, found.between_bytes_seconds) == (3, 3)
    assert found.unusable_key == ""


def test_without_provider_and_address_there_is_nobody_to_ask():
    with pytest.raises(InvalidSetting, match=r"options\.base_url.*name a provider"):
        reach()


def test_the_times_are_the_providers_else_the_servers():
    assert reach(entry()).first_byte_seconds == spec().timeout_seconds
    slow = entry(timeouts={"first_byte_seconds": 9, "between_bytes_seconds": 8})
    assert (reach(slow).first_byte_seconds, reach(slow).between_bytes_seconds) == (9, 8)
    assert reach(slow, timeout_seconds=2).between_bytes_seconds == 2
    assert reach(slow, timeouts={"connect_seconds": 1}).provider.timeouts.connect_seconds == 1


def test_options_add_to_bounds_and_query_and_replace_the_rest():
    given = entry(query={"a": "1", "b": "1"}, fields={"drop": ["user"], "bounds": {"temperature": {"at_most": 1}}})
    found = reach(given, query={"b": "2"}, bounds={"max_tokens": {"at_most": 9}}, asks_usage=False).provider
    assert found.query == {"a": "1", "b": "2"}
    assert set(found.fields.bounds) == {"temperature", "max_tokens"}
    assert found.fields.drop == ("user",)
    assert found.asks_usage is False
    assert reach(given, fields={"refuse": ["n"]}).provider.fields.drop == ()


def test_the_own_key_wins():
    found = reach(entry(api_key="from-the-door"), api_key=KEY)
    assert found.key == SecretStr(KEY)
    assert found.reader.key_place == "the option api_key"


def test_a_name_and_password_in_the_address_are_used_and_not_shown():
    found = reach(base_url=f"http://me:{KEY}@10.0.0.4/v1")
    assert found.login == ("me", KEY)
    assert str(found.base_url) == "http://10.0.0.4/v1/"
    assert found.origin == "http://10.0.0.4"
    assert KEY not in repr(found)
    assert KEY not in repr(RemoteOptions(base_url=f"http://me:{KEY}@10.0.0.4/v1"))
    assert "***" in str(found.reader.failed(f"who is {KEY}"))


@pytest.mark.parametrize("proxy", ["socks5://p:1", "p:3128", "http://", ""])
def test_a_proxy_that_is_none(proxy: str):
    with pytest.raises(InvalidSetting, match=r"options\.proxy"):
        reach(entry(proxy=f"{proxy}"))


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "钥匙"])
def test_a_key_that_no_header_takes_is_said_and_not_shown(key: str):
    said = reach(entry(api_key=key, key_variable="V_KEY")).unusable_key
    assert "no header takes" in said
    assert "V_KEY" in said
    assert not key or key not in said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "set the option api_key"),
        ({"key_variable": "V"}, "set the environment variable V,"),
        ({"key_file": "/run/secrets/v"}, "set the file /run/secrets/v,"),
        ({"key_variable": "V", "key_file": "/f"}, "set the environment variable V or the file /f,"),
        ({"key_variable": "V", "key_problem": "/f is a folder"}, "missing: /f is a folder; set the environment"),
        ({"key_variable": "V", "secret_variable": "W", "api_key": "x"}, "set the environment variable V and W,"),
    ],
)
def test_a_missing_key_is_said_with_where_to_put_it(fields: dict[str, object], said: str):
    assert said in reach(entry(**fields)).unusable_key


def test_a_wrong_option_is_named():
    with pytest.raises(InvalidSetting, match=r"options\.retrys"):
        reach(entry(), retrys={})
