"""What is in Redis, under which keys, for how long.

conversation:{user_id}          JSON, the user's last conversation          1 h
stream_session:{id}             JSON, a running or just ended session       30 min, of a transcription 2 min
user_prefs:{user_id}            JSON                                        24 h
audio_buffer:{session_id}       list of PCM chunks that are not text yet    2 min
active_users                    sorted set, score is Unix seconds
token_used:{id}                 "1", a single-use token that was used       until it expires
token_session:{id}              JSON, what a client secret is bound to      until it expires
handed_over:{call_id}           JSON, a call that a restart has cut off        3 min
morgan:limits:...               counters of requests by client              2 min
morgan:events:{conversation_id} channel of events
morgan:invalidate               channel between Morgan's own processes
"""

INVALIDATE = "morgan:invalidate"
ACTIVE_USERS = "active_users"


def conversation_key(user_id: str) -> str:
    """Key of a user's last conversation."""
    return f"conversation:{user_id}"


def session_key(session_id: str) -> str:
    """Key of a streaming session."""
    return f"stream_session:{session_id}"


def preferences_key(user_id: str) -> str:
    """Key of a user's preferences."""
    return f"user_prefs:{user_id}"


def audio_key(session_id: str) -> str:
    """Key of a session's audio."""
    return f"audio_buffer:{session_id}"


def used_token_key(token_id: str) -> str:
    """Key of a single-use token that was used."""
    return f"token_used:{token_id}"


def token_session_key(token_id: str) -> str:
    """Key of the session that a client secret is bound to."""
    return f"token_session:{token_id}"


def handed_over_key(call_id: str) -> str:
    """Key of a call that goes on in another process."""
    return f"handed_over:{call_id}"
