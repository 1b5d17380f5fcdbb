DROP TABLE upload_leases;
