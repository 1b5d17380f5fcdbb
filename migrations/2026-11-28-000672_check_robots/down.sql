SET LOCAL lock_timeout = '5s';
ALTER TABLE users
    DROP CONSTRAINT users_robots_have_tokens_only,
    DROP CONSTRAINT users_robot_of_fkey,
    ADD CONSTRAINT users_robot_of_fkey FOREIGN KEY (robot_of) REFERENCES owners NOT VALID,
    ADD CONSTRAINT users_robots_have_tokens_only
        CHECK (robot_of IS NULL OR password_hash IS NULL AND lower_email IS NULL AND NOT is_admin) NOT VALID;
