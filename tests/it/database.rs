//! The schema: migrations in both directions, and `schema.rs`, which must match them.

use crate::support::cluster::cluster;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use std::collections::BTreeMap;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    text: String,
}

fn texts(conn: &mut PgConnection, query: &str) -> Vec<String> {
    diesel::sql_query(query).load::<Row>(conn).unwrap().into_iter().map(|row| row.text).collect()
}

/// Everything that a migration can create, one per line. Objects of extensions don't count, because extensions stay.
/// The numbers of columns skip dropped columns.
fn shape(conn: &mut PgConnection) -> Vec<String> {
    texts(
        conn,
        "SELECT text FROM ( \
         SELECT 'column ' || c.table_name || '.' || row_number() OVER \
           (PARTITION BY c.table_name ORDER BY c.ordinal_position) || ' ' || c.column_name || ' ' || c.udt_name \
           || ' ' || c.is_nullable || ' ' || coalesce(c.column_default, '') || coalesce(' ' || c.identity_generation, '') \
           || coalesce(' -- ' || col_description(c.table_name::regclass, c.ordinal_position), '') AS text \
           FROM information_schema.columns c WHERE c.table_schema = 'public' \
         UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' \
         UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) \
           FROM pg_constraint WHERE connamespace = 'public'::regnamespace \
         UNION ALL SELECT 'function ' || p.oid::regprocedure || md5(prosrc) FROM pg_proc p \
           WHERE pronamespace = 'public'::regnamespace \
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') \
         UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal \
         UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE typnamespace = 'public'::regnamespace \
           AND typtype IN ('e', 'd') \
         UNION ALL SELECT 'table ' || oid::regclass || coalesce(' -- ' || obj_description(oid), '') FROM pg_class \
           WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'S') \
         ) AS parts WHERE text NOT LIKE '%\\_\\_diesel\\_schema\\_migrations%' ORDER BY text",
    )
}

