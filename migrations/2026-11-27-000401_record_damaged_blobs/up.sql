-- Blobs whose stored bytes were found damaged, and webhooks that tell of them. Safe beside the previous version, which
-- neither reads nor writes the table: the constraint is only widened, and an empty table takes no time.

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
