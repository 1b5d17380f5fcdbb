-- Tokens whose downloads are never redirected to the object store. The column has a constant default; the previous
-- version redirects them as all others.
SET LOCAL lock_timeout = '5s';

ALTER TABLE tokens ADD COLUMN no_redirects BOOLEAN NOT NULL DEFAULT false;
COMMENT ON COLUMN tokens.no_redirects IS 'Whether downloads are always sent by the server itself. Never changes.';