fn migrations() -> FileBasedMigrations {
    FileBasedMigrations::from_path(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap()
}

#[test]
fn every_migration_can_be_applied_reverted_and_applied_again() {
    let (name, url) = cluster().empty_database();
    let mut conn = PgConnection::establish(&url).unwrap();
    let mut shapes = vec![shape(&mut conn)];
    assert!(shapes[0].is_empty());
    while conn.has_pending_migration(migrations()).unwrap() {
        let version = conn.run_next_migration(migrations()).unwrap().to_string();
        let up = shape(&mut conn);
        conn.revert_last_migration(migrations()).unwrap();
        assert_eq!(shape(&mut conn), shapes[shapes.len() - 1], "reverting {version} restores the schema before it");
        conn.run_next_migration(migrations()).unwrap();
        assert_eq!(shape(&mut conn), up, "applying {version} again gives the same schema");
        shapes.push(up);
    }
    for before in shapes.iter().rev().skip(1) {
        conn.revert_last_migration(migrations()).unwrap();
        assert_eq!(shape(&mut conn), *before);
    }
    drop(conn);
    cluster().drop_database(&name);
}

#[test]
fn migrations_can_be_reverted_with_data_in_the_tables() {
    let (name, url) = cluster().database();
    let mut conn = PgConnection::establish(&url).unwrap();
    conn.revert_all_migrations(migrations()).unwrap();
    assert!(shape(&mut conn).is_empty());
    conn.run_pending_migrations(migrations()).unwrap();
    drop(conn);
    assert!(
        packhouse::db::migrate(&url, std::time::Duration::ZERO).unwrap().is_empty(),
        "the program embeds the same migrations"
    );
    cluster().drop_database(&name);
}

/// The tables of `schema.rs`: the primary key, and the columns in order with their types.
fn written_tables() -> BTreeMap<String, Vec<String>> {
    let text = include_str!("../../src/db/schema.rs");
    let mut tables = BTreeMap::new();
    for block in text.split("diesel::table! {\n").skip(1) {
        let mut lines = block.lines().map(str::trim);
        let (name, key) = lines.next().unwrap().split_once(" (").unwrap();
        let mut table = vec![format!("({})", key.split_once(')').unwrap().0)];
        table.extend(lines.take_while(|line| *line != "}").map(|line| line.trim_end_matches(',').to_owned()));
        tables.insert(name.to_owned(), table);
    }
    tables
}

/// The name of a type in Diesel: `int8` is `Int8`, `_text` is `Array<Text>`.
fn diesel_type(udt: &str) -> String {
    match udt.strip_prefix('_') {
        Some(inner) => format!("Array<{}>", diesel_type(inner)),
        None => udt[..1].to_uppercase() + &udt[1..],
    }
}

#[test]
fn schema_rs_matches_the_migrations() {
    let (name, url) = cluster().database();
    let mut conn = PgConnection::establish(&url).unwrap();
    let mut made: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in texts(
        &mut conn,
        "SELECT table_name || ' ' || column_name || ' ' || udt_name || ' ' || is_nullable AS text \
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '__diesel_schema_migrations' \
         ORDER BY table_name, ordinal_position",
    ) {
        let [table, column, udt, nullable] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let kind = if nullable == "YES" { format!("Nullable<{}>", diesel_type(udt)) } else { diesel_type(udt) };
        made.entry(table.to_owned()).or_default().push(format!("{column} -> {kind}"));
    }
    for line in texts(
        &mut conn,
        "SELECT conrelid::regclass || ' ' || string_agg(attname, ', ' ORDER BY place) AS text FROM pg_constraint, \
         unnest(conkey) WITH ORDINALITY AS part (number, place), pg_attribute WHERE contype = 'p' \
         AND connamespace = 'public'::regnamespace AND attrelid = conrelid AND attnum = number GROUP BY conrelid",
    ) {
        let (table, key) = line.split_once(' ').unwrap();
        if let Some(columns) = made.get_mut(table) {
            columns.insert(0, format!("({key})"));
        }
    }
    assert_eq!(written_tables(), made);
    drop(conn);
    cluster().drop_database(&name);
}

#[test]
fn constraints_have_explicit_names_and_foreign_keys_have_indexes() {
    let (name, url) = cluster().database();
    let mut conn = PgConnection::establish(&url).unwrap();
    let unindexed = texts(
        &mut conn,
        "SELECT conrelid::regclass || ': ' || conname AS text FROM pg_constraint c WHERE contype = 'f' \
         AND connamespace = 'public'::regnamespace AND NOT EXISTS (SELECT FROM pg_index i \
           WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1] AND i.indpred IS NULL)",
    );
    assert!(unindexed.is_empty(), "{unindexed:?}");
    let entries = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap();
    let folders = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let up: String = folders.map(|folder| std::fs::read_to_string(folder.join("up.sql")).unwrap()).collect();
    for constraint in texts(
        &mut conn,
        "SELECT conname::text AS text FROM pg_constraint WHERE connamespace = 'public'::regnamespace \
         AND contype <> 'n' AND conrelid::regclass::text <> '__diesel_schema_migrations'",
    ) {
        assert!(up.contains(&constraint), "{constraint} has a generated name");
    }
    drop(conn);
    cluster().drop_database(&name);
}

/// What an index made CONCURRENTLY waits for: every snapshot that is older.
#[test]
fn a_server_that_waits_to_migrate_does_not_hold_up_an_index_made_concurrently() {
    let (name, url) = cluster().database();
    let mut conn = PgConnection::establish(&url).unwrap();
    /// The lock of a migrating server.
    const LOCK: i64 = 0x7061_636b_686f_7573;
    diesel::sql_query(format!("SELECT pg_advisory_lock({LOCK})")).execute(&mut conn).unwrap();
    let waiting = {
        let url = url.clone();
        std::thread::spawn(move || packhouse::db::migrate(&url, std::time::Duration::from_secs(10)).unwrap())
    };
    let others = format!(
        "SELECT 'there' AS text FROM pg_stat_activity WHERE datname = '{name}' \
         AND application_name = 'packhouse migrate'"
    );
    crate::program::eventually("the server waits", || !texts(&mut conn, &others).is_empty());
    diesel::sql_query("CREATE INDEX CONCURRENTLY files_name_idx ON files (name)").execute(&mut conn).unwrap();
    assert!(!waiting.is_finished(), "it waits for the lock");
    diesel::sql_query(format!("SELECT pg_advisory_unlock({LOCK})")).execute(&mut conn).unwrap();
    assert!(waiting.join().unwrap().is_empty());
    drop(conn);
    cluster().drop_database(&name);
}

#[tokio::test]
async fn a_database_of_another_store_is_refused_at_start() {
    use packhouse::domain::clock::Clock;
    use packhouse::instance::Instance;
    let (name, url) = cluster().database();
    let (first, second) = (cluster().directory(), cluster().directory());
    let open = async |dir: &tempfile::TempDir| {
        let key = first.path().join("key");
        let settings = [("PACKHOUSE_SECRET_KEY_FILE", key.to_str().unwrap())];
        let config = crate::support::cluster::config(dir.path(), &url, &settings);
        Instance::open(config, true, Clock::system()).await.map(drop)
    };
    open(&first).await.unwrap();
    open(&first).await.unwrap();
    let refused = format!("{:#}", open(&second).await.unwrap_err());
    assert!(refused.contains("cannot use the store"), "{refused}");
    cluster().drop_database(&name);
}
