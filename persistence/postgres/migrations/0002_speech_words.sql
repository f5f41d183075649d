-- Speech that comes from the cache tells when each of its words is said, as speech that is being made does:
-- [[text, start, end], ...] in seconds.
ALTER TABLE tts_generations ADD COLUMN words jsonb NOT NULL DEFAULT '[]';

INSERT INTO morgan_meta.migrations (version, name) VALUES (2, 'speech_words');
