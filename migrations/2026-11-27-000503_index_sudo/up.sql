-- For the changes that an administrator made as other users. The index has only those records, so it stays small.
CREATE INDEX CONCURRENTLY audit_administrator_id_idx ON audit (administrator_id, id) WHERE administrator_id IS NOT NULL;
