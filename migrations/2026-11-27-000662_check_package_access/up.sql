-- Validates the constraints of the step before. This reads both tables; neither readers nor writers wait for it.
ALTER TABLE teams VALIDATE CONSTRAINT teams_owners_are_unlimited;
ALTER TABLE owners
    VALIDATE CONSTRAINT owners_widest_package_known,
    VALIDATE CONSTRAINT owners_narrowest_package_known;
