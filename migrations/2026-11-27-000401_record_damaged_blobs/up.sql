-- Blobs whose stored bytes were found damaged, and webhooks that tell of them. An empty table takes no time, and the
-- constraint is only widened. The previous version doesn't know the table and never writes the new action. It can't read
-- it either: beside this version it logs an error and leaves the delivery to a server with this version, which sends it,
-- and its page of that webhook's deliveries fails. Nothing is lost. Without this version, revert this step, which
-- deletes those deliveries: otherwise they would hold up all other webhooks.

CREATE TABLE damaged_blobs (
    blob_id bigint CONSTRAINT damaged_blobs_pkey PRIMARY KEY
        CONSTRAINT damaged_blobs_blob_id_fkey REFERENCES blobs ON DELETE CASCADE,
    storage_key text NOT NULL,
    damage smallint NOT NULL CONSTRAINT damaged_blobs_damage_known CHECK (damage IN (0, 1, 2, 3)),
    found_at timestamptz NOT NULL
);
COMMENT ON TABLE damaged_blobs IS 'Blobs whose stored bytes are not what was published, until they are uploaded again or repaired.';
COMMENT ON COLUMN damaged_blobs.storage_key IS 'The damaged copy. Where blobs.storage_key differs, the blob was uploaded again since.';
COMMENT ON COLUMN damaged_blobs.damage IS '0 missing, 1 wrong length, 2 wrong bytes, 3 unreadable.';
COMMENT ON COLUMN damaged_blobs.found_at IS 'When it was found first.';

ALTER TABLE hook_deliveries DROP CONSTRAINT hook_deliveries_action_known;
ALTER TABLE hook_deliveries ADD CONSTRAINT hook_deliveries_action_known CHECK (action IN (0, 1, 2)) NOT VALID;
COMMENT ON COLUMN hook_deliveries.action IS '0 created, 1 deleted, 2 damaged.';
