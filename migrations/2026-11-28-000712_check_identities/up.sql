-- Validates the constraint of the step before. This reads the table of sessions; neither readers nor writers wait for it.
ALTER TABLE sessions VALIDATE CONSTRAINT sessions_identity_id_fkey;
