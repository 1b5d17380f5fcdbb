//! A private owner takes as long as an absent one: both need the same statements, and Postgres reads the same tables
//! for them as often. This counts work and not time, which varies more than the difference.

use crate::support::people::{db_caller, db_org, db_token, db_user};
use crate::support::{Site, path};
use diesel::connection::{Instrumentation, InstrumentationEvent};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use packhouse::domain::ids::FileId;
use packhouse::domain::path::{FilePath, VersionPath};
use packhouse::domain::role::Visibility;
use packhouse::domain::secret::TokenSecret;
use packhouse::error::{Error, Result};
use packhouse::registry::access::{can_publish, can_read, visit};
use packhouse::registry::caller::{Caller, Credential, identify};
use packhouse::registry::packages::files;
use packhouse::registry::packages::search::{self, Search};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

type Statements = Arc<Mutex<Vec<String>>>;

/// Collects the statements of a connection.
struct Listener(Statements);

impl Instrumentation for Listener {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            // Without the values.
            let text = query.to_string();
            self.0.lock().unwrap().push(text.split(" -- binds:").next().unwrap().to_owned());
        }
    }
}

/// The statements of some work, and how often it read each table.
type Work = (Vec<String>, BTreeMap<String, i64>);

#[derive(QueryableByName)]
struct Reads {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    reads: i64,
}

/// Measures work, which must be refused. The first connection's caches are warm, because it ran once before.
fn measured(conn: &mut PgConnection, work: &mut dyn FnMut(&mut PgConnection) -> Result<()>) -> Work {
    let reads = |conn: &mut PgConnection| -> BTreeMap<String, i64> {
        let rows: Vec<Reads> = diesel::sql_query(
            "SELECT relname::text AS name, coalesce(seq_scan, 0) + coalesce(idx_scan, 0) AS reads \
             FROM pg_stat_xact_user_tables",
        )
        .load(conn)
        .unwrap();
        rows.into_iter().map(|row| (row.name, row.reads)).collect()
    };
    let statements = Statements::default();
    let read = conn
        .transaction(|conn| {
            let before = reads(conn);
            conn.set_instrumentation(Listener(Arc::clone(&statements)));
            let refused = work(conn);
            conn.set_instrumentation(|_: InstrumentationEvent<'_>| {});
            assert!(matches!(refused, Err(Error::NotFound(_) | Error::Unauthenticated)), "{refused:?}");
            let after = reads(conn);
            let difference = after.into_iter().map(|(name, count)| {
                let earlier = before.get(&name).copied().unwrap_or_default();
                (name, count - earlier)
            });
            Ok::<_, diesel::result::Error>(difference.filter(|(_, count)| *count > 0).collect())
        })
        .unwrap();
    let statements = statements.lock().unwrap().clone();
    (statements, read)
}

/// Something that begins by finding an owner, and its name.
type Way = (&'static str, Box<dyn FnMut(&mut PgConnection) -> Result<()>>);

/// Everything that begins by finding an owner, for the owner's name.
fn ways(caller: &Caller, owner: &str) -> Vec<Way> {
    let version =
        VersionPath { owner: owner.parse().unwrap(), package: "tool".parse().unwrap(), version: "1".parse().unwrap() };
    let file: FilePath = version.with_file("f".parse().unwrap());
    let of = || (caller.clone(), version.clone());
    let (c1, v1) = of();
    let (c2, v2) = of();
    let (c3, v3) = of();
    let (c4, v4) = of();
    let c5 = caller.clone();
    vec![
        ("visit", Box::new(move |conn| visit(conn, &c1, &v1.owner).map(drop))),
        ("read", Box::new(move |conn| can_read(conn, &c2, &v2.owner, Some(&v2.package)).map(drop))),
        ("publish", Box::new(move |conn| can_publish(conn, &c3, &v3.owner, &v3.package).map(drop))),
        ("page", Box::new(move |conn| files::find_downloadable_by_id(conn, &c4, &v4, FileId(1)).map(drop))),
        ("download", Box::new(move |conn| files::find_downloadable(conn, &c5, &file).map(drop))),
    ]
}

/// Callers who may not see the private owners: nobody, a user without and one with organizations, and by token.
fn callers(site: &Site) -> Vec<Caller> {
    site.db(|conn| {
        let token = db_token(conn, "open-read", "of open-read", &["write:package"], |_| {})?;
        let hash = token.parse::<TokenSecret>().unwrap().hash();
        Ok(vec![
            Caller::anonymous(None),
            db_caller(conn, "stranger")?,
            db_caller(conn, "open-read")?,
            identify(conn, &Credential::Token(hash), None, site.now())?,
        ])
    })
}

/// Ada's private packages, and private organizations with and without the file.
async fn settle() -> Site {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "open", Visibility::Public)?;
        db_org(conn, "closed", Visibility::Private)?;
        db_org(conn, "hollow", Visibility::Private)?;
        db_user(conn, "hermit", Visibility::Private, false)
    });
    for owner in ["ada", "closed"] {
        site.ada().publish(&path(&[owner, "tool", "1", "f"]), "hello").await;
    }
    site.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'ada'");
    site
}

