"""What a server URL may say, and that its secrets stay out of every text."""

import pytest

from lash_core.errors import SettingsError
from lash_core.redis_store.address import Endpoint, parse_url
from lash_core.redis_store.redact import redact_url


def test_a_plain_url_names_host_port_and_database():
    """`redis://host:port/db` is one server without TLS."""
    address = parse_url("redis://db.example:6380/3")

    assert ("single", False, 3) == (address.topology, address.tls, address.db)
    assert (Endpoint("db.example", 6380),) == address.endpoints


def test_defaults_are_those_of_the_protocol():
    """Port 6379, sentinels 26379, database 0, localhost."""
    assert (Endpoint("localhost", 6379),) == parse_url("redis://").endpoints
    assert (Endpoint("a", 26379), Endpoint("b", 1)) == parse_url("redis+sentinel://a,b:1/main").endpoints


@pytest.mark.parametrize(
    ("url", "topology", "tls"),
    [
        ("rediss://h", "single", True),
        ("valkey://h", "single", False),
        ("valkeys://h", "single", True),
        ("redis+cluster://a,b", "cluster", False),
        ("rediss+cluster://a", "cluster", True),
        ("redis+sentinel://a/main/2", "sentinel", False),
        ("rediss+sentinel://a/main", "sentinel", True),
        ("unix:///tmp/s?db=1", "single", False),
    ],
)
def test_schemes_say_topology_and_tls(url: str, topology: str, tls: bool):
    """Each scheme means one topology, with or without TLS."""
    address = parse_url(url)

    assert (topology, tls) == (address.topology, address.tls)


def test_credentials_are_decoded_and_kept_out_of_the_repr():
    """User and password may contain any character, escaped; no repr shows them."""
    address = parse_url("redis://us%3Aer:p%40ss%2Fword@h/0")

    assert ("us:er", "p@ss/word") == (address.credentials.username, address.credentials.password)
    assert "word" not in repr(address)


def test_ipv6_hosts_are_in_brackets():
    """`[::1]:6380` is a host and a port."""
    assert (Endpoint("::1", 6380),) == parse_url("redis://[::1]:6380").endpoints


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("http://h", "scheme"),
        ("localhost:6379", "scheme"),
        ("redis://h:70000", "port"),
        ("redis://h:x", "port"),
        ("redis://h/zero", "database"),
        ("redis://a,b", "several hosts"),
        ("redis+sentinel://a", "master"),
        ("redis+cluster://a/1", "database 0"),
        ("unix://relative", "absolute path"),
        ("redis://h?retry=1", "'retry'"),
    ],
)
def test_a_wrong_url_names_the_wrong_part_and_no_password(url: str, part: str):
    """The message says what is wrong; a password in the URL is not in it."""
    secret = url.replace("://", "://user:tops3cret@")

    with pytest.raises(SettingsError, match=part) as caught:
        parse_url(secret if "://" in url else url)

    assert "tops3cret" not in str(caught.value)
    assert "tops3cret" not in str(caught.value.value)


def test_a_password_without_a_scheme_is_not_printed():
    """A forgotten scheme is the likeliest mistake, and the text goes to logs."""
    for url in (":tops3cret@h", "user:tops3cret@h:6379/0"):
        with pytest.raises(SettingsError) as refused:
            parse_url(url)
        assert "tops3cret" not in f"{refused.value} {refused.value.value}"


@pytest.mark.parametrize(
    "text",
    [
        "redis://user:tops3cret@h:1/0",
        "redis://:tops3cret@h",
        "redis://:p@tops3cret/x@h",
        "Error connecting to rediss://a:tops3cret@h/0 twice",
        "redis+sentinel://a/m?sentinel_password=tops3cret&db=1",
    ],
)
def test_redaction_works_on_any_text(text: str):
    """Also where the URL is malformed or stands in a sentence."""
    redacted = redact_url(text)

    assert "tops3cret" not in redacted
    assert "***" in redacted
