SET LOCAL lock_timeout = '5s';
ALTER TABLE users DROP COLUMN rescued_until;
ALTER TABLE sessions DROP COLUMN identity_id, DROP COLUMN sealed_hint, DROP COLUMN confirmed_at;
DROP TABLE identities;
