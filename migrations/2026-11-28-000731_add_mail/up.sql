-- Mail: an outbox, links that are sent to an address, and requests to reset a password. The tables are new. The new
-- columns are nullable or have a constant default. The previous version doesn't know any of them: it sends no mail, and
-- a user whose address it changes is no longer confirmed, because confirmed_email then differs from lower_email.

SET LOCAL lock_timeout = '5s';

CREATE TABLE mails (
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind smallint NOT NULL,
    user_id bigint NOT NULL,
    recipient text NOT NULL,
    facts jsonb NOT NULL,
    sealed_code bytea,
    created_at timestamptz NOT NULL,
    retry_until timestamptz NOT NULL,
    next_attempt_at timestamptz,
    leased_until timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    error text NOT NULL DEFAULT '',
    CONSTRAINT mails_pkey PRIMARY KEY (id),
    CONSTRAINT mails_user_id_fkey FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
    CONSTRAINT mails_kind_known CHECK (kind BETWEEN 0 AND 11)
);
COMMENT ON TABLE mails IS 'Mail that is still to be sent, or that could not be sent. A mail that was sent is deleted.';
COMMENT ON COLUMN mails.kind IS '0 address to confirm, 1 password reset, 2 invitation, 3 address changed, 4 token created, 5 sign-in from a new device, 6 password changed, 7 two-factor changed, 8 webhook turned off, 9 token expires, 10 disk nearly full, 11 old backup.';
COMMENT ON COLUMN mails.user_id IS 'The user whom the mail is for.';
COMMENT ON COLUMN mails.facts IS 'What the mail says, without secrets.';
COMMENT ON COLUMN mails.sealed_code IS 'The secret of the link in the mail, encrypted with the secret key; null for mail without a link, and once the mail was given up.';
COMMENT ON COLUMN mails.retry_until IS 'When the mail is given up.';
COMMENT ON COLUMN mails.next_attempt_at IS 'Null: the mail was given up.';
COMMENT ON COLUMN mails.leased_until IS 'Until when a server is sending it.';
COMMENT ON COLUMN mails.error IS 'Why the last attempt failed.';
CREATE INDEX mails_user_id_idx ON mails (user_id);
CREATE INDEX mails_next_attempt_at_idx ON mails (next_attempt_at);

CREATE TABLE email_links (
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind smallint NOT NULL,
    user_id bigint NOT NULL,
    hash bytea NOT NULL,
    email text NOT NULL,
    auth_epoch integer NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    CONSTRAINT email_links_pkey PRIMARY KEY (id),
    CONSTRAINT email_links_hash_key UNIQUE (hash),
    CONSTRAINT email_links_user_id_fkey FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
    CONSTRAINT email_links_kind_known CHECK (kind BETWEEN 0 AND 2)
);
COMMENT ON TABLE email_links IS 'Links that were sent to an address. Each can be used once.';
COMMENT ON COLUMN email_links.kind IS '0 confirms the address, 1 resets the password, 2 accepts an invitation.';
COMMENT ON COLUMN email_links.hash IS 'SHA-256 of the secret in the link.';
COMMENT ON COLUMN email_links.email IS 'The address that the link was sent to.';
COMMENT ON COLUMN email_links.auth_epoch IS 'The epoch of the account when the link was made. A link that sets a password works in this epoch only.';
COMMENT ON COLUMN email_links.used_at IS 'When the link was used or replaced.';
CREATE INDEX email_links_user_id_idx ON email_links (user_id);
CREATE INDEX email_links_expires_at_idx ON email_links (expires_at);

CREATE TABLE reset_requests (
    id bigint GENERATED ALWAYS AS IDENTITY,
    sealed_name bytea NOT NULL,
    address text NOT NULL,
    requested_at timestamptz NOT NULL,
    CONSTRAINT reset_requests_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE reset_requests IS 'Requests to reset a password. A job finds out whether there is such an account, so that the answer and its time do not tell.';
COMMENT ON COLUMN reset_requests.sealed_name IS 'The name or address that somebody typed, encrypted with the secret key: people also type passwords there.';
COMMENT ON COLUMN reset_requests.address IS 'The network address of the request; empty if unknown.';

ALTER TABLE users
    ADD COLUMN confirmed_email text,
    ADD COLUMN muted_mails smallint[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN users.confirmed_email IS 'The address, in lower case, whose link the user followed. The current address is confirmed if it equals lower_email.';
COMMENT ON COLUMN users.muted_mails IS 'The kinds of mail that the user turned off.';

ALTER TABLE tokens ADD COLUMN expiry_announced boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN tokens.expiry_announced IS 'Whether its user was told that it expires soon.';
