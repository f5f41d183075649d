"""HTTP itself: who may ask, how much, in which form, and how errors are told. Knows no calls and no settings."""
