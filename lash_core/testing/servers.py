"""The real servers that tests run against, in one place. Each is private, and gone afterwards."""

from lash_core.testing.fault_proxy import FaultProxy
from lash_core.testing.sentinel_deployment import SentinelDeployment
from lash_core.testing.tls_proxy import TlsProxy
from lash_core.testing.valkey_cluster import ValkeyCluster
from lash_core.testing.valkey_server import DebianRedis, ValkeyServer, free_port, server_binary

__all__ = [
    "DebianRedis",
    "FaultProxy",
    "SentinelDeployment",
    "TlsProxy",
    "ValkeyCluster",
    "ValkeyServer",
    "free_port",
    "server_binary",
]
