//! Channels: names of a package, such as `beta`, that each stand for one of its versions until somebody moves them.

use super::lookup;
use super::protections::{self, Action};
use crate::db::schema::{channels, owners, packages, versions};
use crate::domain::channel::ChannelName;
use crate::domain::clock::Timestamp;
use crate::domain::ids::PackageId;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::version::Version;
use crate::domain::version_state::VersionState;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanPublish, CanRead};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde_json::{Value, json};

/// The most channels of a package.
const MOST: i64 = 100;
/// How many channels an error names.
const NAMED: i64 = 20;

/// What a channel's version is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelState {
    /// It can be downloaded through the channel.
    Good,
    /// It no longer exists.
    Broken,
    /// It was yanked, so the channel does not lead to it.
    Yanked,
}

/// A channel.
#[derive(Debug, Clone)]
pub struct Channel {
    pub name: ChannelName,
    /// The version it stands for, which may be gone.
    pub version: Version,
    pub state: ChannelState,
    pub updated_at: Timestamp,
    /// Who moved it last, if the account still exists.
    pub updater: Option<OwnerName>,
    id: i64,
    revision: i64,
}

impl Channel {
    /// People who see only some packages of an owner must not learn who its members are.
    fn seen_by(self, right: &CanRead) -> Self {
        if right.owner().is_whole() { self } else { Self { updater: None, ..self } }
    }

    /// The entity tag of the channel, which changes with each of its changes. One that is deleted and made again gets
    /// another.
    pub fn etag(&self) -> String {
        format!("\"{}-{}\"", self.id, self.revision)
    }
}

type ChannelRow =
    (i64, ChannelName, Version, Timestamp, i64, Option<OwnerName>, Option<(VersionState, Option<Timestamp>)>);

fn channel((id, name, version, updated_at, revision, updater, now): ChannelRow) -> Channel {
    let state = match now {
        Some((VersionState::Draft, _)) => ChannelState::Broken,
        Some((_, Some(_))) => ChannelState::Yanked,
        Some((_, None)) => ChannelState::Good,
        None => ChannelState::Broken,
    };
    Channel { name, version, state, updated_at, updater, id, revision }
}

/// Channels of a package, with what their versions are now.
macro_rules! of_package {
    ($package:expr) => {
        channels::table
            .left_join(owners::table.on(channels::updater_id.eq(owners::id.nullable())))
            .left_join(versions::table.on(
                versions::package_id.eq(channels::package_id).and(versions::lower_version.eq(channels::lower_version)),
            ))
            .filter(channels::package_id.eq($package))
            .select((
                channels::id,
                channels::name,
                channels::version,
                channels::updated_at,
                channels::revision,
                owners::name.nullable(),
                (versions::state, versions::yanked_at).nullable(),
            ))
    };
}

fn one(conn: &mut PgConnection, package: PackageId, name: &ChannelName) -> Result<Option<Channel>> {
    let row = of_package!(package).filter(channels::lower_name.eq(name.lower()));
    let row: Option<ChannelRow> = row.first(conn).optional()?;
    Ok(row.map(channel))
}

/// The channels of a package, by name.
///
/// # Errors
/// [`Error::NotFound`] for an unknown package.
pub fn list(conn: &mut PgConnection, right: &CanRead, package: &PackageName) -> Result<Vec<Channel>> {
    let (id, _) = lookup::shown_package(conn, right, package)?;
    let rows: Vec<ChannelRow> = of_package!(id).order(channels::lower_name).load(conn)?;
    Ok(rows.into_iter().map(channel).map(|channel| channel.seen_by(right)).collect())
}

/// One channel.
///
/// # Errors
/// [`Error::NotFound`].
pub fn find(conn: &mut PgConnection, right: &CanRead, package: &PackageName, name: &ChannelName) -> Result<Channel> {
    let (id, _) = lookup::shown_package(conn, right, package)?;
    Ok(one(conn, id, name)?.ok_or(Error::NotFound(What::Channel))?.seen_by(right))
}

/// The version that a channel stands for, to download it.
///
/// # Errors
/// [`Error::NoVersionFits`] for an unknown channel, a broken one, and one whose version was yanked.
pub(super) fn version_of(
    conn: &mut PgConnection,
    package: PackageId,
    package_name: &PackageName,
    name: &ChannelName,
) -> Result<Version> {
    let Some(channel) = one(conn, package, name)? else {
        let known: Vec<String> = channels::table
            .filter(channels::package_id.eq(package))
            .order(channels::lower_name)
            .limit(NAMED)
            .select(channels::name)
            .load(conn)?;
        let known = match known.is_empty() {
            true => "it has none".to_owned(),
            false => format!("there are {}", known.join(", ")),
        };
        return Err(Error::NoVersionFits(format!("{package_name} has no channel {name}: {known}")));
    };
    let Channel { name, version, .. } = &channel;
    match channel.state {
        ChannelState::Good => Ok(version.clone()),
        ChannelState::Broken => Err(Error::NoVersionFits(format!(
            "the channel {name} of {package_name} is broken: its version {version} no longer exists"
        ))),
        ChannelState::Yanked => Err(Error::NoVersionFits(format!(
            "the channel {name} of {package_name} leads nowhere: its version {version} was yanked"
        ))),
    }
}

