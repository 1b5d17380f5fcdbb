-- Sign-in with OpenID Connect: identities that providers vouch for, and the sessions that began with them. New columns
-- are nullable, and their constraint is validated in the next step; the previous version leaves them empty.

SET LOCAL lock_timeout = '5s';

CREATE TABLE identities (
    id bigint GENERATED ALWAYS AS IDENTITY,
    user_id bigint NOT NULL,
    provider text NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    email text NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz,
    CONSTRAINT identities_pkey PRIMARY KEY (id),
    CONSTRAINT identities_issuer_subject_key UNIQUE (issuer, subject),
    CONSTRAINT identities_user_id_fkey FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE
);
COMMENT ON TABLE identities IS 'Who users are for OpenID Connect providers. Issuer and subject together are the identity.';
COMMENT ON COLUMN identities.provider IS 'The name of the provider in the configuration, at the last sign-in.';
COMMENT ON COLUMN identities.issuer IS 'The issuer that names the subject.';
COMMENT ON COLUMN identities.subject IS 'The person, in the words of the issuer; never given to another.';
COMMENT ON COLUMN identities.email IS 'The address that the provider sent last, for display; it proves nothing. Empty: none.';
COMMENT ON COLUMN identities.last_used_at IS 'The last sign-in; null before the first.';
CREATE INDEX identities_user_id_idx ON identities (user_id);
COMMENT ON INDEX identities_user_id_idx IS 'The identities of a user.';

ALTER TABLE sessions
    ADD COLUMN identity_id bigint,
    ADD COLUMN sealed_hint bytea,
    ADD COLUMN confirmed_at timestamptz,
    ADD CONSTRAINT sessions_identity_id_fkey
        FOREIGN KEY (identity_id) REFERENCES identities ON DELETE SET NULL NOT VALID;
COMMENT ON COLUMN sessions.identity_id IS 'The identity that the session began with; null for a password.';
COMMENT ON COLUMN sessions.sealed_hint IS 'The encrypted ID token, with which the provider is asked to sign out.';
COMMENT ON COLUMN sessions.confirmed_at IS 'When the user last signed in again at a provider, to confirm that it is they.';
CREATE INDEX sessions_identity_id_idx ON sessions (identity_id);
COMMENT ON INDEX sessions_identity_id_idx IS 'For deleting an identity.';

ALTER TABLE users ADD COLUMN rescued_until timestamptz;
COMMENT ON COLUMN users.rescued_until IS 'Until then the user may sign in with a password even where the settings forbid it; null: never.';
