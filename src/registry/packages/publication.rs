//! Who published a version, and with which credential, as the audit log knows it.

use crate::domain::clock::Timestamp;
use crate::domain::path::VersionPath;
use crate::domain::role::Permission;
use crate::error::Result;
use crate::registry::access::CanRead;
use crate::registry::audit::Event;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz};

/// How a version was published.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Publication {
    /// The user's name at that time.
    #[diesel(sql_type = Text)]
    pub by: String,
    /// The kind of credential, as the audit log names it.
    #[diesel(sql_type = Text)]
    pub credential: String,
    /// The name of the token, for those who can publish.
    #[diesel(sql_type = Nullable<Text>)]
    pub token: Option<String>,
}

/// How a version was published at one of these times: when it was created, and when it stopped being a draft. `None` if the
/// log has no such record, or the caller may not know the owner's members.
///
/// # Errors
/// Database errors.
pub fn of(
    conn: &mut PgConnection,
    right: &CanRead,
    path: &VersionPath,
    times: &[Timestamp],
) -> Result<Option<Publication>> {
    if !right.owner().is_whole() {
        return Ok(None);
    }
    let version = format!("{}/{}", path.package.lower(), path.version.lower());
    // The time leads to a few records of the log, which has an index on it.
    let found: Option<Publication> = diesel::sql_query(
        "SELECT a.actor_name AS by, a.credential, t.name AS token FROM audit a LEFT JOIN tokens t ON t.id = a.token_id \
         WHERE a.at = ANY ($1) AND a.owner_id = $2 AND (a.event = $3 AND starts_with(lower(a.subject), $5 || '/') \
           OR a.event = $4 AND lower(a.subject) = $5) ORDER BY a.id DESC LIMIT 1",
    )
    .bind::<Array<Timestamptz>, _>(times)
    .bind::<BigInt, _>(right.owner().id)
    .bind::<Text, _>(Event::FilePublish.as_str())
    .bind::<Text, _>(Event::VersionPublish.as_str())
    .bind::<Text, _>(version)
    .get_result(conn)
    .optional()?;
    let is_publisher = right.permission() >= Some(Permission::Write);
    Ok(found.map(|found| Publication { token: found.token.filter(|_| is_publisher), ..found }))
}
