SET LOCAL lock_timeout = '5s';
ALTER TABLE audit DROP COLUMN administrator_id, DROP COLUMN administrator_name;
