"""Settings from evidence: what is measured on this machine at the first start, and kept for the next."""
