"""How much of everything a client may send, and how much of what clients send is held: all bounds in one place.

docs/bounds.md is written from this module (`python docs/write_bounds.py`): a heading is a comment with dashes behind
it, a row is a constant and the docstring below it, whose first word in brackets is the unit.
"""

# Connections ---------------------------------------------------------------------------------------------------------

MAX_CONNECTIONS = 512
"""[connections] Over TCP to all ports of a process (`MORGAN_MAX_CONNECTIONS`), fewer where it may not open so many
files. With more, the oldest on which nothing was asked is closed, then the oldest between two requests, then the
newest; a request in hand is never cut off."""

MAX_CONNECTIONS_EACH = 128
"""[connections] Of them, from one address, of IPv6 from one /64 (`MORGAN_MAX_CONNECTIONS_PER_ADDRESS`)."""

# Requests ------------------------------------------------------------------------------------------------------------

MAX_HEADERS = 64
"""[headers] Of a request."""

MAX_HEADER_BYTES = 8_190
"""[bytes] Of each of them, and of the request line."""

MAX_HELD = 256 * 1024 * 1024
"""[bytes] Of all bodies in hand at the same time, as they are once unpacked, of the audio in their base64, and of
decoded audio that waits to be transcribed. With more, a request is told to come again (503)."""

MAX_BODY = 64 * 1024
"""[bytes] Of a body, where nothing else is said (413, as for all below)."""

MAX_SIGNED_FORM = 16 * 1024
"""[bytes] Of a telephone provider's form whose signature is to be checked (401): strangers have it checked, too."""

MAX_OPTIONS_BODY = 32 * 1024
"""[bytes] Of a user's preferences as they arrive; 16 KiB of them are stored."""

MAX_SMALL_BODY = 4 * 1024
"""[bytes] Of a body with nothing but a few names and numbers in it."""

MAX_CHAT_BODY = 8 * 1024 * 1024
"""[bytes] Of a conversation for the language model under `/v1`; `MAX_IMAGES_TOGETHER` of them may be images."""

MAX_VECTORS_BODY = 2 * 1024 * 1024
"""[bytes] Of texts for vectors there."""

MAX_PROMPT_BODY = 1024 * 1024
"""[bytes] Of the same for the language model's own service."""

MAX_SPEECH_BODY = 256 * 1024
"""[bytes] Of a text to be said, in its longest spelling in JSON."""

MAX_JSON_PARTS = 50_000
"""[values] Of JSON, in a body or in a message: lists, objects, texts, numbers (422, or an `error`)."""

MAX_JSON_LISTS = 20_000
"""[values] Of them, lists and objects."""

MAX_TOKEN_PARTS = 300_000
"""[values] Of a body with texts for vectors, which may come as tokens; OpenAI's limit too."""

MAX_PROBLEMS = 50
"""[problems] Of a body that are told one by one; of more, their number is."""

MAX_SESSION_CONFIG = 64 * 1024
"""[bytes] Of the session that a realtime client secret is bound to, as JSON."""

MAX_KEPT_SESSIONS = 16 * 1024 * 1024
"""[bytes] Of all such sessions in memory; beyond that the oldest are in Redis only."""

MAX_TOKEN_CHARS = 6_000
"""[characters] Of a token that this server gives out; a longer one would not fit into a header."""

MAX_JWT_CHARS = 8_000
"""[characters] Of an identity provider's."""

MAX_JWKS = 256 * 1024
"""[bytes] Of the keys at `MORGAN_JWT_JWKS_URL`."""

MAX_TOKEN_S = 7 * 24 * 3600
"""[seconds] Until a join token expires, at most; a minute where nothing is said."""

PAGE_TOKEN_S = 12 * 3600
"""[seconds] For which a page stays signed in that came with a join token."""

# Audio ---------------------------------------------------------------------------------------------------------------

MAX_UPLOAD = 25 * 1024 * 1024
"""[bytes] Of a file; OpenAI's limit too. How long it may be is `MORGAN_STT_MAX_AUDIO_S`."""