/// Locks a package against others who change its channels or delete it, but not against publishers.
fn lock(conn: &mut PgConnection, right: &CanPublish, name: &PackageName) -> Result<(PackageId, PackageName)> {
    packages::table
        .filter(lookup::package_is(right.owner().id, name))
        .select((packages::id, packages::name))
        .for_no_key_update()
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::Package))
}

const CHANGED: Error = Error::PreconditionFailed("the channel does not match If-Match or If-None-Match");

/// Makes a channel stand for a version, and creates it if it does not exist; true when it was created. `allows` judges
/// the request's conditions by the entity tag of the channel, which is locked by then.
///
/// # Errors
/// [`Error::NotFound`] for an unknown package, version or draft; [`Error::PreconditionFailed`]; [`Error::Clash`] for a
/// version that was yanked, and for one channel too many; [`Error::Forbidden`] when a protection rule forbids it.
pub fn set(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    (package, name, version): (&PackageName, &ChannelName, &Version),
    allows: impl Fn(Option<&str>) -> bool,
    now: Timestamp,
) -> Result<(Channel, bool)> {
    let (id, package) = lock(conn, right, package)?;
    let before = one(conn, id, name)?;
    if !allows(before.as_ref().map(Channel::etag).as_deref()) {
        return Err(CHANGED);
    }
    let found: Option<(Version, Option<Timestamp>)> = versions::table
        .filter(versions::package_id.eq(id))
        .filter(versions::lower_version.eq(version.lower()))
        .filter(versions::state.ne(VersionState::Draft))
        .select((versions::version, versions::yanked_at))
        .first(conn)
        .optional()?;
    let (version, yanked_at) = found.ok_or(Error::NotFound(What::Version))?;
    if let Some(before) = before.as_ref().filter(|before| before.version == version) {
        let updater = before.updater.clone().filter(|_| right.owner().is_whole());
        return Ok((Channel { updater, ..before.clone() }, false));
    }
    // A channel is what people are told to use, so moving it changes both versions.
    for changed in before.iter().map(|before| &before.version).chain([&version]) {
        protections::check(conn, right, Action::Publish, changed)?;
    }
    if yanked_at.is_some() {
        return Err(Error::Clash(format!("{version} was yanked, so no channel can stand for it")));
    }
    let values = (
        channels::version.eq(&version),
        channels::lower_version.eq(version.lower()),
        channels::updater_id.eq(right.user().id),
        channels::updated_at.eq(now),
    );
    match &before {
        Some(before) => {
            let row = channels::table.find(before.id);
            let next = channels::revision.eq(sql::<BigInt>("channels.revision + 1"));
            diesel::update(row).set((values, next)).execute(conn)?;
        }
        None => {
            let all: i64 = channels::table.filter(channels::package_id.eq(id)).count().get_result(conn)?;
            if all >= MOST {
                return Err(Error::Clash(format!(
                    "{package} has {all} channels, which is the limit: delete one first"
                )));
            }
            let names = (channels::package_id.eq(id), channels::name.eq(name), channels::lower_name.eq(name.lower()));
            diesel::insert_into(channels::table).values((names, values)).execute(conn)?;
        }
    }
    let channel = one(conn, id, name)?.ok_or(Error::NotFound(What::Channel))?;
    let from = before.as_ref().map(|before| before.version.as_str());
    let detail = json!({"from": from, "to": version});
    record(conn, caller, (Event::ChannelSet, right), (&package, &channel.name), detail, now)?;
    Ok((channel, before.is_none()))
}

/// Deletes a channel; `allows` as for [`set`].
///
/// # Errors
/// [`Error::NotFound`]; [`Error::PreconditionFailed`]; [`Error::Forbidden`] when a protection rule forbids it.
pub fn delete(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    (package, name): (&PackageName, &ChannelName),
    allows: impl Fn(Option<&str>) -> bool,
    now: Timestamp,
) -> Result<()> {
    let (id, package) = lock(conn, right, package)?;
    let before = one(conn, id, name)?;
    if !allows(before.as_ref().map(Channel::etag).as_deref()) {
        return Err(CHANGED);
    }
    let before = before.ok_or(Error::NotFound(What::Channel))?;
    protections::check(conn, right, Action::Publish, &before.version)?;
    diesel::delete(channels::table.find(before.id)).execute(conn)?;
    let detail = json!({"from": before.version, "to": null});
    record(conn, caller, (Event::ChannelDelete, right), (&package, &before.name), detail, now)
}

fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    (event, right): (Event, &CanPublish),
    (package, name): (&PackageName, &ChannelName),
    detail: Value,
    now: Timestamp,
) -> Result<()> {
    let owner = right.owner();
    let subject = Subject { owner: Some((owner.id, &owner.name)), text: format!("{package}@{name}"), detail };
    audit::record(conn, caller, event, &subject, now)
}
