-- Validates the constraints of the step before. This reads both tables; neither readers nor writers wait for it.
ALTER TABLE packages
    VALIDATE CONSTRAINT packages_labels_are_texts,
    VALIDATE CONSTRAINT packages_visibility_known,
    VALIDATE CONSTRAINT packages_seal_after_seconds_sane;
ALTER TABLE versions
    VALIDATE CONSTRAINT versions_state_known,
    VALIDATE CONSTRAINT versions_sealed_at_fits_state,
    VALIDATE CONSTRAINT versions_labels_are_texts;
