-- What users have given Morgan to read: documents, and the passages that answers are found in. Beside the seven tables,
-- in a schema of their own.
CREATE SCHEMA IF NOT EXISTS morgan_memory;

CREATE TABLE morgan_memory.documents (
    id uuid PRIMARY KEY,
    user_id text NOT NULL,
    -- What its user knows it by, such as the name of its file; the same again replaces it.
    source text NOT NULL,
    title text NOT NULL,
    sha256 text NOT NULL,
    passage_count integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, source)
);

CREATE TABLE morgan_memory.passages (
    id uuid PRIMARY KEY,
    document_id uuid NOT NULL REFERENCES morgan_memory.documents (id) ON DELETE CASCADE,
    number integer NOT NULL,
    -- Where in the document it stands, in words: "page 12", a heading.
    place text NOT NULL,
    content text NOT NULL,
    embedding real[],
    -- When the embedding went into the vector index; null while that is owed.
    indexed_at timestamptz,
    UNIQUE (document_id, number)
);
CREATE INDEX passages_to_embed ON morgan_memory.passages (document_id) WHERE embedding IS NULL;
CREATE INDEX passages_to_index ON morgan_memory.passages (document_id) WHERE indexed_at IS NULL;

INSERT INTO morgan_meta.migrations (version, name) VALUES (3, 'documents');
