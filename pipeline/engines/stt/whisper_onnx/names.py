"""Names of the graphs' inputs and outputs; those of a layer are followed by its number."""

from typing import Final

FEATURES: Final = "features"
STATES: Final = "states"
KEYS: Final = "keys_"
VALUES: Final = "values_"
"""Of the encoder's states, for cross-attention."""

SILENT_KEYS: Final = "silent_keys_"
SILENT_VALUES: Final = "silent_values_"
"""Of the silence that follows them."""

EMBEDDED: Final = "embedded"
MASK: Final = "mask"
ROWS: Final = "rows"
PAST_KEYS: Final = "past_keys_"
PAST_VALUES: Final = "past_values_"
NEXT_KEYS: Final = "next_keys_"
NEXT_VALUES: Final = "next_values_"
LOGITS: Final = "logits"
