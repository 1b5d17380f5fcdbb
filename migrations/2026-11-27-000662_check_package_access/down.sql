SET LOCAL lock_timeout = '5s';
ALTER TABLE owners
    DROP CONSTRAINT owners_narrowest_package_known,
    DROP CONSTRAINT owners_widest_package_known,
    ADD CONSTRAINT owners_widest_package_known CHECK (widest_package BETWEEN 0 AND 2) NOT VALID,
    ADD CONSTRAINT owners_narrowest_package_known CHECK (narrowest_package BETWEEN 0 AND 2) NOT VALID;
ALTER TABLE teams
    DROP CONSTRAINT teams_owners_are_unlimited,
    ADD CONSTRAINT teams_owners_are_unlimited CHECK (package_patterns IS NULL OR permission < 4) NOT VALID;
