DROP TRIGGER packages_span_owner_insert ON packages;
DROP TRIGGER packages_span_owner_update ON packages;
DROP TRIGGER packages_span_owner_delete ON packages;
DROP FUNCTION packages_span_owner();
ALTER TABLE owners DROP COLUMN widest_package, DROP COLUMN narrowest_package;
-- What was for some packages must not become a right to all of them.
DELETE FROM teams WHERE package_patterns IS NOT NULL;
ALTER TABLE teams DROP COLUMN package_patterns;
DROP TABLE protections;
DROP TABLE grants;
