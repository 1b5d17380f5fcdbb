-- An address that a user gave himself proves nothing: no mail is sent. He does not sign in with it, and nobody learns from
-- it whether somebody else has it.
ALTER TABLE users ALTER COLUMN lower_email DROP NOT NULL;
COMMENT ON COLUMN users.lower_email IS 'The address he may sign in with: null until an administrator has set or confirmed it.';
