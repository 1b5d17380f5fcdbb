//! The audit log: filtered, page by page, or exported as JSON lines or CSV.

use crate::auth::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::names::OwnerName;
use crate::domain::path::escape;
use crate::error::{Error, Result};
use crate::export::{self, Format};
use crate::registry::access::can_audit;
use crate::registry::audit::log::{self, COUNTED, Events, Filter, Log, Record};
use crate::registry::audit::sets::EventSet;
use crate::registry::pages::{Page, Slice};
use crate::web::format::{Count, When};
use crate::web::list::{Chain, Choice, choices, query};
use crate::web::page::{Frame, Reply, frame};
use crate::web::problems::Problems;
use actix_web::http::header::{self, HeaderValue};
use askama::Template;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// The number of rows on a page.
const ROWS: i64 = 40;

/// The query: the filter of the records.
#[derive(Debug, Clone, Deserialize, Default)]
pub struct AuditPageQuery {
    #[serde(default)]
    actor: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    event: String,
    /// A day or a time.
    #[serde(default)]
    since: String,
    /// A day (inclusive) or a time.
    #[serde(default)]
    until: String,
    /// Only records older than the one with this id.
    #[serde(default)]
    after: String,
    /// The format of an export: `csv`, or else JSON lines.
    #[serde(default)]
    format: String,
}

/// The sets of events in words, the first for all events.
const SETS: [(&str, &str); 4] =
    [("", "Everything"), ("deletions", "Deletions"), ("rights", "Rights"), ("sign-ins", "Sign-ins")];

/// An event, a group of events, or one of the sets.
fn events_of(text: &str) -> Result<Events> {
    EventSet::of(text).map_or_else(|| text.parse(), |set| Ok(Events::Of(set)))
}

/// Parses a day, as date fields send it, or a time.
fn moment(text: &str, whole_day: bool) -> Result<Option<Timestamp>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let midnight = Timestamp::try_from(format!("{text}T00:00:00Z")).ok();
    let day = midnight.map(|at| if whole_day { at.plus(DAY) } else { at });
    let found = day.or_else(|| Timestamp::try_from(text.to_owned()).ok());
    found.map(Some).ok_or("enter a date such as 2026-01-31")
}

impl AuditPageQuery {
    fn filter(&self) -> Result<Filter, Problems> {
        let mut problems = Problems::default();
        let name = |text: &str| (!text.is_empty()).then(|| OwnerName::of_account(text)).transpose();
        let actor = problems.take("actor", name(self.actor.trim()));
        let owner = problems.take("owner", name(self.owner.trim()));
        let event = self.event.trim();
        let event = problems.take("event", (!event.is_empty()).then(|| events_of(event)).transpose());
        let since = problems.take("since", moment(self.since.trim(), false));
        let before = problems.take("until", moment(self.until.trim(), true));
        match (actor, owner, event, since, before) {
            (Some(actor), Some(owner), Some(event), Some(since), Some(before)) => {
                Ok(Filter { actor, owner, event, since, before })
            }
            _ => Err(problems),
        }
    }

    /// The filter as a query.
    fn as_query(&self) -> String {
        let all = [
            ("actor", &self.actor),
            ("owner", &self.owner),
            ("event", &self.event),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let given = all.into_iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| format!("{name}={}", escape(value))).collect::<Vec<_>>().join("&")
    }
}

/// A row in the list of records.
struct RecordRow {
    record: Record,
    when: When,
    /// The details, a line each, if there are any.
    detail: Option<String>,
}

/// A word of the log as the page shows it.
fn spelled(word: &str) -> &str {
    if word == "command-line" { "command line" } else { word }
}

impl RecordRow {
    fn actor(&self) -> &str {
        spelled(&self.record.actor_name)
    }

    /// Who created the token of a robot: the robot itself is no person.
    fn token_creator(&self) -> Option<&str> {
        self.record.token_creator.as_deref().filter(|_| self.record.actor_name.contains('/')).map(spelled)
    }

    fn access_method(&self) -> &str {
        spelled(&self.record.credential)
    }
}

#[derive(Template)]
#[template(path = "admin_audit.html")]
struct AuditPage {
    frame: Frame,
    asked: AuditPageQuery,
    problems: Problems,
    events: Vec<EventGroup>,
    /// A typed event that was never recorded.
    unknown: Option<String>,
    records: Vec<RecordRow>,
    /// The number of records; a lower bound if there are more than are counted.
    total: String,
    chain: Chain,
    /// Links to the sets of events.
    sets: Vec<Choice>,
    /// The addresses of the exports.
    export: String,
    export_csv: String,
}

