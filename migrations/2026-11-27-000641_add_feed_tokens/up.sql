-- Tokens that work only as ?feed_token= of feeds. The column has a constant default, so adding it rewrites nothing. The
-- previous version leaves it out when it inserts, and takes such a token for one with read:package: create the first of
-- them once no server of that version runs.

SET LOCAL lock_timeout = '5s';
ALTER TABLE tokens ADD COLUMN feeds_only boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN tokens.feeds_only IS 'It works only in the address of a feed, and nowhere else.';
