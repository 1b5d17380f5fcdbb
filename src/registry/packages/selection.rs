//! The version that a selector stands for, for every address in which one may take a version's place.

use super::channels;
use super::lookup;
use super::standing::{RANK_COLUMNS, RankedRow};
use super::versions;
use crate::db::schema::versions as versions_table;
use crate::domain::ids::PackageId;
use crate::domain::names::PackageName;
use crate::domain::path::VersionPath;
use crate::domain::selector::{Requirement, Selector};
use crate::domain::version::{self, Version};
use crate::error::{Error, Result, What};
use crate::registry::access::CanRead;
use diesel::prelude::*;

/// How many versions an error names.
const NAMED: usize = 10;

/// The version that the selector in a version's place stands for. `None` when the text is no selector, or when a version
/// really has that name: the name comes first.
///
/// # Errors
/// [`Error::NotFound`] for an unknown package; [`Error::NoVersionFits`].
pub fn select(conn: &mut PgConnection, right: &CanRead, path: &VersionPath) -> Result<Option<Version>> {
    let Some(selector) = Selector::of(&path.version) else { return Ok(None) };
    if versions::is_shown(conn, right, path)? {
        return Ok(None);
    }
    let (id, package) = lookup::shown_package(conn, right, &path.package)?;
    let asked = &path.version;
    match selector {
        Ok(Selector::Latest) => match versions::newest(conn, right, &package) {
            Err(Error::NotFound(What::Package)) => Err(none_fits(conn, id, &package, asked)?),
            newest => newest.map(Some),
        },
        Ok(Selector::Matching(wanted)) => match best(conn, id, &wanted)? {
            Some(version) => Ok(Some(version)),
            None => Err(none_fits(conn, id, &package, asked)?),
        },
        Ok(Selector::Channel(name)) => channels::version_of(conn, id, &package, &name).map(Some),
        Err(why) => Err(Error::NoVersionFits(format!(
            "{package} has no version named {asked}, and this isn't a selector: {why}. Selectors are latest, the name \
             of a channel such as @beta, and a requirement such as @^1.2"
        ))),
    }
}

/// The latest of the versions that fit a requirement.
fn best(conn: &mut PgConnection, package: PackageId, wanted: &Requirement) -> Result<Option<Version>> {
    let mut all = by_number(conn, package)?;
    all.retain(|row| wanted.accepts(&row.version, row.prerelease));
    Ok(all.into_iter().next().map(|row| row.version))
}

/// The versions that can be selected, the latest first.
fn by_number(conn: &mut PgConnection, package: PackageId) -> Result<Vec<RankedRow>> {
    let rows = versions_table::table.filter(versions_table::package_id.eq(package)).select(RANK_COLUMNS);
    let mut all: Vec<RankedRow> = rows.load(conn)?;
    all.retain(RankedRow::may_be_latest);
    version::sort_by_number(&mut all, RankedRow::ranked);
    Ok(all)
}

/// The error when no version fits: it names the latest ones that could have been selected.
fn none_fits(conn: &mut PgConnection, package: PackageId, name: &PackageName, asked: &Version) -> Result<Error> {
    let all = by_number(conn, package)?;
    let known: Vec<&str> = all.iter().take(NAMED).map(|row| row.version.as_str()).collect();
    let more = match all.len().saturating_sub(known.len()) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Ok(Error::NoVersionFits(match known.is_empty() {
        true => format!("no version of {name} fits {asked}: it has none that can be selected"),
        false => format!("no version of {name} fits {asked}: there are {}{more}", known.join(", ")),
    }))
}
