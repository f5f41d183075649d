"""The ports of a server and their certificate, made from the settings; the same for the core and for services."""

from collections.abc import Sequence

from aiohttp import web

from server.http.proxies import Proxies
from server.http.server import Doors
from server.http.tls import Certificate
from server.settings import Settings


def certificate_of(settings: Settings) -> Certificate | None:
    """The certificate in the settings; None where the ports speak plain HTTP.

    Raises:
        server.http.tls.CertificateError: it cannot be used.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_cert.expanduser(), settings.tls_key.expanduser())


def open_doors(
    settings: Settings, listening: Sequence[tuple[web.Application, int]], certificate: Certificate | None
) -> Doors:
    """The ports, not yet open; that of the metrics, which is the monitoring's alone, speaks plain HTTP."""
    each = settings.max_connections_per_address
    plain = (settings.metrics_port,) if settings.metrics_port else ()
    proxies = Proxies(settings.trusted_proxies, settings.proxy_header)
    return Doors(settings.host, listening, settings.max_connections, each, certificate, plain, proxies)


async def closed(certificate: Certificate | None) -> None:
    """Look after a certificate no longer."""
    if certificate is not None:
        await certificate.close()
