DROP INDEX CONCURRENTLY users_robot_of_idx;
