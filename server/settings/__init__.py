"""Every setting of Morgan: one frozen object, read once; a module a section."""

from server.settings.effective import Settings
from server.settings.engines import AUTO_MIND, MOST_LANES
from server.settings.loading import SettingsError, load_settings
from server.settings.stores import RecordInputs

__all__ = ["AUTO_MIND", "MOST_LANES", "RecordInputs", "Settings", "SettingsError", "load_settings"]
