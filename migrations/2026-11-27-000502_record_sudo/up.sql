-- The administrator who made a change as another user (Sudo). Adding columns without a default takes no time. The
-- previous version leaves them out when it inserts, which is right: it doesn't act as other users.

SET LOCAL lock_timeout = '5s';
ALTER TABLE audit ADD COLUMN administrator_id bigint, ADD COLUMN administrator_name text;
COMMENT ON COLUMN audit.administrator_id IS 'The administrator who acted as the actor, if one did.';
COMMENT ON COLUMN audit.administrator_name IS 'The name of that administrator at the time.';
