//! The match conditions of a search. Few matches come from the indexes; with many, each version is checked in turn.

use super::rows::{Condition, Rows};
use crate::db::schema::{blobs, versions};
use crate::domain::digest::{Md5, Sha1, Sha256, Sha512};
use crate::domain::ids::{BlobId, VersionId};
use crate::error::Result;
use crate::registry::access::shown_sql;
use crate::registry::draft_limit::DraftLimit;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Text};

/// Up to this many matching rows are all fetched and sorted.
const FEW: i64 = 30_000;
/// A condition that a version must meet.
pub(super) enum TextMatch {
    /// The package's name contains the text.
    Package(String),
    /// Any name contains the text, or a file has one of these blobs.
    Any(String, Vec<BlobId>),
    /// A file has one of these blobs.
    Bytes(Vec<BlobId>),
    /// The name of the package or of its owner contains the text.
    PackageOrOwner(String),
    /// Any name contains the text, the owner's included, or a label does, or a file has one of these blobs.
    Word(String, Vec<BlobId>),
}

/// The versions whose owner's name is like `$1`.
const OF_OWNERS: &str = "SELECT v.id FROM owners o JOIN versions v ON v.owner_id = o.id WHERE o.lower_name LIKE $1";
/// Whether a label of the row is like a parameter, which follows.
const LABELED: &str = "EXISTS (SELECT FROM jsonb_each_text(labels) AS label \
    WHERE lower(label.key || '=' || label.value) LIKE ";

/// A condition, and the versions that meet it if they are few, whoever may see them.
pub(super) struct Criterion {
    pub(super) text_match: TextMatch,
    pub(super) few: Option<Vec<VersionId>>,
}

impl TextMatch {
    /// The versions that match, if they are few.
    pub(super) fn few(&self, conn: &mut PgConnection) -> Result<Option<Vec<VersionId>>> {
        #[derive(QueryableByName)]
        struct VersionIdRow {
            #[diesel(sql_type = BigInt)]
            id: VersionId,
        }
        const PACKAGES: &str =
            "SELECT v.id FROM packages p JOIN versions v ON v.package_id = p.id WHERE p.lower_name LIKE $1";
        let limited = |rows: &str| sql_query(format!("SELECT id FROM ({rows}) AS fitting LIMIT {}", FEW + 1));
        let rows: Vec<VersionIdRow> = match self {
            Self::Package(like) => limited(PACKAGES).bind::<Text, _>(like).load(conn)?,
            Self::Any(like, blobs) => limited(&format!(
                "{PACKAGES} UNION ALL SELECT id FROM versions WHERE lower_version LIKE $1 \
                 UNION ALL SELECT version_id FROM files WHERE lower_name LIKE $1 \
                 UNION ALL SELECT version_id FROM files WHERE blob_id = ANY ($2)"
            ))
            .bind::<Text, _>(like)
            .bind::<Array<BigInt>, _>(blobs)
            .load(conn)?,
            Self::PackageOrOwner(like) => {
                limited(&format!("{PACKAGES} UNION ALL {OF_OWNERS}")).bind::<Text, _>(like).load(conn)?
            }
            Self::Word(like, blobs) => limited(&format!(
                "{PACKAGES} UNION ALL {OF_OWNERS} UNION ALL SELECT id FROM versions WHERE lower_version LIKE $1 \
                 UNION ALL SELECT version_id FROM files WHERE lower_name LIKE $1 \
                 UNION ALL SELECT version_id FROM files WHERE blob_id = ANY ($2) \
                 UNION ALL SELECT id FROM versions WHERE labels <> '{{}}' AND {LABELED} $1) \
                 UNION ALL SELECT v.id FROM (SELECT id FROM packages WHERE labels <> '{{}}' AND {LABELED} $1)) AS p \
                 JOIN versions v ON v.package_id = p.id"
            ))
            .bind::<Text, _>(like)
            .bind::<Array<BigInt>, _>(blobs)
            .load(conn)?,
            Self::Bytes(blobs) => limited("SELECT version_id AS id FROM files WHERE blob_id = ANY ($1)")
                .bind::<Array<BigInt>, _>(blobs)
                .load(conn)?,
        };
        let few = rows.len() <= usize::try_from(FEW).unwrap_or(0);
        Ok(few.then(|| rows.into_iter().map(|row| row.id).collect()))
    }

