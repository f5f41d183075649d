"""The calls of this server: opened, found, counted, ended, and what they are on."""
