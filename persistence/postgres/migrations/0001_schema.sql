-- The seven tables. Works on PostgreSQL 15 and newer, applied by Morgan itself or as a script of a container's
-- /docker-entrypoint-initdb.d. What is only bookkeeping lies in a schema of its own.

CREATE SCHEMA IF NOT EXISTS morgan_meta;

CREATE TABLE IF NOT EXISTS morgan_meta.migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE conversations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id text NOT NULL,
    title text,
    language text,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    channel text NOT NULL DEFAULT 'call',
    metadata jsonb NOT NULL DEFAULT '{}',
    -- How many messages there are, and with it the next sequence number: its row lock is what keeps two writers apart.
    message_count integer NOT NULL DEFAULT 0
);
CREATE INDEX conversations_of_user ON conversations (user_id, updated_at DESC, id DESC);

CREATE TABLE messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    sequence_number integer NOT NULL CHECK (sequence_number > 0),
    role text NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    content text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    interrupted boolean NOT NULL DEFAULT false,
    latency jsonb NOT NULL DEFAULT '{}',
    embedding real[],
    metadata jsonb NOT NULL DEFAULT '{}',
    -- When the embedding went into the vector index; null while that is owed.
    indexed_at timestamptz,
    -- Checked at the end of a statement, so that taking a message out can move the later ones up in one.
    CONSTRAINT messages_in_order UNIQUE (conversation_id, sequence_number) DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX messages_by_time ON messages (created_at DESC);
CREATE INDEX messages_to_embed ON messages (created_at) WHERE embedding IS NULL;
CREATE INDEX messages_to_index ON messages (created_at) WHERE indexed_at IS NULL;

CREATE TABLE streaming_sessions (
    id text PRIMARY KEY,
    conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    user_id text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    end_reason text,
    stats jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX streaming_sessions_of_conversation ON streaming_sessions (conversation_id, started_at);
CREATE INDEX streaming_sessions_of_user ON streaming_sessions (user_id, started_at DESC);

-- The speech-to-text service transcribes without a conversation too: no foreign keys here.
CREATE TABLE audio_transcriptions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id text NOT NULL,
    message_id uuid,
    audio_sha256 text,
    text text NOT NULL,
    language text,
    confidence real,
    duration_ms integer NOT NULL DEFAULT 0,
    model text NOT NULL DEFAULT '',
    segments jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audio_transcriptions_of_session ON audio_transcriptions (session_id);
CREATE INDEX audio_transcriptions_of_message ON audio_transcriptions (message_id);

CREATE TABLE tts_generations (
    key text PRIMARY KEY,
    text text NOT NULL,
    voice text NOT NULL,
    format text NOT NULL,
    sample_rate integer NOT NULL,
    duration_ms integer NOT NULL,
    audio bytea NOT NULL,
    hits bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    size_bytes integer NOT NULL GENERATED ALWAYS AS (octet_length(audio)) STORED,
    -- Whose reply it was first made for, so that it goes when they go; null for greetings, apologies and fillers.
    conversation_id uuid
);
CREATE INDEX tts_generations_by_use ON tts_generations (last_used_at);
CREATE INDEX tts_generations_of_conversation ON tts_generations (conversation_id) WHERE conversation_id IS NOT NULL;

CREATE TABLE user_preferences (
    user_id text PRIMARY KEY,
    preferences jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE system_metrics (
    time timestamptz NOT NULL,
    name text NOT NULL,
    value double precision NOT NULL,
    labels jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX system_metrics_by_name ON system_metrics (name, time DESC);
CREATE INDEX system_metrics_by_time ON system_metrics (time);

-- How far each process' journal was delivered, written in the transaction that delivers: exactly once.
CREATE TABLE morgan_meta.deliveries (
    journal uuid PRIMARY KEY,
    position bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Vectors that a deletion still owes the index.
CREATE TABLE morgan_meta.vectors_to_delete (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL,
    -- Null: everything of the user's.
    conversation_id uuid,
    message_id uuid
);

INSERT INTO morgan_meta.migrations (version, name) VALUES (1, 'schema');
