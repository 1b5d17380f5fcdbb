//! A trusted publisher, and an owner's list of them.

use crate::db::schema::{owners, publishers};
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::{OwnerName, RobotName};
use crate::domain::publisher::{Condition, Provider, Trust};
use crate::domain::role::PackagePattern;
use crate::error::{Error, Result, What};
use crate::registry::access::CanShare;
use crate::registry::pages::{Page, Slice};
use diesel::prelude::*;
use serde_json::Value;

/// A trusted publisher.
#[derive(Debug, Clone)]
pub struct Publisher {
    pub id: OwnerId,
    /// The name of its account: `owner/publisher`.
    pub account: OwnerName,
    /// The name within the owner.
    pub name: RobotName,
    pub packages: PackagePattern,
    pub trust: Trust,
    pub created_at: Timestamp,
    /// When it last got a token.
    pub last_used_at: Option<Timestamp>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = publishers)]
pub(super) struct PublisherRow {
    pub(super) id: OwnerId,
    pub(super) owner_id: OwnerId,
    provider: Provider,
    issuer: String,
    package_pattern: String,
    conditions: Value,
    environment: Option<String>,
    created_at: Timestamp,
    last_used_at: Option<Timestamp>,
}

impl PublisherRow {
    pub(super) fn trust(&self) -> Result<Trust> {
        Ok(Trust {
            provider: self.provider,
            issuer: self.issuer.parse().map_err(Error::internal)?,
            conditions: serde_json::from_value::<Vec<Condition>>(self.conditions.clone()).map_err(Error::internal)?,
            environment: self.environment.clone(),
        })
    }

    pub(super) fn packages(&self) -> Result<PackagePattern> {
        self.package_pattern.parse().map_err(Error::internal)
    }

    pub(super) fn with_account(self, account: OwnerName) -> Result<Publisher> {
        let (_, name) = account.as_robot().ok_or(Error::NotFound(What::Publisher))?;
        let (trust, packages) = (self.trust()?, self.packages()?);
        let Self { id, created_at, last_used_at, .. } = self;
        Ok(Publisher { id, account, name, packages, trust, created_at, last_used_at })
    }
}

/// An owner's publishers, by name.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, right: &CanShare, slice: Slice) -> Result<Page<Publisher>> {
    let own = publishers::table.filter(publishers::owner_id.eq(right.owner().id));
    let total = own.count().get_result(conn)?;
    let rows: Vec<(PublisherRow, OwnerName)> = own
        .inner_join(owners::table.on(owners::id.eq(publishers::id)))
        .order(owners::lower_name)
        .offset(slice.offset)
        .limit(slice.limit)
        .select((PublisherRow::as_select(), owners::name))
        .load(conn)?;
    let items = rows.into_iter().map(|(row, account)| row.with_account(account)).collect::<Result<_>>()?;
    Ok(Page { items, total })
}

/// A publisher of an owner.
///
/// # Errors
/// [`Error::NotFound`].
pub fn find(conn: &mut PgConnection, right: &CanShare, id: OwnerId) -> Result<Publisher> {
    let row: Option<(PublisherRow, OwnerName)> = publishers::table
        .find(id)
        .filter(publishers::owner_id.eq(right.owner().id))
        .inner_join(owners::table.on(owners::id.eq(publishers::id)))
        .select((PublisherRow::as_select(), owners::name))
        .first(conn)
        .optional()?;
    let (row, account) = row.ok_or(Error::NotFound(What::Publisher))?;
    row.with_account(account)
}