#[tokio::test]
async fn a_private_owner_costs_the_same_statements_as_an_absent_one() {
    let site = settle().await;
    let callers = callers(&site);
    let mut conn = PgConnection::establish(&site.url).unwrap();
    for caller in &callers {
        let count = ways(caller, "nobody").len();
        for at in 0..count {
            let mut measure = |owner: &str| {
                let (name, mut work) = ways(caller, owner).remove(at);
                let _ = measured(&mut conn, &mut *work);
                (name, measured(&mut conn, &mut *work))
            };
            let (name, absent) = measure("nobody");
            assert!(!absent.0.is_empty() || name == "publish", "{name} asks the database");
            // With the file, without it, without anything, and a user.
            for private in ["ada", "closed", "hollow", "hermit"] {
                assert_eq!(measure(private).1, absent, "{name} of {private} by {caller:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_measure_of_private_owners_notices_a_difference() {
    let site = settle().await;
    let mut conn = PgConnection::establish(&site.url).unwrap();
    // The join that looks for the file first reads more tables where the file exists.
    let look = |conn: &mut PgConnection, owner: &str| {
        let sql = format!(
            "SELECT count(*) AS n FROM owners o JOIN packages p ON p.owner_id = o.id \
             JOIN versions v ON v.package_id = p.id WHERE o.lower_name = '{owner}'"
        );
        let mut work = move |conn: &mut PgConnection| {
            diesel::sql_query(&sql).execute(conn)?;
            Caller::anonymous(None).signed_in().map(drop)
        };
        measured(conn, &mut work)
    };
    assert_ne!(look(&mut conn, "ada"), look(&mut conn, "nobody"));
}

#[tokio::test]
async fn a_member_downloads_a_private_file_with_one_query() {
    let site = settle().await;
    let mut conn = PgConnection::establish(&site.url).unwrap();
    let statements = Statements::default();
    for name in ["closed-read", "ada", "admin"] {
        let caller = db_caller(&mut conn, name).unwrap();
        let version = VersionPath {
            owner: "closed".parse().unwrap(),
            package: "tool".parse().unwrap(),
            version: "1".parse().unwrap(),
        };
        statements.lock().unwrap().clear();
        conn.set_instrumentation(Listener(Arc::clone(&statements)));
        files::find_downloadable(&mut conn, &caller, &version.with_file("f".parse().unwrap())).unwrap();
        conn.set_instrumentation(|_: InstrumentationEvent<'_>| {});
        assert_eq!(statements.lock().unwrap().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_search_in_a_private_owner_costs_the_same_as_in_an_absent_one() {
    let site = settle().await;
    let callers = callers(&site);
    let mut conn = PgConnection::establish(&site.url).unwrap();
    for caller in &callers {
        let mut measure = |owner: &str| {
            let right = packhouse::registry::access::can_search(caller).unwrap();
            let wanted = Search { owner: Some(owner.parse().unwrap()), ..Search::default() };
            let mut work = move |conn: &mut PgConnection| {
                search::search(conn, &right, &wanted)?;
                Err(Error::Unauthenticated)
            };
            let _ = measured(&mut conn, &mut work);
            measured(&mut conn, &mut work)
        };
        let absent = measure("nobody");
        for private in ["ada", "closed", "hollow", "hermit"] {
            assert_eq!(measure(private), absent, "{private} by {caller:?}");
        }
    }
}

/// Everything that begins by finding a package of a public owner, by the package's name.
fn package_ways(caller: &Caller, package: &str) -> Vec<Way> {
    let version = VersionPath {
        owner: "open".parse().unwrap(),
        package: package.parse().unwrap(),
        version: "1".parse().unwrap(),
    };
    let file: FilePath = version.with_file("f".parse().unwrap());
    let of = || (caller.clone(), version.clone());
    let (c1, v1) = of();
    let (c2, v2) = of();
    let c3 = caller.clone();
    vec![
        ("read", Box::new(move |conn| can_read(conn, &c1, &v1.owner, Some(&v1.package)).map(drop))),
        ("page", Box::new(move |conn| files::find_downloadable_by_id(conn, &c2, &v2, FileId(1)).map(drop))),
        ("download", Box::new(move |conn| files::find_downloadable(conn, &c3, &file).map(drop))),
    ]
}

#[tokio::test]
async fn a_private_package_costs_the_same_statements_as_an_absent_one() {
    let site = settle().await;
    for package in ["tool", "hidden", "empty"] {
        site.ada().publish(&path(&["open", package, "1", "f"]), "hello").await;
    }
    site.db_execute("UPDATE packages SET visibility = 2 WHERE name IN ('hidden', 'empty')");
    site.db_execute(
        "DELETE FROM files WHERE version_id = (SELECT v.id FROM versions v JOIN packages p \
                     ON p.id = v.package_id WHERE p.name = 'empty')",
    );
    let callers: Vec<Caller> = callers(&site)
        .into_iter()
        .filter(|caller| caller.user().is_none_or(|user| user.name.as_str() != "open-read"))
        .collect();
    let mut conn = PgConnection::establish(&site.url).unwrap();
    for caller in &callers {
        for at in 0..package_ways(caller, "never").len() {
            let mut measure = |package: &str| {
                let (name, mut work) = package_ways(caller, package).remove(at);
                let _ = measured(&mut conn, &mut *work);
                (name, measured(&mut conn, &mut *work))
            };
            let (name, absent) = measure("never");
            for hidden in ["hidden", "empty"] {
                assert_eq!(measure(hidden).1, absent, "{name} of {hidden} by {caller:?}");
            }
        }
    }
}
