-- For the robots of an organization, and for deleting one.
CREATE INDEX CONCURRENTLY users_robot_of_idx ON users (robot_of);
