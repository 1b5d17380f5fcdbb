SET LOCAL lock_timeout = '5s';
ALTER TABLE sessions
    DROP CONSTRAINT sessions_identity_id_fkey,
    ADD CONSTRAINT sessions_identity_id_fkey
        FOREIGN KEY (identity_id) REFERENCES identities ON DELETE SET NULL NOT VALID;
