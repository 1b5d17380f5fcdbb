DROP TABLE download_days;