/// The recorded events whose names begin with the same word.
struct EventGroup {
    word: String,
    events: Vec<String>,
}

/// Groups events, which are in the order of their names.
fn grouped(events: Vec<String>) -> Vec<EventGroup> {
    let mut groups: Vec<EventGroup> = Vec::new();
    for event in events {
        let word = event.split('.').next().unwrap_or_default().to_owned();
        match groups.last_mut().filter(|group| group.word == word) {
            Some(group) => group.events.push(event),
            None => groups.push(EventGroup { word, events: vec![event] }),
        }
    }
    groups
}

impl EventGroup {
    fn has(&self, name: &str) -> bool {
        self.word == name || self.events.iter().any(|event| event == name || event.starts_with(&format!("{name}.")))
    }
}

impl AuditPage {
    /// Whether this event or group is the chosen one; a group may be typed with its dot.
    fn is_chosen(&self, name: &str) -> bool {
        self.asked.event.trim().trim_end_matches('.') == name
    }
}

type FoundRecords = (Vec<String>, Page<Record>, bool);

/// `GET /-/admin/audit`.
pub async fn list(call: Call) -> Result<Reply> {
    let asked: AuditPageQuery = query(&call.req);
    let filter = asked.filter();
    let (wanted, after) = (filter.as_ref().ok().cloned(), asked.after.parse().ok());
    let (frame, (events, page, more)) = frame(&call, move |conn, caller| -> Result<FoundRecords> {
        let right = can_audit(caller)?;
        let events = log::events(conn)?;
        let Some(filter) = &wanted else { return Ok((events, Page { items: Vec::new(), total: 0 }, false)) };
        let (page, more) = Log::open(conn, &right, filter)?.page(conn, after, Slice { offset: 0, limit: ROWS })?;
        Ok((events, page, more))
    })
    .await?;
    let (now, query) = (call.app.clock.now(), asked.as_query());
    let last = page.items.last().filter(|_| more).map(|record| record.id);
    let join = if query.is_empty() { "" } else { "&" };
    let problems = filter.err().unwrap_or_default();
    let events = grouped(events);
    let event = asked.event.trim().trim_end_matches('.');
    let is_set = EventSet::of(event).is_some();
    let unknown =
        (!event.is_empty() && !is_set && !events.iter().any(|group| group.has(event))).then(|| event.to_owned());
    let page = AuditPage {
        frame,
        events,
        unknown,
        records: page.items.into_iter().map(|record| shown(record, now)).collect(),
        total: if page.total >= COUNTED {
            format!("{} or more records", Count(COUNTED))
        } else {
            Count(page.total).of("record")
        },
        chain: Chain {
            first: (!asked.after.is_empty()).then(|| format!("/-/admin/audit?{query}")),
            next: last.map(|id| format!("/-/admin/audit?{query}{join}after={id}")),
        },
        sets: sets(&call, is_set || event.is_empty()),
        export: format!("/-/admin/audit/export?{query}"),
        export_csv: format!("/-/admin/audit/export?{query}{join}format=csv"),
        asked,
        problems,
    };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// Links to the sets of events; none is chosen if the filter names an event.
fn sets(call: &Call, one_is_chosen: bool) -> Vec<Choice> {
    let all = choices(&call.req, "event", &SETS).into_iter();
    all.map(|choice| Choice { chosen: choice.chosen && one_is_chosen, ..choice }).collect()
}

fn shown(record: Record, now: Timestamp) -> RecordRow {
    let fields = record.detail.as_object().filter(|fields| !fields.is_empty());
    let detail = fields.map(|fields| {
        let lines = fields.iter().map(|(name, value)| match value {
            Value::String(text) => format!("{name}: {text}"),
            other => format!("{name}: {other}"),
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    RecordRow { when: When { at: record.at, now }, detail, record }
}

/// `GET /-/admin/audit/export`.
pub async fn export(call: Call) -> Result<Reply> {
    let asked: AuditPageQuery = query(&call.req);
    let filter =
        asked.filter().map_err(|_| Error::invalid("query", "the filter is invalid: go back and correct it"))?;
    let (format, name) = match asked.format.as_str() {
        "csv" => (Format::Csv, "attachment; filename=\"audit.csv\""),
        _ => (Format::Lines, "attachment; filename=\"audit.ndjson\""),
    };
    let mut response = export::records(call, filter, None, format).await?;
    let name = HeaderValue::from_static(name);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    Ok(Reply::raw(response))
}
