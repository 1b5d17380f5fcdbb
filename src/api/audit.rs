//! The audit log: one page of it, or all of it as newline-delimited JSON.

use super::endpoint::{Answer, Chained, Pages, Query};
use super::fields::or_empty;
use crate::auth::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::names::OwnerName;
use crate::error::{Error, Result};
use crate::export::{self, Format, LINES, RecordBody};
use crate::http::accept::{JSON, preferred};
use crate::http::description::{Description, integer, text};
use crate::registry::access::can_audit;
use crate::registry::audit::log::{Filter, Log};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use std::fmt::Display;
use std::str::FromStr;
use utoipa::IntoParams;

/// The query of [`list`].
#[derive(Deserialize, IntoParams)]
pub struct AuditQuery {
    /// Changes made by this user, including those under an earlier name.
    #[serde(default)]
    #[param(schema_with = or_empty::<OwnerName>)]
    actor: String,
    /// Changes to things of this user or organization.
    #[serde(default)]
    #[param(schema_with = or_empty::<OwnerName>)]
    owner: String,
    /// One event, such as `user.create`, or all events of a group: `user`.
    #[serde(default)]
    #[param(pattern = "^([a-z_]+([.][a-z_]+)*[.]?)?$", max_length = 100)]
    event: String,
    /// From this moment on (RFC 3339).
    #[serde(default)]
    #[param(schema_with = or_empty::<Timestamp>)]
    since: String,
    /// Up to this moment, exclusive (RFC 3339).
    #[serde(default)]
    #[param(schema_with = or_empty::<Timestamp>)]
    before: String,
    /// The record to continue from; it takes precedence over `page`. A page returns records older than the one with
    /// this id, `ndjson` returns newer ones.
    #[serde(default)]
    #[param(schema_with = or_empty::<i64>)]
    after: String,
    /// `json` (the default) or `ndjson`, which equals `Accept: application/x-ndjson`: every record, the oldest first,
    /// one per line.
    #[serde(default)]
    #[param(pattern = "^(json|ndjson)?$")]
    format: String,
}

/// A parameter that may be missing or empty.
fn given<T: FromStr<Err: Display>>(field: &'static str, text: &str) -> Result<Option<T>> {
    let wrong = |error: T::Err| Error::invalid(field, format!("{field}: {error}"));
    (!text.is_empty()).then(|| text.parse().map_err(wrong)).transpose()
}

/// The name of a user, an organization or a robot.
fn account(field: &'static str, text: &str) -> Result<Option<OwnerName>> {
    let wrong = |error| Error::invalid(field, format!("{field}: {error}"));
    (!text.is_empty()).then(|| OwnerName::of_account(text).map_err(wrong)).transpose()
}

fn moment(field: &'static str, text: &str) -> Result<Option<Timestamp>> {
    let wrong =
        |_| Error::invalid(field, format!("{field}: use a time in RFC 3339 format, such as 2026-01-02T03:04:05Z"));
    (!text.is_empty()).then(|| Timestamp::try_from(text.to_owned()).map_err(wrong)).transpose()
}

/// The parsed query.
struct AskedRecords {
    filter: Filter,
    after: Option<i64>,
    lines: bool,
}

impl AuditQuery {
    fn read(&self, req: &HttpRequest) -> Result<AskedRecords> {
        let lines = match &*self.format {
            "" => preferred(req.headers(), JSON, &[LINES]) == LINES,
            "json" => false,
            "ndjson" => true,
            _ => return Err(Error::invalid("format", "format: json or ndjson")),
        };
        let filter = Filter {
            actor: account("actor", &self.actor)?,
            owner: account("owner", &self.owner)?,
            event: (!self.event.is_empty()).then(|| self.event.parse()).transpose()?,
            since: moment("since", &self.since)?,
            before: moment("before", &self.before)?,
        };
        Ok(AskedRecords { filter, after: given("after", &self.after)?, lines })
    }
}

/// A page of records, or a stream of all records.
pub enum Records {
    Page(Chained<RecordBody>),
    Lines(HttpResponse),
}

impl Answer for Records {
    fn respond(self) -> HttpResponse {
        match self {
            Self::Page(page) => page.respond(),
            Self::Lines(response) => response,
        }
    }

    fn describe(description: &mut Description) {
        Chained::<RecordBody>::describe(description);
        description.or(LINES, text());
        let about = "The length of the whole list, up to 1,000. Not in `ndjson` answers.";
        description.may_have("X-Total-Count", about, integer(0));
    }
}

/// `GET /admin/audit`.
pub async fn list(call: Call, query: Query<AuditQuery>, pages: Pages) -> Result<Records> {
    let asked = query.read().and_then(|wanted| wanted.read(&call.req));
    // A caller without the right gets that error first, whatever the query is.
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => {
            call.admit(move |_, caller| can_audit(caller).and(Err(error.again()))).await?;
            return Err(Error::invalid("query", "the query is invalid"));
        }
    };
    if asked.lines {
        return export::records(call, asked.filter, asked.after, Format::Lines).await.map(Records::Lines);
    }
    let slice = pages.slice();
    let (page, more) = call
        .reading(move |conn, caller| {
            let right = can_audit(caller)?;
            Log::open(conn, &right, &asked.filter)?.page(conn, asked.after, slice)
        })
        .await?;
    let next = page.items.last().filter(|_| more).map(|record| record.id.to_string());
    Ok(Records::Page(pages.chain(page.items, page.total, next, RecordBody::new)))
}
