//! What differs between the files of two versions.

use super::neighbors;
use super::releases::{self, Release};
use super::versions::{self, VersionOrder};
use crate::domain::digest::Sha256;
use crate::domain::ids::VersionId;
use crate::domain::names::{FileName, PackageName};
use crate::domain::path::VersionPath;
use crate::domain::version::Version;
use crate::error::{Error, Result};
use crate::registry::access::CanRead;
use crate::registry::pages::Slice;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use std::collections::HashMap;

/// The most differences that are listed.
pub const MOST: i64 = 2_000;

/// A file of one of the versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedFile {
    pub name: FileName,
    /// In bytes.
    pub size: i64,
    pub sha256: Sha256,
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    Added(ComparedFile),
    Removed(ComparedFile),
    /// The content, and possibly the name, if only the version in it differs.
    Changed(ComparedFile, ComparedFile),
    /// The same content under a name in which only the version differs.
    Renamed(ComparedFile, ComparedFile),
}

impl Difference {
    /// How many bytes the newer version has more.
    pub fn growth(&self) -> i64 {
        match self {
            Self::Added(file) => file.size,
            Self::Removed(file) => -file.size,
            Self::Changed(old, new) | Self::Renamed(old, new) => new.size - old.size,
        }
    }

    /// The file in the newer version, or else in the older one.
    pub fn file(&self) -> &ComparedFile {
        match self {
            Self::Added(file) | Self::Removed(file) => file,
            Self::Changed(_, new) | Self::Renamed(_, new) => new,
        }
    }
}

/// What differs between the files of two versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// At most [`MOST`], by name.
    pub differences: Vec<Difference>,
    /// How many files have the same name and content.
    pub unchanged: i64,
    /// Whether there are more differences.
    pub is_cut: bool,
}

#[derive(QueryableByName)]
struct DifferentRow {
    #[diesel(sql_type = Nullable<Text>)]
    old_name: Option<FileName>,
    #[diesel(sql_type = Nullable<BigInt>)]
    old_size: Option<i64>,
    #[diesel(sql_type = Nullable<Binary>)]
    old_sha256: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    new_name: Option<FileName>,
    #[diesel(sql_type = Nullable<BigInt>)]
    new_size: Option<i64>,
    #[diesel(sql_type = Nullable<Binary>)]
    new_sha256: Option<Vec<u8>>,
}

