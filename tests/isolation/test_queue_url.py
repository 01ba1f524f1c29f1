"""LASH_ISOLATION_REDIS_URL: what is no URL of one server is said in words, without its password."""

from __future__ import annotations

import pytest

from lash_core.errors import SettingsError
from lash_worker.isolation.job_queue import JobQueue


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://:hidden@h:7000",
        "redis+sentinel://:hidden@h/master/0",
        ":hidden@h",
        "redis://:hidden/more@h:1",
        "redis://:hidden@h:port",
        "redis://:hidden@h?db=first",
        "redis://:hidden@h?colour=red",
    ],
)
def test_a_url_of_another_form_is_refused(url: str) -> None:
    """Bad input names the variable, and neither text nor cause quotes what is secret."""
    with pytest.raises(SettingsError, match="LASH_ISOLATION_REDIS_URL") as refused:
        JobQueue(url)

    assert "LASH_ISOLATION_REDIS_URL" == refused.value.field
    assert refused.value.__suppress_context__
    assert "hidden" not in f"{refused.value} {refused.value.value}"


@pytest.mark.parametrize("url", ["redis://:p@h:1/2", "rediss://u:p@h", "unix:///tmp/s?db=3"])
def test_urls_of_one_server_are_taken(url: str) -> None:
    """Nothing is asked of the server yet."""
    JobQueue(url)._redis.close()
