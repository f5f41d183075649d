"""`/metrics`: what Prometheus reads."""

from aiohttp import web

from server.http.operation import Answer, operation
from server.observability.metrics import CONTENT_TYPE, Metrics

METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)

routes = web.RouteTableDef()


@routes.get("/metrics")
@operation(
    "operations", scope="metrics", answers={200: Answer("Metrics in Prometheus' text format", content=("text/plain",))}
)
async def show_metrics(request: web.Request) -> web.Response:
    """Every counter, gauge and histogram of this server, the same on each of its ports."""
    return web.Response(body=request.app[METRICS].text(), headers={"Content-Type": CONTENT_TYPE})
