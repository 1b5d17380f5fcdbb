//! Creating, changing and deleting trusted publishers.

use super::publisher::{Publisher, PublisherRow, find};
use crate::db::schema::{owners, publishers, tokens, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::{OwnerName, RobotName};
use crate::domain::publisher::{Condition, IssuerUrl, Provider, Trust};
use crate::domain::role::{OwnerKind, PackagePattern, Visibility};
use crate::error::{Error, Result, What};
use crate::registry::access::CanShare;
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::owners::namespace::{self, NewOwner};
use diesel::prelude::*;
use serde_json::{Value, json};

/// The most publishers of an owner.
const MOST: i64 = 100;

/// The properties of a publisher to create.
#[derive(Debug, Clone)]
pub struct NewPublisher {
    pub name: RobotName,
    pub packages: PackagePattern,
    pub trust: Trust,
}

/// Changes to a publisher. A field that is `None` keeps its value.
#[derive(Debug, Clone, Default)]
pub struct PublisherEdit {
    pub name: Option<RobotName>,
    pub packages: Option<PackagePattern>,
    pub provider: Option<Provider>,
    pub issuer: Option<IssuerUrl>,
    pub conditions: Option<Vec<Condition>>,
    /// `Some(None)` for any environment or none.
    pub environment: Option<Option<String>>,
}

impl From<NewPublisher> for PublisherEdit {
    /// Sets every property.
    fn from(new: NewPublisher) -> Self {
        let Trust { provider, issuer, conditions, environment } = new.trust;
        Self {
            name: Some(new.name),
            packages: Some(new.packages),
            provider: Some(provider),
            issuer: Some(issuer),
            conditions: Some(conditions),
            environment: Some(environment),
        }
    }
}

impl PublisherEdit {
    /// The properties after the change.
    fn of(&self, publisher: &Publisher) -> NewPublisher {
        let Publisher { name, packages, trust, .. } = publisher.clone();
        NewPublisher {
            name: self.name.clone().unwrap_or(name),
            packages: self.packages.clone().unwrap_or(packages),
            trust: Trust {
                provider: self.provider.unwrap_or(trust.provider),
                issuer: self.issuer.clone().unwrap_or(trust.issuer),
                conditions: self.conditions.clone().unwrap_or(trust.conditions),
                environment: self.environment.clone().unwrap_or(trust.environment),
            },
        }
    }
}

fn check(trust: &Trust) -> Result<()> {
    trust.check().map_err(|(field, problem)| Error::invalid(field, format!("{field}: {problem}")))
}

/// Creates a publisher. It is as good as a token, so no token can do this.
///
/// # Errors
/// As [`Caller::demand_password`]; [`Error::Invalid`] for conditions that nobody or everybody fulfills;
/// [`Error::Conflict`] when the owner has a publisher or a robot of this name; [`Error::Blocked`] when it has the maximum
/// number of publishers.
pub fn create(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanShare,
    new: &NewPublisher,
    now: Timestamp,
) -> Result<Publisher> {
    caller.demand_password()?;
    check(&new.trust)?;
    let owner = right.owner().id;
    // Two requests for the last free place take turns, and nobody renames the owner in between.
    namespace::lock(conn, owner)?;
    let owner_name: OwnerName = owners::table.find(owner).select(owners::name).first(conn)?;
    let count: i64 = publishers::table.filter(publishers::owner_id.eq(owner)).count().get_result(conn)?;
    if count >= MOST {
        return Err(Error::Blocked(format!(
            "{owner_name} already has {MOST} publishers, which is the limit: delete one first"
        )));
    }
    let account = OwnerName::of_robot(&owner_name, &new.name);
    let row = NewOwner {
        kind: OwnerKind::User,
        name: &account,
        full_name: "",
        description: "",
        website: "",
        location: "",
        visibility: Visibility::Private,
    };
    let id = namespace::insert(conn, &row, now).map_err(|error| match error {
        Error::Conflict(_) => Error::Conflict(What::Publisher),
        other => other,
    })?;
    diesel::insert_into(users::table)
        .values((users::id.eq(id), users::email.eq(""), users::robot_of.eq(owner)))
        .execute(conn)?;
    let row: PublisherRow = diesel::insert_into(publishers::table)
        .values((
            publishers::id.eq(id),
            publishers::owner_id.eq(owner),
            publishers::provider.eq(new.trust.provider),
            publishers::issuer.eq(new.trust.issuer.as_str()),
            publishers::package_pattern.eq(new.packages.as_str()),
            publishers::conditions.eq(serde_json::to_value(&new.trust.conditions).map_err(Error::internal)?),
            publishers::environment.eq(&new.trust.environment),
            publishers::created_at.eq(now),
        ))
        .returning(PublisherRow::as_returning())
        .get_result(conn)?;
    let made = row.with_account(account)?;
    record(conn, caller, (Event::PublisherCreate, right), &made, properties(&made), now)?;
    Ok(made)
}

/// A publisher's properties, for the audit log.
fn properties(publisher: &Publisher) -> Value {
    let Trust { provider, issuer, conditions, environment } = &publisher.trust;
    json!({
        "id": publisher.id, "name": publisher.name, "packages": publisher.packages.as_str(), "provider": provider,
        "issuer": issuer.as_str(), "conditions": conditions, "environment": environment,
    })
}

fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    (event, right): (Event, &CanShare),
    publisher: &Publisher,
    detail: Value,
    now: Timestamp,
) -> Result<()> {
    let owner = right.owner();
    let subject = Subject { owner: Some((owner.id, &owner.name)), text: publisher.account.to_string(), detail };
    audit::record(conn, caller, event, &subject, now)
}