MAX_PARTS = 32
"""[fields] Of a form; one of them is a file."""

MAX_FORM_LINES = 1_024
"""[lines] Around the fields of a form: boundaries, headers, and whatever comes before the first."""

MAX_FIELD = 16 * 1024
"""[bytes] Of a field of a form that is no file."""

MAX_INPUTS = 64 * 1024 * 1024
"""[bytes] Of the recorded inputs of one call (`MORGAN_RECORD_INPUTS`); what comes later is left out. An hour in which
nobody speaks takes about 27 MiB, a minute of Morgan's voice 4."""

MAX_INPUTS_WAITING = 4 * 1024 * 1024
"""[bytes] Of them, those that wait for the disk; where there are more, the recording ends."""

MIN_PCM_RATE, MAX_PCM_RATE = 8_000, 96_000
"""[Hz] Sample rate of plain samples, lowest and highest."""

MAX_AUDIO_JSON = 4 * 1024 * 1024
"""[bytes] Of JSON with audio in it: about 95 s at 16 kHz."""

MAX_CHUNK = 2 * 1024 * 1024
"""[bytes] Of a piece of a stream, as JSON or as samples, in a request or in a message of `/ws/stream`."""

MAX_SESSION_S = 3600
"""[seconds] Audio of one streaming session."""

MAX_TURN_S = 300
"""[seconds] Audio of one turn of `/api/audio`; transcripts of longer recordings are to be had from
`/v1/audio/transcriptions`."""

MAX_SOCKET_MESSAGE = 1024 * 1024
"""[bytes] Of a message of `/ws/audio`: half a minute of audio. A longer one closes the connection with code 1009."""

MAX_SOCKET_ERRORS = 100
"""[messages] That a client of `/ws/audio` may get wrong; then it is sent away."""

MAX_SOCKET_WAITING = 256 * 1024
"""[bytes] That wait for a client of `/ws/audio` to read them: five seconds of speech."""

MAX_LINE_MESSAGE = 64 * 1024
"""[bytes] Of a message of a telephone line (`/ws/media-stream`): four seconds of G.711 and more. A longer one closes
the connection with code 1009."""

MAX_LINE_PARAMETER = 16_000
"""[characters] Of a parameter that its bridge passes on."""

MAX_FOLLOW_UPS = 10_000
"""[calls] That have ended and of which the bridge has not asked yet what comes next; for `FOLLOW_UP_S` at most."""

FOLLOW_UP_S = 120
"""[seconds] For which a bridge may ask what comes next, and the AudioSocket of a call that was announced may come."""

MAX_REALTIME_EVENT = 4 * 1024 * 1024
"""[characters] Of an event on `/v1/realtime`: about a minute of audio. A longer one is answered with an error; twice as
long, it closes the connection with code 1009."""

MAX_REALTIME_WAITING = 4 * 1024 * 1024
"""[bytes] That wait for a client of `/v1/realtime` to read them."""

MAX_REALTIME_SESSION = 64 * 1024
"""[bytes] Of the configuration of a session in a request."""

MAX_STARTED_SESSIONS = 1_000
"""[sessions] That clients of RTVI have announced (`POST /start`) and not yet called for; the oldest go first."""

# Texts ---------------------------------------------------------------------------------------------------------------

MAX_TEXT = 16_000
"""[characters] Of what a user writes, and of a text to be said: about a quarter of an hour of speech."""

MAX_CHANNEL_MESSAGE = 64 * 1024
"""[characters] Of a message on a call's data channel."""

MAX_ITEMS = 2_000
"""[items] Of a Realtime conversation that can be asked for; the oldest go first."""

MAX_ITEM_CHARS = 4_000_000
"""[characters] Of all of them together, as JSON; likewise."""

MAX_CALL_ARGUMENTS = 32_000
"""[characters] Of the arguments of a function call that a Realtime client puts into the conversation."""

MAX_CALL_RESULT = 100_000
"""[characters] Of what came of one."""

