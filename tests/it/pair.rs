//! Two programs on one database and one bucket, for tests that kill, stop and hang one of them.

use crate::program::{Home, PASSWORD, Server, eventually, is_clean};
use crate::support::bucket::Bucket;
use crate::support::cluster::cluster;
use diesel::prelude::*;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

/// How long a change may wait for a server that is gone: a lease, and some time to be done.
pub const CHANGE: Duration = Duration::from_secs(4);

/// Two homes with the same database, bucket and key.
pub struct Pair {
    pub homes: [Home; 2],
    pub bucket: Bucket,
    pub url: String,
    /// The database to drop at the end.
    database: Option<String>,
    pub token: String,
}

impl Pair {
    /// A pair on an empty database of the tests' Postgres. `admin` is the only user.
    pub fn new(settings: &[(&str, &str)]) -> Self {
        let (database, url) = cluster().empty_database();
        Self::on(url, Some(database), settings)
    }

    pub fn on(url: String, database: Option<String>, settings: &[(&str, &str)]) -> Self {
        let mut homes = [Home::new(), Home::new()];
        let (bucket, key) = (Bucket::new(&homes[0].path("s3")), homes[0].path("key"));
        for home in &mut homes {
            home.set("DATABASE_URL", &url);
            home.set("PACKHOUSE_SECRET_KEY_FILE", key.to_str().unwrap());
            home.set("PACKHOUSE_ADMIN_USER", "admin");
            home.set("PACKHOUSE_ADMIN_PASSWORD", PASSWORD);
            home.set("PACKHOUSE_TRASH_KEEP_DAYS", "0");
            for (name, value) in bucket.settings() {
                home.set(name, value);
            }
            for (name, value) in settings {
                home.set(name, *value);
            }
        }
        let first = Server::start(&homes[0]);
        let token = homes[0].make_token("admin");
        first.stop();
        Self { homes, bucket, url, database, token }
    }

    pub fn start(&self) -> [Server; 2] {
        [Server::start(&self.homes[0]), Server::start(&self.homes[1])]
    }

    /// The number that a query returns as `n`.
    pub fn count(&self, query: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let mut conn = PgConnection::establish(&self.url).unwrap();
        diesel::sql_query(query).get_result::<Row>(&mut conn).unwrap_or_else(|error| panic!("{query}: {error}")).n
    }

    pub fn wait(&self, what: &str, query: &str) {
        eventually(what, || self.count(query) > 0);
    }

    /// Downloads a file from a server until it has a lease.
    pub fn warm(&self, server: &Server, path: &str) {
        let leased = format!(
            "SELECT count(*) AS n FROM servers WHERE address = '{}' AND lease_until > clock_timestamp()",
            server.address
        );
        eventually("the server has a lease", || {
            assert_eq!(server.get(path).0, 200);
            self.count(&leased) > 0
        });
    }

    pub fn is_clean(&self) {
        is_clean(&self.homes[1], &["check", "--digests"]);
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if let Some(database) = &self.database {
            cluster().drop_database(database);
        }
    }
}

pub fn file(version: impl std::fmt::Display, name: &str) -> String {
    format!("admin/generic/tool/{version}/{name}")
}

pub fn pid(server: &Server) -> i32 {
    i32::try_from(server.child.id()).unwrap()
}

/// Sends a change, and goes away as soon as it is committed: before the answer if another server hangs.
pub fn ask_and_leave(pair: &Pair, address: &str, path: &str, authorization: &str) {
    let changes = || pair.count("SELECT count(*) AS n FROM audit");
    let before = changes();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "DELETE {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    eventually(&format!("{path} is deleted"), || changes() > before);
}
