-- Without the column they would be tokens for everything that their scope allows.
SET LOCAL lock_timeout = '5s';
DELETE FROM tokens WHERE feeds_only;
ALTER TABLE tokens DROP COLUMN feeds_only;
