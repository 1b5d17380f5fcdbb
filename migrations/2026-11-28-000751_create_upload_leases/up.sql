-- Leases of blobs in an object store, where no file lock keeps a sweep away from an upload. The table is new. The
-- previous version doesn't know it, and has no blobs in an object store.

CREATE TABLE upload_leases (
    storage_key text NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT upload_leases_pkey PRIMARY KEY (storage_key)
);
COMMENT ON TABLE upload_leases IS 'Blobs in the object store that no row of blobs names: uploads in progress, and copies that were replaced while somebody may still read them.';
COMMENT ON COLUMN upload_leases.storage_key IS 'The key, which is also the name in the store.';
COMMENT ON COLUMN upload_leases.expires_at IS 'Until when no sweep removes the blob. A running upload moves this ahead.';
CREATE INDEX upload_leases_expires_at_idx ON upload_leases (expires_at);
