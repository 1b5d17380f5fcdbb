-- What nobody can sign in with, since it is no address; and each once.
UPDATE users SET lower_email = 'user ' || id WHERE lower_email IS NULL;
COMMENT ON COLUMN users.lower_email IS NULL;
ALTER TABLE users ALTER COLUMN lower_email SET NOT NULL;
