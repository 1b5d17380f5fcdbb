-- For the filter of searches. The expression is that of `search/filter`.
CREATE INDEX CONCURRENTLY versions_prerelease_idx ON versions (package_id)
    WHERE coalesce(is_prerelease, version COLLATE "C" ~
        '^[vV]?[0-9]+(\.[0-9]+)*-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$');
