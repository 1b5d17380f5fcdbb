//! Statistics for site administrators. Figures that would need a scan of a large table come from the counts that owners
//! have anyway, from Postgres's own estimate, or from a daily record.

use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::role::{Level, OwnerKind, Visibility};
use crate::error::Result;
use crate::registry::caller::Caller;
use crate::registry::like::escape_like;
use crate::registry::pages::{Page, Slice};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, SmallInt, Text, Timestamptz};

/// Tables with more rows than this are estimated, not counted: counting a million rows takes 50 ms.
const COUNTED: i64 = 100_000;
/// How many days of growth are shown.
pub const DAYS: i32 = 30;

/// A count or an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    pub number: i64,
    /// Whether it is Postgres's estimate, some percent off.
    pub is_estimate: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Overview {
    pub people: People,
    pub packages: Figure,
    pub files: Figure,
    pub stored: Stored,
}

#[derive(Debug, Clone, Copy, QueryableByName)]
pub struct People {
    #[diesel(sql_type = BigInt)]
    pub users: i64,
    #[diesel(sql_type = BigInt)]
    pub admins: i64,
    #[diesel(sql_type = BigInt)]
    pub locked: i64,
    /// Users who wait for an administrator's approval.
    #[diesel(sql_type = BigInt)]
    pub inactive: i64,
    #[diesel(sql_type = BigInt)]
    pub orgs: i64,
}

/// The sum of what all owners store; shared bytes count once per file.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub struct Stored {
    #[diesel(sql_type = BigInt)]
    pub versions: i64,
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
}

/// Counts accounts, packages and stored bytes.
///
/// # Errors
/// As [`Caller::demand_admin`].
pub fn overview(conn: &mut PgConnection, caller: &Caller) -> Result<Overview> {
    caller.demand_admin(Level::Read)?;
    let people = diesel::sql_query(
        "SELECT count(*) AS users, count(*) FILTER (WHERE is_admin) AS admins, \
           count(*) FILTER (WHERE is_locked) AS locked, count(*) FILTER (WHERE NOT is_active) AS inactive, \
           (SELECT count(*) FROM owners WHERE kind = 1) AS orgs FROM users WHERE robot_of IS NULL",
    );
    let stored = diesel::sql_query(
        "SELECT coalesce(sum(versions), 0)::bigint AS versions, coalesce(sum(bytes), 0)::bigint AS bytes FROM \
           (SELECT versions, bytes FROM owner_usage UNION ALL SELECT versions, bytes FROM usage_changes) AS parts",
    );
    Ok(Overview {
        people: people.get_result(conn)?,
        packages: figure(conn, "packages")?,
        files: figure(conn, "files")?,
        stored: stored.get_result(conn)?,
    })
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// The number of rows in a table.
fn figure(conn: &mut PgConnection, table: &'static str) -> Result<Figure> {
    let estimate = format!("SELECT reltuples::bigint AS number FROM pg_class WHERE oid = '{table}'::regclass");
    let Number { number } = diesel::sql_query(estimate).get_result(conn)?;
    if number > COUNTED {
        return Ok(Figure { number, is_estimate: true });
    }
    let Number { number } = diesel::sql_query(format!("SELECT count(*) AS number FROM {table}")).get_result(conn)?;
    Ok(Figure { number, is_estimate: false })
}

/// The totals at the last record of a day. The values are empty for a day on which no server ran.
#[derive(Debug, Clone, QueryableByName)]
pub struct Day {
    /// As in `2026-01-31`.
    #[diesel(sql_type = Text)]
    pub day: String,
    /// In all files; shared bytes count once per file.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub bytes: Option<i64>,
    /// In the store.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub blob_bytes: Option<i64>,
}

/// The last [`DAYS`] days, the oldest first.
///
/// # Errors
/// As [`Caller::demand_admin`].
pub fn growth(conn: &mut PgConnection, caller: &Caller, now: Timestamp) -> Result<Vec<Day>> {
    caller.demand_admin(Level::Read)?;
    let days = diesel::sql_query(format!(
        "SELECT to_char(d, 'YYYY-MM-DD') AS day, t.bytes, t.blob_bytes FROM generate_series( \
           ($1 AT TIME ZONE 'UTC')::date - {}, ($1 AT TIME ZONE 'UTC')::date, interval '1 day') AS d \
         LEFT JOIN daily_totals t ON t.day = d::date ORDER BY d",
        DAYS - 1
    ));
    Ok(days.bind::<Timestamptz, _>(now).load(conn)?)
}

/// Records what is stored today. Every server of a database does this, and the last record counts.
///
/// # Errors
/// Database errors.
pub fn note_today(conn: &mut PgConnection, now: Timestamp) -> Result<()> {
    diesel::sql_query(
        "INSERT INTO daily_totals (day, versions, bytes, blobs, blob_bytes) \
         SELECT ($1 AT TIME ZONE 'UTC')::date, u.versions, u.bytes, b.blobs, b.bytes FROM \
           (SELECT coalesce(sum(versions), 0)::bigint AS versions, coalesce(sum(bytes), 0)::bigint AS bytes FROM \
              (SELECT versions, bytes FROM owner_usage UNION ALL SELECT versions, bytes FROM usage_changes) AS parts) u, \
           (SELECT count(*) AS blobs, coalesce(sum(size), 0)::bigint AS bytes FROM blobs) b \
         ON CONFLICT (day) DO UPDATE SET versions = excluded.versions, bytes = excluded.bytes, \
           blobs = excluded.blobs, blob_bytes = excluded.blob_bytes",
    )
    .bind::<Timestamptz, _>(now)
    .execute(conn)?;
    Ok(())
}

/// The order in which [`owners`] returns owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnerOrder {
    #[default]
    Name,
    /// The largest first.
    Size,
}

