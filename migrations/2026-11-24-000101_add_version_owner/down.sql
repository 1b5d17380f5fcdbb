DROP TRIGGER versions_take_owner ON versions;
DROP FUNCTION versions_take_owner();
ALTER TABLE versions DROP COLUMN owner_id;
