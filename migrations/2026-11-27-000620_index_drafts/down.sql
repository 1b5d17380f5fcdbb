DROP INDEX CONCURRENTLY versions_drafts_idx;
