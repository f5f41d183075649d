"""Language models in process."""
