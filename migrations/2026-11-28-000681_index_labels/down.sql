DROP INDEX CONCURRENTLY versions_labeled_idx;
