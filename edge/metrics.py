"""What an operator watches, for Prometheus; shown at /metrics only where the settings say so.

The plugin's own middleware takes what another middleware refuses for a 200, and sees no address
that is none; so what is counted here is what the log tells, and the plugin shows it.
"""

from litestar.plugins.prometheus import PrometheusController
from prometheus_client import Gauge, Histogram

REQUESTS = Histogram(
    "chas_edge_request_seconds", "Requests answered, and how long each took", ["door", "status"]
)
UNDER_WAY = Gauge("chas_edge_requests_under_way", "Requests not answered yet")
HOUSE = Histogram("chas_edge_house_seconds", "Calls of the house, and how long each took", ["rpc"])


class Metrics(PrometheusController):
    path = "/metrics"
