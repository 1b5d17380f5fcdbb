SET LOCAL lock_timeout = '5s';
DELETE FROM owners WHERE id IN (SELECT id FROM publishers);
DROP TABLE used_identity_tokens;
DROP TABLE publishers;
ALTER TABLE tokens DROP COLUMN identity;
ALTER TABLE packages DROP COLUMN trusted_publishing_only;
ALTER TABLE files DROP COLUMN identity;
ALTER TABLE trashed_files DROP COLUMN identity;
COMMENT ON COLUMN users.robot_of IS 'The organization whose robot this is; null for a person.';