MAX_HELD_EVENTS = 200
"""[events] Of a Realtime client that wait for the audio sent before them."""

MAX_HELD_CHARS = 2 * MAX_REALTIME_EVENT
"""[characters] Of all of them together."""

MAX_MESSAGE_BURST = 1_000
"""[messages] On the data channel of a call at once: a client that takes up a long conversation tells it all."""

MESSAGES_A_SECOND = 50
"""[messages] On it in the long run; what comes faster is refused with `rate_limit_exceeded`."""

MAX_MESSAGE_CHARS_BURST = 4 * 1024 * 1024
"""[characters] Of such messages at once."""

MESSAGE_CHARS_A_SECOND = 256 * 1024
"""[characters] Of them in the long run."""

FLOOD_MESSAGES = 200
"""[messages] Refused one after the other end the call (`flooded`)."""

MAX_INSTRUCTIONS = 16_000
"""[characters] Of what a caller says about how Morgan should be."""

MAX_STT_PROMPT = 4_000
"""[characters] Of what was said before, for transcripts; of a longer one the end counts."""

MAX_SEARCH = 2_000
"""[characters] Of what is looked for in memory."""

MAX_DOCUMENT_BODY = 16 * 1024 * 1024
"""[bytes] Of a document for memory, as the text of its sections in JSON."""

MAX_SECTIONS = 5_000
"""[sections] Of a document: its pages, or what stands under its headings."""

MAX_SECTION_CHARS = 1_000_000
"""[characters] Of one of them."""

MAX_PASSAGES = 10_000
"""[passages] That a document is cut into; a hundred words each, about."""

MAX_DOCUMENTS = 1_000
"""[documents] Of one user."""

MAX_KEPT_SPEECH = 4 * 1024 * 1024
"""[bytes] Of a text's audio beyond which it is not kept."""

MAX_WEBHOOK_TOOL_CHARS = 16_000
"""[characters] Of a tool's arguments, and of its result, in a webhook."""

MAX_WEBHOOKS_WAITING = 64 * 1024 * 1024
"""[bytes] Of webhooks that wait for one receiver, on disk; with more, new ones are lost."""

MAX_HEADER_TEXT = 2_000
"""[characters] Of a text in a header of an answer; a longer one is left out."""

# The language model --------------------------------------------------------------------------------------------------

MAX_CHAT_MESSAGES = 1_000
"""[messages] Of a conversation under `/v1`."""

MAX_CHAT_CHARS = 400_000
"""[characters] Of one of them."""

MAX_PROMPT_MESSAGES = 500
"""[messages] Of a conversation for the language model's own service."""

MAX_PROMPT_CHARS = 200_000
"""[characters] Of one of them, or of a prompt."""

MAX_SYSTEM_CHARS = 50_000
"""[characters] Of its system prompt."""

MAX_IMAGE = 2 * 1024 * 1024
"""[bytes] Of an image for a model that sees, as its data URL has it in base64 (422, or an `error`): 1.5 MiB of JPEG. On
the data channel of a call it has to fit into `MAX_CHANNEL_MESSAGE`."""

MAX_IMAGES = 10
"""[images] Of a request (400), and that a Realtime conversation keeps: the oldest give way to an `[image]`."""

MAX_IMAGES_TOGETHER = 6 * 1024 * 1024
"""[bytes] Of all of them, likewise."""

MAX_SCHEMA_PARTS = 2_000
"""[parts] Of the JSON schema of a tool's arguments: each object, list and value."""

MAX_TOKENS = 32_768
"""[tokens] That a client may ask for; in process no answer takes more than half of the model's context."""

MAX_EMBEDDED = 2_048
"""[texts] That are put into vectors in one request; OpenAI's limit too."""

MAX_EMBEDDED_TOKENS = 8_192
"""[tokens] Of one of them, where it comes as tokens."""

MAX_EMBEDDED_CHARS = 32_000
"""[characters] Of each; models read a few hundred words and leave out the rest."""
