//! Reading the audit log. Nothing is ever removed from it.

use super::super::access::CanAudit;
use super::super::pages::{Page, Slice};
use super::sets::EventSet;
use crate::db::schema::{audit, owners};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TokenId};
use crate::domain::names::OwnerName;
use crate::error::{Error, Result};
use diesel::dsl::sql;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Nullable, Text};
use serde_json::Value;
use std::str::FromStr;

/// How far records are counted: a total of this many means as many or more.
pub const COUNTED: i64 = 1000;

/// An audit record.
#[derive(Debug, Clone, Queryable)]
pub struct Record {
    pub id: i64,
    pub at: Timestamp,
    /// The user who made the change; `None` for an actor without an account, such as the command line.
    pub actor_id: Option<OwnerId>,
    /// The actor's name at that time.
    pub actor_name: String,
    /// One of token, password, session, command-line and system; none for someone who registers.
    pub credential: String,
    pub token_id: Option<TokenId>,
    pub address: Option<String>,
    pub event: String,
    /// The owner of the changed thing.
    pub owner_id: Option<OwnerId>,
    /// The owner's name at that time.
    pub owner_name: Option<String>,
    pub subject: String,
    pub detail: Value,
    /// The administrator who acted as the actor, if one did.
    pub administrator_id: Option<OwnerId>,
    /// That administrator's name at that time.
    pub administrator_name: Option<String>,
    /// Who made the token in use, if its user did not.
    pub token_creator: Option<String>,
}

/// The events of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Events {
    /// One event by its name, or all events of a group, with or without the dot (`user.`, `user`).
    Named(String),
    /// All events of a set.
    Of(EventSet),
}

impl FromStr for Events {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.strip_suffix('.').unwrap_or(text).split('.');
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if text.len() <= 100 && words.all(is_word) {
            return Ok(Self::Named(text.to_owned()));
        }
        Err(Error::invalid("event", "event: use an event such as user.create, or a group such as user"))
    }
}

/// A filter for records.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Records of this account, whatever its name was at the time, and of this administrator acting as others. For a
    /// name that no account has, the records with that name.
    pub actor: Option<OwnerName>,
    /// Records about this owner's things. Names work as for `actor`.
    pub owner: Option<OwnerName>,
    pub event: Option<Events>,
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// Up to this moment, exclusive.
    pub before: Option<Timestamp>,
}

type Condition = Box<dyn BoxableExpression<audit::table, Pg, SqlType = Nullable<Bool>>>;

/// A filter with its names looked up, which several statements can use.
pub struct Log {
    actor: Option<Account>,
    owner: Option<Account>,
    events: Option<Vec<String>>,
    since: Option<Timestamp>,
    before: Option<Timestamp>,
    only: Option<Vec<OwnerId>>,
}

/// See [`Log::parts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Own,
    AsOthers,
}

#[derive(Debug, Clone)]
enum Account {
    Id(OwnerId),
    /// In lower case; nobody has this name now.
    Name(String),
}

impl Account {
    fn find(conn: &mut PgConnection, name: Option<&OwnerName>) -> Result<Option<Self>> {
        let Some(name) = name else { return Ok(None) };
        let id = owners::table.filter(owners::lower_name.eq(name.lower())).select(owners::id).first(conn).optional()?;
        Ok(Some(id.map_or_else(|| Self::Name(name.lower()), Self::Id)))
    }
}

impl Log {
    /// Looks up the names in a filter.
    ///
    /// # Errors
    /// Database errors.
    pub fn open(conn: &mut PgConnection, right: &CanAudit, filter: &Filter) -> Result<Self> {
        Ok(Self {
            actor: Account::find(conn, filter.actor.as_ref())?,
            owner: Account::find(conn, filter.owner.as_ref())?,
            events: filter.event.as_ref().map(|events| named(conn, events)).transpose()?,
            since: filter.since,
            before: filter.before,
            only: right.owners().map(<[_]>::to_vec),
        })
    }

