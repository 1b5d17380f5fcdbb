//! What changed between two versions of a package: their files, their notes and their READMEs.

use super::diff::{self, Diff, Side};
use super::format::{Bytes, When};
use super::list;
use super::owner::Owner;
use super::packages;
use super::page::{Frame, Reply, frame};
use super::readme;
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::names::PackageName;
use crate::domain::package_texts::Markdown;
use crate::domain::path::{PackagePath, VersionPath};
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanRead, can_read};
use crate::registry::caller::Caller;
use crate::registry::packages::comparison::{self, ComparedVersions, Comparison, Difference};
use crate::registry::packages::files::FileSummary;
use crate::registry::packages::releases::{self, Release};
use crate::registry::packages::versions::{self, VersionOrder};
use crate::registry::pages::Slice;
use crate::state::App;
use askama::Template;
use serde::Deserialize;

/// How many versions the form proposes.
const PROPOSED: Slice = Slice { offset: 0, limit: 50 };

#[derive(Deserialize, Default)]
#[serde(default)]
struct ComparisonQuery {
    from: String,
    to: String,
}

/// One of the versions, from the database.
struct Compared {
    release: Release,
    notes: Markdown,
    readme: Option<FileSummary>,
}

/// What the page shows of a version.
struct VersionSide {
    version: String,
    url: String,
    published: When,
    size: Bytes,
}

/// A difference between the files.
struct DifferenceRow {
    word: &'static str,
    class: &'static str,
    name: String,
    /// The name in the older version, if it differs.
    former: Option<String>,
    before: Option<Bytes>,
    after: Option<Bytes>,
    growth: Growth,
}

/// A number of bytes with its sign.
struct Growth(i64);

impl std::fmt::Display for Growth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(bytes) = *self;
        match bytes {
            0 => f.write_str("±0 B"),
            1.. => write!(f, "+{}", Bytes(bytes)),
            _ => write!(f, "−{}", Bytes(bytes.saturating_neg())),
        }
    }
}

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparisonPage {
    frame: Frame,
    owner: Owner,
    path: PackagePath,
    from: VersionSide,
    to: VersionSide,
    /// Versions to choose from.
    proposed: Vec<Version>,
    summary: String,
    growth: Growth,
    rows: Vec<DifferenceRow>,
    is_cut: bool,
    notes: Option<Diff>,
    readme: Option<Diff>,
}

impl ComparisonPage {
    fn url(&self) -> String {
        address::comparison_page(&self.path.owner, &self.path.package)
    }

    fn versions_url(&self) -> String {
        address::versions_page(&self.path.owner, &self.path.package)
    }
}

/// The version that a text names.
fn named(text: &str) -> Result<Option<Version>> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| Error::NotFound(What::Version)),
    }
}

fn load(conn: &mut Connection, right: &CanRead, package: &PackageName, release: Release) -> Result<Compared> {
    let path =
        VersionPath { owner: right.owner().name.clone(), package: package.clone(), version: release.version.clone() };
    let readme = readme::find(conn, right, &path)?;
    Ok(Compared { notes: releases::notes(conn, release.id)?, readme, release })
}

/// What the page shows, from the database.
struct Found {
    owner: Owner,
    path: PackagePath,
    from: Compared,
    to: Compared,
    files: Comparison,
    proposed: Vec<Version>,
}

fn find(conn: &mut Connection, caller: &Caller, path: &PackagePath, query: &ComparisonQuery) -> Result<Found> {
    let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
    let others = versions::browse(conn, &right, &path.package, "", VersionOrder::Number, PROPOSED)?;
    let wanted = (named(&query.from)?, named(&query.to)?);
    let ComparedVersions { from, to, files } = comparison::between(conn, &right, &others.package, wanted)?;
    let package = others.package;
    let (from, to) = (load(conn, &right, &package, from)?, load(conn, &right, &package, to)?);
    let proposed = others.page.items.into_iter().map(|summary| summary.version).collect();
    let path = PackagePath { owner: right.owner().name.clone(), package };
    Ok(Found { owner: Owner::of_package(conn, caller, &right)?, path, from, to, files, proposed })
}

/// `GET /{owner}/-/packages/compare/generic/{name}`.
pub async fn page(call: Call) -> Result<Reply> {
    let path = packages::named(&call).await?;
    let query: ComparisonQuery = list::query(&call.req);
    let (frame, found) = frame(&call, move |conn, caller| find(conn, caller, &path, &query)).await?;
    let app = &call.app;
    let now = app.clock.now();
    let notes = diff::of(found.from.notes.to_string(), found.to.notes.to_string()).await?;
    let readme = match (readme_of(app, &found.from).await?, readme_of(app, &found.to).await?) {
        (Some(old), Some(new)) => diff::of(old, new).await?,
        // One of them is too large, or is not text.
        _ => None,
    };
    let side = |compared: &Compared| VersionSide {
        url: address::version_page(&found.path.owner, &found.path.package, &compared.release.version),
        version: compared.release.version.to_string(),
        published: When { at: compared.release.created_at, now },
        size: Bytes(compared.release.size),
    };
    Reply::page(&ComparisonPage {
        from: side(&found.from),
        to: side(&found.to),
        summary: summary(&found.files),
        growth: Growth(found.to.release.size - found.from.release.size),
        rows: found.files.differences.iter().map(row).collect(),
        is_cut: found.files.is_cut,
        proposed: found.proposed,
        owner: found.owner,
        path: found.path,
        frame,
        notes,
        readme,
    })
}

async fn readme_of(app: &App, compared: &Compared) -> Result<Option<String>> {
    match &compared.readme {
        Some(file) => readme::text(app, file).await,
        None => Ok(Some(String::new())),
    }
}

/// `2 files added, 1 removed, 3 changed, 10 unchanged`.
fn summary(files: &Comparison) -> String {
    let count = |is: fn(&Difference) -> bool| files.differences.iter().filter(|difference| is(difference)).count();
    let added = count(|difference| matches!(difference, Difference::Added(_)));
    let removed = count(|difference| matches!(difference, Difference::Removed(_)));
    let changed = count(|difference| matches!(difference, Difference::Changed(..)));
    let renamed = count(|difference| matches!(difference, Difference::Renamed(..)));
    let same = usize::try_from(files.unchanged).unwrap_or(usize::MAX);
    let all = [(added, "added"), (removed, "removed"), (changed, "changed"), (renamed, "renamed"), (same, "unchanged")];
    let parts: Vec<String> =
        all.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}")).collect();
    format!("Files: {}", parts.join(", "))
}

fn row(difference: &Difference) -> DifferenceRow {
    let (word, class, before, after) = match difference {
        Difference::Added(new) => ("Added", "good", None, Some(new)),
        Difference::Removed(old) => ("Removed", "bad", Some(old), None),
        Difference::Changed(old, new) => ("Changed", "accent", Some(old), Some(new)),
        Difference::Renamed(old, new) => ("Renamed", "", Some(old), Some(new)),
    };
    let name = difference.file().name.to_string();
    DifferenceRow {
        word,
        class,
        former: before.map(|file| file.name.to_string()).filter(|former| *former != name),
        name,
        before: before.map(|file| Bytes(file.size)),
        after: after.map(|file| Bytes(file.size)),
        growth: Growth(difference.growth()),
    }
}

#[cfg(test)]
mod tests {
    use super::Growth;

    #[test]
    fn growth_has_a_sign() {
        assert_eq!(Growth(1536).to_string(), "+1.5 KiB");
        assert_eq!(Growth(-2).to_string(), "−2 B");
        assert_eq!(Growth(0).to_string(), "±0 B");
    }
}
