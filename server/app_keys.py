"""What every HTTP application of Morgan has at hand for its handlers: `request.app[ENGINES]` and its like."""

from aiohttp import web

from media.decoder_pool import DecoderPool
from pipeline.engines.protocols import Engines
from server.engines.watch import Watches
from server.settings import Settings

ENGINES: web.AppKey[Engines] = web.AppKey("engines", Engines)
SETTINGS: web.AppKey[Settings] = web.AppKey("settings", Settings)
WATCHES: web.AppKey[Watches] = web.AppKey("watches", Watches)
DECODERS: web.AppKey[DecoderPool] = web.AppKey("decoders", DecoderPool)
SERVICE: web.AppKey[str] = web.AppKey("service", str)
