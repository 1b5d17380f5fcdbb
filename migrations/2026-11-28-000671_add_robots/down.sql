SET LOCAL lock_timeout = '5s';
DELETE FROM owners WHERE id IN (SELECT id FROM users WHERE robot_of IS NOT NULL);
ALTER TABLE audit DROP COLUMN token_creator;
ALTER TABLE tokens DROP COLUMN creator_name;
ALTER TABLE users DROP COLUMN robot_of CASCADE;
