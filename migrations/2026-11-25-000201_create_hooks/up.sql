-- Webhooks of owners, and the outbox of what they have to tell: written with the change that it tells of, so that neither
-- is without the other.
CREATE TABLE hooks (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT hooks_pkey PRIMARY KEY,
    owner_id bigint NOT NULL CONSTRAINT hooks_owner_id_fkey REFERENCES owners ON DELETE CASCADE,
    kind smallint NOT NULL CONSTRAINT hooks_kind_known CHECK (kind IN (0, 1)),
    url text NOT NULL,
    content smallint NOT NULL CONSTRAINT hooks_content_known CHECK (content IN (0, 1)),
    sealed_secret bytea,
    sealed_authorization bytea,
    active boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    leased_until timestamptz,
    served_at timestamptz
);
COMMENT ON TABLE hooks IS 'Where an owner wants to be told of changes to his packages.';
COMMENT ON COLUMN hooks.kind IS '0 gitea, 1 gogs; both speak alike.';
COMMENT ON COLUMN hooks.url IS 'An http or https address.';
COMMENT ON COLUMN hooks.content IS '0 JSON, 1 a form with the JSON in its field payload.';
COMMENT ON COLUMN hooks.sealed_secret IS 'What bodies are signed with, encrypted with a key kept outside the database; null: they are not.';
COMMENT ON COLUMN hooks.sealed_authorization IS 'The value of a field Authorization, encrypted likewise; null: none is sent.';
COMMENT ON COLUMN hooks.active IS 'False: nothing new is told, and what waits goes on waiting.';
COMMENT ON COLUMN hooks.leased_until IS 'Until when one server alone sends for it; null or past: any may begin.';
COMMENT ON COLUMN hooks.served_at IS 'When a server last began to send for it: whoever waited longest is next.';
CREATE INDEX hooks_owner_id_idx ON hooks (owner_id);

CREATE TABLE hook_deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT hook_deliveries_pkey PRIMARY KEY,
    hook_id bigint NOT NULL CONSTRAINT hook_deliveries_hook_id_fkey REFERENCES hooks ON DELETE CASCADE,
    uuid uuid NOT NULL,
    action smallint NOT NULL CONSTRAINT hook_deliveries_action_known CHECK (action IN (0, 1)),
    is_test boolean NOT NULL,
    facts jsonb NOT NULL,
    state smallint NOT NULL CONSTRAINT hook_deliveries_state_known CHECK (state IN (0, 1, 2)),
    created_at timestamptz NOT NULL,
    retry_until timestamptz NOT NULL,
    next_attempt_at timestamptz,
    tries integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    CONSTRAINT hook_deliveries_pending_has_time CHECK ((state = 0) = (next_attempt_at IS NOT NULL))
);
COMMENT ON TABLE hook_deliveries IS 'What a hook has to tell, and told.';
COMMENT ON COLUMN hook_deliveries.uuid IS 'By which the receiver knows it, also when it comes again.';
COMMENT ON COLUMN hook_deliveries.action IS '0 created, 1 deleted.';
COMMENT ON COLUMN hook_deliveries.is_test IS 'It tells of nothing that happened.';
COMMENT ON COLUMN hook_deliveries.facts IS 'What happened, as it was at that time.';
COMMENT ON COLUMN hook_deliveries.state IS '0 pending, 1 delivered, 2 failed: given up.';
COMMENT ON COLUMN hook_deliveries.retry_until IS 'When it is given up.';
COMMENT ON COLUMN hook_deliveries.next_attempt_at IS 'When a pending one is due.';
COMMENT ON COLUMN hook_deliveries.tries IS 'Attempts since it became due, or was asked for again: the pauses grow with them.';
COMMENT ON COLUMN hook_deliveries.attempts IS 'All attempts that were begun.';
CREATE INDEX hook_deliveries_due_idx ON hook_deliveries (next_attempt_at, hook_id) WHERE state = 0;
COMMENT ON INDEX hook_deliveries_due_idx IS 'Which hooks have something to tell now.';
CREATE INDEX hook_deliveries_hook_id_idx ON hook_deliveries (hook_id, id);
COMMENT ON INDEX hook_deliveries_hook_id_idx IS 'The log of a hook, the newest first.';
CREATE INDEX hook_deliveries_created_at_idx ON hook_deliveries (created_at);
COMMENT ON INDEX hook_deliveries_created_at_idx IS 'What is old enough to be forgotten.';

CREATE TABLE hook_attempts (
    delivery_id bigint NOT NULL CONSTRAINT hook_attempts_delivery_id_fkey REFERENCES hook_deliveries ON DELETE CASCADE,
    number integer NOT NULL,
    at timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    request_headers jsonb NOT NULL,
    status integer,
    response_headers jsonb NOT NULL,
    response_body text NOT NULL,
    error text NOT NULL,
    CONSTRAINT hook_attempts_pkey PRIMARY KEY (delivery_id, number)
);
COMMENT ON TABLE hook_attempts IS 'What became of each attempt to deliver.';
COMMENT ON COLUMN hook_attempts.number IS 'From 1.';
COMMENT ON COLUMN hook_attempts.duration_ms IS 'From the beginning of the look-up to the end of what was read.';
COMMENT ON COLUMN hook_attempts.request_headers IS 'Pairs of name and value; secrets as asterisks.';
COMMENT ON COLUMN hook_attempts.status IS 'The answer''s; null: there was none.';
COMMENT ON COLUMN hook_attempts.response_headers IS 'Pairs of name and value, the first eight kilobytes.';
COMMENT ON COLUMN hook_attempts.response_body IS 'Its first 16 kilobytes; what is no text is replaced.';
COMMENT ON COLUMN hook_attempts.error IS 'What went wrong, in words; empty: nothing.';
