-- Passkeys: credentials of the Web Authentication standard, which sign a user in without a password or are asked for
-- beside it. The new column has a constant default. Where a passkey is the second factor, the row has a seed that no
-- device knows: the previous version then asks for a code, and lets in only who has a recovery code. Until they are
-- restarted, servers with that version can't send the new notices about passkeys and try again later.

SET LOCAL lock_timeout = '5s';

CREATE TABLE passkeys (
    id bigint GENERATED ALWAYS AS IDENTITY,
    user_id bigint NOT NULL,
    credential_id bytea NOT NULL,
    user_handle bytea NOT NULL,
    public_key bytea NOT NULL,
    state bytea NOT NULL,
    transports smallint NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz,
    CONSTRAINT passkeys_pkey PRIMARY KEY (id),
    CONSTRAINT passkeys_credential_id_key UNIQUE (credential_id),
    CONSTRAINT passkeys_credential_id_length CHECK (length(credential_id) BETWEEN 16 AND 1023),
    CONSTRAINT passkeys_user_handle_length CHECK (length(user_handle) = 32),
    CONSTRAINT passkeys_state_length CHECK (length(state) = 7),
    CONSTRAINT passkeys_name_length CHECK (octet_length(name) BETWEEN 1 AND 100),
    CONSTRAINT passkeys_user_id_fkey FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE
);
COMMENT ON TABLE passkeys IS 'Passkeys of users (W3C Web Authentication Level 3).';
COMMENT ON COLUMN passkeys.credential_id IS 'The name that the authenticator gave the credential.';
COMMENT ON COLUMN passkeys.user_handle IS 'What the authenticator knows the user by; the same for all passkeys of a user.';
COMMENT ON COLUMN passkeys.public_key IS 'The public key and its extensions, as the crate webauthn_rp encodes a StaticState.';
COMMENT ON COLUMN passkeys.state IS
    'Signature counter and flags of the last use, as the crate webauthn_rp encodes a DynamicState.';
COMMENT ON COLUMN passkeys.transports IS 'A bit for each way to reach the authenticator, as webauthn_rp encodes them.';
COMMENT ON COLUMN passkeys.name IS 'What the user calls it.';
COMMENT ON COLUMN passkeys.last_used_at IS 'The last sign-in or confirmation; null before the first.';
CREATE INDEX passkeys_user_id_idx ON passkeys (user_id);
COMMENT ON INDEX passkeys_user_id_idx IS 'The passkeys of a user.';

CREATE TABLE used_challenges (
    digest bytea CONSTRAINT used_challenges_pkey PRIMARY KEY
        CONSTRAINT used_challenges_digest_length CHECK (length(digest) = 32),
    expires_at timestamptz NOT NULL
);
CREATE INDEX used_challenges_expires_at_idx ON used_challenges (expires_at);
COMMENT ON TABLE used_challenges IS 'Challenges that a passkey has answered, which works once.';
COMMENT ON COLUMN used_challenges.digest IS 'SHA-256 of what the server asked.';
COMMENT ON COLUMN used_challenges.expires_at IS 'When the answer would be too late anyway.';

ALTER TABLE second_factors ADD COLUMN has_totp boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN second_factors.has_totp IS
    'Whether a device of the user has the seed; if not, the second factor is a passkey alone.';