    /// A condition that is checked for one version after another. It refers to nothing but the version, so that
    /// Postgres checks it during the walk and does not join everything with everything.
    fn of_each(&self, rows: Rows, limit: &DraftLimit) -> Condition {
        const PACKAGE: &str = "EXISTS (SELECT FROM packages p WHERE p.id = versions.package_id AND p.lower_name LIKE ";
        const OWNER: &str = "EXISTS (SELECT FROM owners o WHERE o.id = versions.owner_id AND o.lower_name LIKE ";
        // For a package, any of its versions that are shown may match.
        let shown = shown_sql(limit, "one");
        let any =
            format!("EXISTS (SELECT FROM versions one WHERE one.package_id = versions.package_id AND {shown} AND (");
        let (any, one, end) = match rows {
            Rows::Versions => ("(", "versions", ")"),
            Rows::Packages => (any.as_str(), "one", "))"),
        };
        let file = format!("EXISTS (SELECT FROM files f WHERE f.version_id = {one}.id AND ");
        match self {
            Self::Package(like) => Box::new(sql::<Bool>(PACKAGE).bind::<Text, _>(like.clone()).sql(")")),
            Self::PackageOrOwner(like) => Box::new(
                sql::<Bool>(&format!("({PACKAGE}"))
                    .bind::<Text, _>(like.clone())
                    .sql(&format!(") OR {OWNER}"))
                    .bind::<Text, _>(like.clone())
                    .sql("))"),
            ),
            Self::Word(like, blobs) => Box::new(
                sql::<Bool>("(")
                    .sql(OWNER)
                    .bind::<Text, _>(like.clone())
                    .sql(&format!(") OR {PACKAGE}"))
                    .bind::<Text, _>(like.clone())
                    .sql(&format!(") OR {any}{one}.lower_version LIKE "))
                    .bind::<Text, _>(like.clone())
                    .sql(&format!(" OR {file} f.lower_name LIKE "))
                    .bind::<Text, _>(like.clone())
                    .sql(&format!(") OR {file} f.blob_id = ANY ("))
                    .bind::<Array<BigInt>, _>(blobs.clone())
                    .sql(&format!(
                        ")) OR {one}.labels <> '{{}}' AND EXISTS (SELECT FROM jsonb_each_text({one}.labels) \
                        AS label WHERE lower(label.key || '=' || label.value) LIKE "
                    ))
                    .bind::<Text, _>(like.clone())
                    .sql(&format!(
                        "){end} OR EXISTS (SELECT FROM packages WHERE packages.id = versions.package_id AND \
                        {LABELED}"
                    ))
                    .bind::<Text, _>(like.clone())
                    .sql(")))"),
            ),
            Self::Any(like, blobs) => Box::new(
                sql::<Bool>(&format!("({any}{one}.lower_version LIKE "))
                    .bind::<Text, _>(like.clone())
                    .sql(&format!(" OR {file} f.lower_name LIKE "))
                    .bind::<Text, _>(like.clone())
                    .sql(&format!(") OR {file} f.blob_id = ANY ("))
                    .bind::<Array<BigInt>, _>(blobs.clone())
                    .sql(&format!(")){end} OR {PACKAGE}"))
                    .bind::<Text, _>(like.clone())
                    .sql("))"),
            ),
            Self::Bytes(blobs) => {
                let blobs =
                    sql::<Bool>(&format!("{any}{file} f.blob_id = ANY (")).bind::<Array<BigInt>, _>(blobs.clone());
                Box::new(blobs.sql(&format!(")){end}")))
            }
        }
    }
}

impl Criterion {
    pub(super) fn condition(&self, rows: Rows, limit: &DraftLimit) -> Condition {
        match (&self.few, rows) {
            (Some(ids), Rows::Versions) => Box::new(versions::id.eq_any(ids.clone())),
            (Some(ids), Rows::Packages) => {
                let shown = shown_sql(limit, "one");
                let of = format!(
                    "versions.package_id IN (SELECT one.package_id FROM versions one WHERE {shown} AND one.id = ANY ("
                );
                Box::new(sql::<Bool>(&of).bind::<Array<BigInt>, _>(ids.clone()).sql("))"))
            }
            (None, _) => self.text_match.of_each(rows, limit),
        }
    }
}

/// The blobs that have this text as a hexadecimal digest.
pub(super) fn of_digest(conn: &mut PgConnection, text: &str) -> Result<Vec<BlobId>> {
    let found = blobs::table.select(blobs::id).into_boxed();
    let found = if let Ok(digest) = text.parse::<Sha256>() {
        found.filter(blobs::sha256.eq(digest.as_bytes().to_vec()))
    } else if let Ok(digest) = text.parse::<Sha512>() {
        found.filter(blobs::sha512.eq(digest.as_bytes().to_vec()))
    } else if let Ok(digest) = text.parse::<Sha1>() {
        found.filter(blobs::sha1.eq(digest.as_bytes().to_vec()))
    } else if let Ok(digest) = text.parse::<Md5>() {
        found.filter(blobs::md5.eq(digest.as_bytes().to_vec()))
    } else {
        return Ok(Vec::new());
    };
    Ok(found.load(conn)?)
}
