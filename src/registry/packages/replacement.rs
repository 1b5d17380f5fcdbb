//! Whether a file may have taken the place of another at its address within the second of its upload. The two then have
//! the same date, and a client that holds a part of the first would continue it with the second.

use crate::db::schema::{audit, files, owners, packages, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{FileId, OwnerId};
use crate::error::Result;
use crate::registry::audit::Event;
use diesel::prelude::*;
use serde_json::Value;
use std::time::Duration;

/// The length of an HTTP date, and how much the clocks of two servers may differ.
const CLOSE: Duration = Duration::from_secs(2);

/// Whether another file may have been at this file's address at about the time of its upload: the audit log knows what
/// was deleted or replaced. True for a file that no longer exists.
///
/// # Errors
/// Database errors.
pub fn is_possible(conn: &mut PgConnection, id: FileId) -> Result<bool> {
    type Place = (OwnerId, String, String, String, String, Timestamp);
    let place: Option<Place> = files::table
        .inner_join(versions::table.inner_join(packages::table.inner_join(owners::table)))
        .filter(files::id.eq(id))
        .select((
            owners::id,
            owners::lower_name,
            packages::lower_name,
            versions::lower_version,
            files::lower_name,
            files::created_at,
        ))
        .first(conn)
        .optional()?;
    let Some((id, owner, package, version, file, uploaded)) = place else { return Ok(true) };
    let changes = [
        Event::FileDelete,
        Event::VersionDelete,
        Event::PackageDelete,
        Event::UserDelete,
        Event::OrgDelete,
        Event::FilePublish,
    ];
    type Change = (Option<OwnerId>, Option<String>, String, String, Value);
    let changes: Vec<Change> = audit::table
        .filter(audit::at.between(uploaded.minus(CLOSE), uploaded.plus(CLOSE)))
        .filter(audit::event.eq_any(changes.map(Event::as_str)))
        .select((audit::owner_id, audit::owner_name, audit::subject, audit::event, audit::detail))
        .load(conn)?;
    let version = format!("{package}/{version}");
    let file = format!("{version}/{file}");
    let places = [&owner, &package, &version, &file];
    // The log has the spelling of the requests. The owner may have another name since, or be another one of this name.
    let is_here = |(of, name, subject, event, detail): Change| {
        let is_owner = of == Some(id) || name.is_some_and(|name| name.to_lowercase() == owner);
        let left = event != Event::FilePublish.as_str() || has_replaced(&detail, uploaded);
        is_owner && left && places.contains(&&subject.to_lowercase())
    };
    Ok(changes.into_iter().any(is_here))
}

/// Whether an upload took the place of a file from about this time.
fn has_replaced(detail: &Value, uploaded: Timestamp) -> bool {
    let Some(replaced) = detail.get("replaced") else { return false };
    let date = replaced.get("created_at").and_then(|date| serde_json::from_value::<Timestamp>(date.clone()).ok());
    date.is_none_or(|date| uploaded.minus(CLOSE) <= date && date <= uploaded.plus(CLOSE))
}