/// An owner with its totals.
#[derive(Debug, Clone, QueryableByName)]
pub struct OwnerRow {
    #[diesel(sql_type = BigInt)]
    pub id: OwnerId,
    #[diesel(sql_type = Text)]
    pub name: OwnerName,
    #[diesel(sql_type = Text)]
    pub full_name: String,
    #[diesel(sql_type = SmallInt)]
    pub visibility: Visibility,
    #[diesel(sql_type = BigInt)]
    pub packages: i64,
    #[diesel(sql_type = BigInt)]
    pub versions: i64,
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
    /// Only organizations have members.
    #[diesel(sql_type = BigInt)]
    pub members: i64,
    /// Whether the owner has its own quota.
    #[diesel(sql_type = Bool)]
    pub has_quota: bool,
}

fn containing(part: &str) -> String {
    // Postgres rejects NUL in a text, and no name contains it.
    format!("%{}%", escape_like(&part.to_lowercase().replace('\0', " ")))
}

/// The owners of one kind whose names contain a text, with their totals.
///
/// # Errors
/// As [`Caller::demand_admin`].
pub fn owners(
    conn: &mut PgConnection,
    caller: &Caller,
    (kind, part, order): (OwnerKind, &str, OwnerOrder),
    slice: Slice,
) -> Result<Page<OwnerRow>> {
    caller.demand_admin(Level::Read)?;
    let order = match order {
        OwnerOrder::Name => "o.lower_name",
        OwnerOrder::Size => "coalesce(u.bytes, 0) DESC, o.lower_name",
    };
    let part = containing(part);
    let filter = "o.kind = $1 AND (o.lower_name LIKE $2 OR lower(o.full_name) LIKE $2)";
    let total: Number = diesel::sql_query(format!("SELECT count(*) AS number FROM owners o WHERE {filter}"))
        .bind::<SmallInt, _>(kind)
        .bind::<Text, _>(&part)
        .get_result(conn)?;
    let items = diesel::sql_query(format!(
        "SELECT o.id, o.name, o.full_name, o.visibility, \
           coalesce(u.versions, 0) AS versions, coalesce(u.bytes, 0) AS bytes, \
           (SELECT count(*) FROM packages p WHERE p.owner_id = o.id) AS packages, \
           (SELECT count(DISTINCT m.user_id) FROM teams t JOIN team_members m ON m.team_id = t.id \
              WHERE t.org_id = o.id) AS members, \
           num_nonnulls(o.quota_versions, o.quota_bytes, o.quota_file_bytes) > 0 AS has_quota \
         FROM owners o LEFT JOIN (SELECT owner_id, sum(versions)::bigint AS versions, sum(bytes)::bigint AS bytes FROM \
           (SELECT owner_id, versions, bytes FROM owner_usage UNION ALL \
            SELECT owner_id, versions, bytes FROM usage_changes) AS parts GROUP BY owner_id) u ON u.owner_id = o.id \
         WHERE {filter} ORDER BY {order} LIMIT $3 OFFSET $4"
    ))
    .bind::<SmallInt, _>(kind)
    .bind::<Text, _>(&part)
    .bind::<BigInt, _>(slice.limit)
    .bind::<BigInt, _>(slice.offset)
    .load(conn)?;
    Ok(Page { items, total: total.number })
}