    /// The parts of the answer that are read one after another. The actor acted as themselves, or as an administrator
    /// in the name of others: each is a range of an index, and with both in one query Postgres would sort all records
    /// of the account.
    fn parts(&self) -> &'static [Part] {
        if matches!(self.actor, Some(Account::Id(_))) { &[Part::Own, Part::AsOthers] } else { &[Part::Own] }
    }

    fn conditions(&self, part: Part) -> Vec<Condition> {
        let mut all: Vec<Condition> = Vec::new();
        match &self.actor {
            Some(Account::Id(id)) if part == Part::AsOthers => {
                all.push(Box::new(audit::administrator_id.eq(*id).and(audit::actor_id.ne(*id))));
            }
            Some(Account::Id(id)) => all.push(Box::new(audit::actor_id.eq(*id))),
            Some(Account::Name(name)) => {
                let condition = sql::<Nullable<Bool>>("(lower(actor_name) = ").bind::<Text, _>(name.clone());
                let condition = condition.sql(" OR lower(administrator_name) = ").bind::<Text, _>(name.clone());
                all.push(Box::new(condition.sql(")")));
            }
            None => {}
        }
        match &self.owner {
            Some(Account::Id(id)) => all.push(Box::new(audit::owner_id.eq(*id))),
            Some(Account::Name(name)) => {
                all.push(Box::new(sql::<Nullable<Bool>>("lower(owner_name) = ").bind::<Text, _>(name.clone())));
            }
            None => {}
        }
        if let Some(events) = &self.events {
            // As SQL text, which Diesel does not keep prepared: Postgres then plans with the number of records for
            // these events.
            let events = sql::<Nullable<Bool>>("event = ANY (").bind::<Array<Text>, _>(events.clone());
            all.push(Box::new(events.sql(")")));
        }
        if let Some(since) = self.since {
            all.push(Box::new(audit::at.ge(since).nullable()));
        }
        if let Some(before) = self.before {
            all.push(Box::new(audit::at.lt(before).nullable()));
        }
        if let Some(only) = &self.only {
            all.push(Box::new(audit::owner_id.eq_any(only.clone())));
        }
        all
    }

    /// The ids of the matching records older than `after`, the newest first.
    fn ids(&self, conn: &mut PgConnection, after: Option<i64>, limit: i64) -> Result<Vec<i64>> {
        let mut all: Vec<i64> = Vec::new();
        for part in self.parts() {
            let mut query = audit::table.select(audit::id).order(audit::id.desc()).limit(limit).into_boxed();
            for condition in self.conditions(*part) {
                query = query.filter(condition);
            }
            if let Some(after) = after {
                query = query.filter(audit::id.lt(after));
            }
            all.extend(query.load::<i64>(conn)?);
        }
        all.sort_by_key(|id| std::cmp::Reverse(*id));
        all.truncate(usize::try_from(limit).unwrap_or_default());
        Ok(all)
    }

    /// A page of records, the newest first, and how many there are, up to [`COUNTED`]. The page begins right after the
    /// record `after`, or without one at the offset. The flag says whether there are more.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an offset beyond [`COUNTED`].
    pub fn page(&self, conn: &mut PgConnection, after: Option<i64>, slice: Slice) -> Result<(Page<Record>, bool)> {
        let Slice { offset, limit } = slice;
        let mut ids = self.ids(conn, None, COUNTED + limit + 1)?;
        let total = i64::try_from(ids.len()).unwrap_or(COUNTED).min(COUNTED);
        if after.is_some() {
            ids = self.ids(conn, after, limit + 1)?;
        } else if offset > COUNTED && total == COUNTED {
            let problem =
                format!("page: page numbers end after {COUNTED} records: follow the Link header of each page instead");
            return Err(Error::invalid("page", problem));
        } else {
            ids.drain(..usize::try_from(offset).unwrap_or(usize::MAX).min(ids.len()));
        }
        let length = usize::try_from(limit).unwrap_or(0);
        let more = ids.len() > length;
        ids.truncate(length);
        let items = audit::table.filter(audit::id.eq_any(ids)).order(audit::id.desc()).load(conn)?;
        Ok((Page { items, total }, more))
    }

    /// The oldest records after `behind`, up to and including `last`.
    ///
    /// # Errors
    /// Database errors.
    pub fn batch(&self, conn: &mut PgConnection, behind: i64, last: i64, limit: i64) -> Result<Vec<Record>> {
        let mut all: Vec<Record> = Vec::new();
        for part in self.parts() {
            let mut query = audit::table.order(audit::id.asc()).limit(limit).into_boxed();
            for condition in self.conditions(*part) {
                query = query.filter(condition);
            }
            all.extend(query.filter(audit::id.gt(behind)).filter(audit::id.le(last)).load::<Record>(conn)?);
        }
        all.sort_by_key(|record| record.id);
        all.truncate(usize::try_from(limit).unwrap_or_default());
        Ok(all)
    }
}

/// The id of the newest record; 0 when there is none.
///
/// # Errors
/// Database errors.
pub fn newest(conn: &mut PgConnection) -> Result<i64> {
    Ok(audit::table.select(audit::id).order(audit::id.desc()).first(conn).optional()?.unwrap_or(0))
}

/// The names of all events that were ever recorded. Each name costs one index look-up.
///
/// # Errors
/// Database errors.
pub fn events(conn: &mut PgConnection) -> Result<Vec<String>> {
    beginning(conn, "")
}

/// The names of these events: the event itself, and all recorded events of the group: each costs one index look-up,
/// however many records there are.
fn named(conn: &mut PgConnection, wanted: &Events) -> Result<Vec<String>> {
    let text = match wanted {
        Events::Named(text) => text,
        Events::Of(set) => return Ok(events(conn)?.into_iter().filter(|event| set.has(event)).collect()),
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let mut all = beginning(conn, &format!("{name}."))?;
    all.push(name.to_owned());
    Ok(all)
}

fn beginning(conn: &mut PgConnection, text: &str) -> Result<Vec<String>> {
    #[derive(QueryableByName)]
    struct EventRow {
        #[diesel(sql_type = Text)]
        event: String,
    }
    let rows: Vec<EventRow> = diesel::sql_query(
        "WITH RECURSIVE known AS (SELECT min(event) AS event FROM audit UNION ALL \
           SELECT (SELECT min(a.event) FROM audit a WHERE a.event > known.event) FROM known WHERE known.event IS NOT NULL) \
         SELECT event FROM known WHERE starts_with(event, $1)",
    )
    .bind::<Text, _>(text)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| row.event).collect())
}