/// Changes a publisher. What was true of a job's token may be so no longer, so its tokens end at once, unless only the
/// name changes. A change that changes nothing has no effect.
///
/// # Errors
/// As [`create`]; [`Error::NotFound`].
pub fn update(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanShare,
    (id, edit): (OwnerId, &PublisherEdit),
    now: Timestamp,
) -> Result<Publisher> {
    caller.demand_password()?;
    // A job that gets a token at this moment has it before the tokens end below, or is judged by the new properties.
    let locked: Option<OwnerId> = publishers::table
        .find(id)
        .filter(publishers::owner_id.eq(right.owner().id))
        .select(publishers::id)
        .for_update()
        .first(conn)
        .optional()?;
    locked.ok_or(Error::NotFound(What::Publisher))?;
    let before = find(conn, right, id)?;
    let new = edit.of(&before);
    check(&new.trust)?;
    let is_renamed = new.name.as_str() != before.name.as_str();
    let is_changed = new.packages.as_str() != before.packages.as_str() || new.trust != before.trust;
    if is_renamed {
        // Nobody renames the owner in between.
        let owner = owners::table.find(right.owner().id).select(owners::name).for_key_share();
        let owner: OwnerName = owner.first(conn).optional()?.ok_or(Error::NotFound(What::Owner))?;
        namespace::set_name(conn, id, &OwnerName::of_robot(&owner, &new.name), What::Publisher)?;
    }
    if is_changed {
        let trust = &new.trust;
        diesel::update(publishers::table.find(id))
            .set((
                publishers::provider.eq(trust.provider),
                publishers::issuer.eq(trust.issuer.as_str()),
                publishers::package_pattern.eq(new.packages.as_str()),
                publishers::conditions.eq(serde_json::to_value(&trust.conditions).map_err(Error::internal)?),
                publishers::environment.eq(&trust.environment),
            ))
            .execute(conn)?;
        diesel::delete(tokens::table.filter(tokens::user_id.eq(id))).execute(conn)?;
    }
    let after = find(conn, right, id)?;
    if is_renamed || is_changed {
        let detail = json!({"before": properties(&before), "after": properties(&after)});
        record(conn, caller, (Event::PublisherUpdate, right), &after, detail, now)?;
    }
    Ok(after)
}

/// Deletes a publisher, whose tokens end at once. What it published stays, with the verified identities.
///
/// # Errors
/// [`Error::NotFound`].
pub fn delete(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanShare,
    id: OwnerId,
    now: Timestamp,
) -> Result<Publisher> {
    let publisher = find(conn, right, id)?;
    match diesel::delete(owners::table.find(id)).execute(conn)? {
        0 => Err(Error::NotFound(What::Publisher)),
        _ => {
            record(conn, caller, (Event::PublisherDelete, right), &publisher, properties(&publisher), now)?;
            Ok(publisher)
        }
    }
}