#[derive(QueryableByName)]
struct Unchanged {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Two versions, and what differs between their files.
#[derive(Debug, Clone)]
pub struct ComparedVersions {
    pub from: Release,
    pub to: Release,
    pub files: Comparison,
}

/// Compares two versions of a package. The newer one is the latest version if none is named, and the older one is the one
/// before that. The first version has none before it: it is compared with itself.
///
/// # Errors
/// [`Error::NotFound`] for a version that doesn't exist or that the caller doesn't see.
pub fn between(
    conn: &mut PgConnection,
    right: &CanRead,
    package: &PackageName,
    (from, to): (Option<Version>, Option<Version>),
) -> Result<ComparedVersions> {
    let at = |version| VersionPath { owner: right.owner().name.clone(), package: package.clone(), version };
    let to = match to {
        Some(to) => to,
        None => {
            let nothing = Slice { offset: 0, limit: 0 };
            versions::browse(conn, right, package, "", VersionOrder::Number, nothing)?.newest
        }
    };
    let to = releases::find(conn, right, &at(to))?;
    let from = match from {
        Some(from) => from,
        None => neighbors::of(conn, right, package, &to.version)?.previous.unwrap_or_else(|| to.version.clone()),
    };
    let from = releases::find(conn, right, &at(from))?;
    let files = of(conn, (from.id, &from.version), (to.id, &to.version))?;
    Ok(ComparedVersions { from, to, files })
}

fn of(
    conn: &mut PgConnection,
    (from, from_name): (VersionId, &Version),
    (to, to_name): (VersionId, &Version),
) -> Result<Comparison> {
    let side = "SELECT f.name, f.lower_name, f.blob_id, b.size, b.sha256 FROM files f JOIN blobs b ON b.id = f.blob_id \
                WHERE f.version_id =";
    // Blobs are unique by their SHA-256, so files with the same content have the same one.
    let mut rows: Vec<DifferentRow> = sql_query(format!(
        "SELECT old.name AS old_name, old.size AS old_size, old.sha256 AS old_sha256, new.name AS new_name, \
           new.size AS new_size, new.sha256 AS new_sha256 \
         FROM ({side} $1) old FULL JOIN ({side} $2) new ON new.lower_name = old.lower_name \
         WHERE old.blob_id IS DISTINCT FROM new.blob_id ORDER BY coalesce(new.lower_name, old.lower_name) LIMIT $3"
    ))
    .bind::<BigInt, _>(from)
    .bind::<BigInt, _>(to)
    .bind::<BigInt, _>(MOST + 1)
    .load(conn)?;
    let same: Unchanged = sql_query(
        "SELECT count(*) AS number FROM files a JOIN files b ON b.lower_name = a.lower_name AND b.blob_id = a.blob_id \
         WHERE a.version_id = $1 AND b.version_id = $2",
    )
    .bind::<BigInt, _>(from)
    .bind::<BigInt, _>(to)
    .get_result(conn)?;
    let most = usize::try_from(MOST).unwrap_or(usize::MAX);
    let is_cut = rows.len() > most;
    rows.truncate(most);
    let mut pairs = Vec::with_capacity(rows.len());
    for row in rows {
        pairs.push((
            compared(row.old_name, row.old_size, row.old_sha256)?,
            compared(row.new_name, row.new_size, row.new_sha256)?,
        ));
    }
    Ok(Comparison { differences: paired(pairs, from_name, to_name), unchanged: same.number, is_cut })
}

fn compared(name: Option<FileName>, size: Option<i64>, sha256: Option<Vec<u8>>) -> Result<Option<ComparedFile>> {
    let (Some(name), Some(size), Some(sha256)) = (name, size, sha256) else { return Ok(None) };
    Ok(Some(ComparedFile { name, size, sha256: Sha256::try_from(&sha256[..]).map_err(Error::internal)? }))
}

/// The name in lower case, with a sign in the place of the version; `None` if it doesn't contain the version. A version
/// of one or two characters may be in a name by chance.
fn without_version(name: &FileName, version: &Version) -> Option<String> {
    let version = version.lower();
    let bare = version.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let bare = bare.unwrap_or(&version);
    let lower = name.lower();
    // No name has this character.
    (bare.chars().count() > 2 && lower.contains(bare)).then(|| lower.replace(bare, "\u{1}"))
}

type Pair = (Option<ComparedFile>, Option<ComparedFile>);

/// The differences, in which a file that was removed and one that was added are one, if only the version in their names
/// differs.
fn paired(pairs: Vec<Pair>, from: &Version, to: &Version) -> Vec<Difference> {
    let mut removed: HashMap<String, ComparedFile> = HashMap::new();
    for (old, new) in &pairs {
        if let (Some(old), None) = (old, new)
            && let Some(key) = without_version(&old.name, from)
        {
            removed.insert(key, old.clone());
        }
    }
    let mut taken: Vec<FileName> = Vec::new();
    let mut differences = Vec::new();
    for pair in pairs {
        differences.push(match pair {
            (Some(old), Some(new)) => Difference::Changed(old, new),
            (Some(old), None) => Difference::Removed(old),
            (None, Some(new)) => match without_version(&new.name, to).and_then(|key| removed.remove(&key)) {
                Some(old) => {
                    taken.push(old.name.clone());
                    if old.sha256 == new.sha256 { Difference::Renamed(old, new) } else { Difference::Changed(old, new) }
                }
                None => Difference::Added(new),
            },
            (None, None) => continue,
        });
    }
    let taken: std::collections::HashSet<FileName> = taken.into_iter().collect();
    differences.retain(|difference| !matches!(difference, Difference::Removed(file) if taken.contains(&file.name)));
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: u8) -> ComparedFile {
        ComparedFile { name: name.parse().unwrap(), size: content.into(), sha256: Sha256::new([content; 32]) }
    }

    #[test]
    fn files_whose_names_differ_by_the_version_alone_are_one_file() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        let pairs = vec![
            (Some(file("tool-1.0.0.zip", 1)), None),
            (Some(file("gone-1.0.0.zip", 2)), None),
            (None, Some(file("tool-1.1.0.zip", 3))),
            (Some(file("LICENSE-1.0.0", 4)), None),
            (None, Some(file("LICENSE-1.1.0", 4))),
            (None, Some(file("new.zip", 5))),
            (Some(file("same-name", 6)), Some(file("same-name", 7))),
        ];
        let shown: Vec<String> = paired(pairs, &version("v1.0.0"), &version("v1.1.0"))
            .iter()
            .map(|difference| match difference {
                Difference::Added(file) => format!("+{}", file.name),
                Difference::Removed(file) => format!("-{}", file.name),
                Difference::Changed(old, new) => format!("{}>{} {}", old.name, new.name, difference.growth()),
                Difference::Renamed(old, new) => format!("{}={}", old.name, new.name),
            })
            .collect();
        assert_eq!(
            shown,
            [
                "-gone-1.0.0.zip",
                "tool-1.0.0.zip>tool-1.1.0.zip 2",
                "LICENSE-1.0.0=LICENSE-1.1.0",
                "+new.zip",
                "same-name>same-name 1"
            ]
        );
    }
}
