"""What can go wrong in memory, so that doors can answer with the fitting status."""


class PersistenceError(RuntimeError):
    """Memory could not do it; the message is fit for a log."""


class StoreUnavailableError(PersistenceError):
    """A database cannot be reached now; the same request may work later (503)."""


class WritesRefusedError(StoreUnavailableError):
    """A store answers and takes nothing that is new; what is there can be read."""


class NoRoomError(WritesRefusedError):
    """The disk is nearly full."""


class JournalFullError(PersistenceError):
    """The journal on disk is at its bound, and what was to be recorded is lost."""


class DataDirInUseError(PersistenceError):
    """Another running process keeps its journal in the same data directory."""


class MigrationError(PersistenceError):
    """The database's schema cannot be brought to what this version needs."""


class EmbeddedServerError(PersistenceError):
    """A server of our own cannot be started; the message says what to install or to set."""


class TextNotStoredError(PersistenceError):
    """Nothing is kept of texts, as the settings have it (409)."""


class InvalidTextError(ValueError):
    """A text or an id cannot be stored as it is (422); the message names the field."""


class TextTooLongError(InvalidTextError):
    """A text is longer than what is stored (413)."""


class BadCursorError(ValueError):
    """A cursor is damaged or belongs to another list (400)."""
