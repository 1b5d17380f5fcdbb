-- Trusted publishing: jobs of other systems publish with an identity token of theirs, without a stored secret. A
-- publisher is an account like a robot, which may belong to a user too; its tokens live for minutes. New columns are
-- nullable or have a constant default. The previous version treats such a token as one of a robot without grants, so it
-- may publish nothing there.

SET LOCAL lock_timeout = '5s';

CREATE TABLE publishers (
    id bigint CONSTRAINT publishers_pkey PRIMARY KEY
        CONSTRAINT publishers_id_fkey REFERENCES users ON DELETE CASCADE,
    owner_id bigint NOT NULL CONSTRAINT publishers_owner_id_fkey REFERENCES owners ON DELETE CASCADE,
    provider smallint NOT NULL CONSTRAINT publishers_provider_known CHECK (provider BETWEEN 0 AND 5),
    issuer text NOT NULL CONSTRAINT publishers_issuer_length CHECK (octet_length(issuer) BETWEEN 1 AND 255),
    package_pattern text NOT NULL
        CONSTRAINT publishers_package_pattern_length CHECK (octet_length(package_pattern) BETWEEN 1 AND 255),
    conditions jsonb NOT NULL,
    environment text,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz
);
CREATE INDEX publishers_owner_id_idx ON publishers (owner_id);
CREATE INDEX publishers_issuer_idx ON publishers (issuer);
COMMENT ON TABLE publishers IS 'Trusted publishers: whose identity tokens may publish which packages.';
COMMENT ON COLUMN publishers.id IS 'Its account, which is also the owner named owner/publisher.';
COMMENT ON COLUMN publishers.owner_id IS 'The owner of the packages.';
COMMENT ON COLUMN publishers.provider IS '0 other, 1 github, 2 gitlab, 3 forgejo, 4 gitea, 5 kubernetes.';
COMMENT ON COLUMN publishers.issuer IS 'The claim iss of its tokens, exactly.';
COMMENT ON COLUMN publishers.package_pattern IS 'The packages, * for any characters.';
COMMENT ON COLUMN publishers.conditions IS 'An array of {claim, equals | one_of | glob}; all must hold.';
COMMENT ON COLUMN publishers.environment IS 'The claim environment, exactly; null for any or none.';
COMMENT ON COLUMN publishers.created_at IS 'When it was created.';
COMMENT ON COLUMN publishers.last_used_at IS 'When it last got a token.';

CREATE TABLE used_identity_tokens (
    digest bytea CONSTRAINT used_identity_tokens_pkey PRIMARY KEY
        CONSTRAINT used_identity_tokens_digest_length CHECK (length(digest) = 32),
    expires_at timestamptz NOT NULL
);
CREATE INDEX used_identity_tokens_expires_at_idx ON used_identity_tokens (expires_at);
COMMENT ON TABLE used_identity_tokens IS 'Identity tokens that were exchanged, which works once.';
COMMENT ON COLUMN used_identity_tokens.digest IS 'SHA-256 of issuer and jti, or of the token if it has no jti.';
COMMENT ON COLUMN used_identity_tokens.expires_at IS 'When nobody would accept it any longer.';

ALTER TABLE tokens ADD COLUMN identity jsonb;
COMMENT ON COLUMN tokens.identity IS 'The verified identity that a token of a publisher was given to; null for others.';

ALTER TABLE packages ADD COLUMN trusted_publishing_only boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN packages.trusted_publishing_only IS 'Whether only trusted publishers may add files.';

ALTER TABLE files ADD COLUMN identity jsonb;
COMMENT ON COLUMN files.identity IS 'The verified identity that published it; null if it was no trusted publisher.';

ALTER TABLE trashed_files ADD COLUMN identity jsonb;
COMMENT ON COLUMN trashed_files.identity IS 'As in files.';

COMMENT ON COLUMN users.robot_of IS
    'The organization whose robot this is, or the owner whose publisher; null for a person.';
