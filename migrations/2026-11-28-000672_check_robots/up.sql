-- Validates the constraints of the step before. This reads the table of users; neither readers nor writers wait for it.
ALTER TABLE users
    VALIDATE CONSTRAINT users_robot_of_fkey,
    VALIDATE CONSTRAINT users_robots_have_tokens_only;
