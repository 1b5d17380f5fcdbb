DROP TABLE database_runs;
