SET LOCAL lock_timeout = '5s';
ALTER TABLE versions
    DROP CONSTRAINT versions_labels_are_texts,
    DROP CONSTRAINT versions_sealed_at_fits_state,
    DROP CONSTRAINT versions_state_known,
    ADD CONSTRAINT versions_state_known CHECK (state IN (0, 1, 2)) NOT VALID,
    ADD CONSTRAINT versions_sealed_at_fits_state CHECK ((sealed_at IS NOT NULL) = (state = 2)) NOT VALID,
    ADD CONSTRAINT versions_labels_are_texts
        CHECK (jsonb_typeof(labels) = 'object' AND NOT jsonb_path_exists(labels, '$.* ? (@.type() != "string")')) NOT VALID;
ALTER TABLE packages
    DROP CONSTRAINT packages_seal_after_seconds_sane,
    DROP CONSTRAINT packages_visibility_known,
    DROP CONSTRAINT packages_labels_are_texts,
    ADD CONSTRAINT packages_labels_are_texts
        CHECK (jsonb_typeof(labels) = 'object' AND NOT jsonb_path_exists(labels, '$.* ? (@.type() != "string")')) NOT VALID,
    ADD CONSTRAINT packages_visibility_known CHECK (visibility BETWEEN 0 AND 2) NOT VALID,
    ADD CONSTRAINT packages_seal_after_seconds_sane CHECK (seal_after_seconds >= 0) NOT VALID;
