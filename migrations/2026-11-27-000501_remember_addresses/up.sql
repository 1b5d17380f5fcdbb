-- Addresses from which each user signed in, so that wrong passwords from elsewhere cannot lock the user out there. The
-- previous version doesn't know the table: while it runs, it neither adds addresses nor spares those that are known.

SET LOCAL lock_timeout = '5s';
CREATE TABLE known_addresses (
    user_id bigint NOT NULL CONSTRAINT known_addresses_user_id_fkey REFERENCES users ON DELETE CASCADE,
    network text NOT NULL,
    auth_epoch integer NOT NULL,
    last_used_at timestamptz NOT NULL,
    CONSTRAINT known_addresses_pkey PRIMARY KEY (user_id, network)
);
COMMENT ON TABLE known_addresses IS 'Where each user signed in from. Failed sign-ins from there are counted apart.';
COMMENT ON COLUMN known_addresses.network IS 'An IPv4 address, or the first address of a /64.';
COMMENT ON COLUMN known_addresses.auth_epoch IS 'users.auth_epoch at the last sign-in: the address is known while both are equal.';
