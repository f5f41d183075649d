"""The engines of this server: built from the settings, watched at work."""