/// The order in which [`packages`] returns packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PackageOrder {
    #[default]
    Newest,
    Name,
    /// The largest first. This sums up all files: one second per million.
    Size,
}

/// A package with its totals.
#[derive(Debug, Clone, QueryableByName)]
pub struct PackageRow {
    #[diesel(sql_type = Text)]
    pub name: PackageName,
    #[diesel(sql_type = Text)]
    pub owner: OwnerName,
    #[diesel(sql_type = SmallInt)]
    pub visibility: Visibility,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: Timestamp,
    #[diesel(sql_type = BigInt)]
    pub versions: i64,
    #[diesel(sql_type = BigInt)]
    pub files: i64,
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
    #[diesel(sql_type = BigInt)]
    pub downloads: i64,
}

/// All packages whose names contain a text, with their totals.
///
/// # Errors
/// As [`Caller::demand_admin`].
pub fn packages(
    conn: &mut PgConnection,
    caller: &Caller,
    (part, order): (&str, PackageOrder),
    slice: Slice,
) -> Result<Page<PackageRow>> {
    caller.demand_admin(Level::Read)?;
    let part = containing(part);
    let total: Number = diesel::sql_query("SELECT count(*) AS number FROM packages WHERE lower_name LIKE $1")
        .bind::<Text, _>(&part)
        .get_result(conn)?;
    let size = "(SELECT v.package_id, sum(b.size) AS bytes FROM versions v JOIN files f ON f.version_id = v.id \
                JOIN blobs b ON b.id = f.blob_id GROUP BY v.package_id)";
    let (join, by) = match order {
        PackageOrder::Newest => (String::new(), "p.id DESC"),
        PackageOrder::Name => (String::new(), "p.lower_name COLLATE \"C\", p.id"),
        PackageOrder::Size => (format!("LEFT JOIN {size} w ON w.package_id = p.id"), "coalesce(w.bytes, 0) DESC, p.id"),
    };
    let items = diesel::sql_query(format!(
        "WITH page AS (SELECT p.id, p.name, p.owner_id, p.created_at, row_number() OVER (ORDER BY {by}) AS place \
           FROM packages p {join} WHERE p.lower_name LIKE $1 ORDER BY {by} LIMIT $2 OFFSET $3) \
         SELECT page.name, o.name AS owner, o.visibility, page.created_at, x.versions, x.files, x.bytes, x.downloads \
         FROM page JOIN owners o ON o.id = page.owner_id, LATERAL \
           (SELECT count(DISTINCT v.id) AS versions, count(f.id) AS files, coalesce(sum(b.size), 0)::bigint AS bytes, \
              coalesce(sum(f.download_count), 0)::bigint AS downloads FROM versions v \
            JOIN files f ON f.version_id = v.id JOIN blobs b ON b.id = f.blob_id WHERE v.package_id = page.id) x \
         ORDER BY page.place"
    ))
    .bind::<Text, _>(&part)
    .bind::<BigInt, _>(slice.limit)
    .bind::<BigInt, _>(slice.offset)
    .load(conn)?;
    Ok(Page { items, total: total.number })
}

#[derive(Debug, Clone, QueryableByName)]
pub struct Database {
    /// The Postgres version.
    #[diesel(sql_type = Text)]
    pub version: String,
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
    /// All open connections to the database, including those of other programs.
    #[diesel(sql_type = BigInt)]
    pub connections: i64,
    /// The last migration that ran.
    #[diesel(sql_type = Text)]
    pub schema: String,
}

/// Facts about the database.
///
/// # Errors
/// As [`Caller::demand_admin`].
pub fn database(conn: &mut PgConnection, caller: &Caller) -> Result<Database> {
    caller.demand_admin(Level::Read)?;
    Ok(diesel::sql_query(
        "SELECT current_setting('server_version') AS version, pg_database_size(current_database()) AS bytes, \
           (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS connections, \
           (SELECT coalesce(max(version), '') FROM __diesel_schema_migrations) AS schema",
    )
    .get_result(conn)?)
}
