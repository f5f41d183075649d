"""Speech to text for clients: uploads, streaming sessions, and the forms that transcripts are given in."""
