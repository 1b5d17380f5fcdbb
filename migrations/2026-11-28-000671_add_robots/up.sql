-- Robots: an organization's own accounts, which have tokens and nothing else to sign in with. A robot is a user whose
-- owner row is named organization/robot. Tokens and audit records say who made a token that its user did not make.
-- New columns are nullable; their constraints are validated in the next step. The previous version cannot read the
-- name of a robot: create robots once no server runs it.

SET LOCAL lock_timeout = '5s';

ALTER TABLE users
    ADD COLUMN robot_of bigint,
    ADD CONSTRAINT users_robot_of_fkey FOREIGN KEY (robot_of) REFERENCES owners NOT VALID,
    ADD CONSTRAINT users_robots_have_tokens_only
        CHECK (robot_of IS NULL OR password_hash IS NULL AND lower_email IS NULL AND NOT is_admin) NOT VALID;
COMMENT ON COLUMN users.robot_of IS 'The organization whose robot this is; null for a person.';

ALTER TABLE tokens ADD COLUMN creator_name text;
COMMENT ON COLUMN tokens.creator_name IS 'Who made the token, at that time; null if its user did.';

ALTER TABLE audit ADD COLUMN token_creator text;
COMMENT ON COLUMN audit.token_creator IS 'Who made the token in use, at that time; null if its user did.';
