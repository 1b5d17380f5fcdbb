//! The record of changes: a page of it, or all of it as lines of JSON.

use super::endpoint::{Answer, Chained, Pages, Query};
use super::fields::or_empty;
use crate::auth::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TokenId};
use crate::domain::names::OwnerName;
use crate::error::{Error, Result};
use crate::http::description::{Description, integer, text};
use crate::registry::access::can_audit;
use crate::registry::audit::log::{self, Filter, Log, Record};
use actix_web::http::{Method, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::Display;
use std::str::FromStr;
use utoipa::{IntoParams, ToSchema};

/// How many records of an export are read and sent at a time.
const BATCH: i64 = 500;
/// The media type of lines of JSON.
const LINES: &str = "application/x-ndjson";

/// An account, as it was called when the record was written.
#[derive(Debug, Serialize, ToSchema)]
pub struct Named {
    /// Null for what has no account, such as the command line.
    id: Option<OwnerId>,
    name: String,
}

/// A record of a change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditRecord)]
pub struct RecordBody {
    id: i64,
    at: Timestamp,
    /// Who did it.
    actor: Named,
    /// token, password, session, command-line or system.
    credential: String,
    token_id: Option<TokenId>,
    /// Where the request came from.
    address: Option<String>,
    event: String,
    /// Whose the thing was.
    owner: Option<Named>,
    /// On what, in the words people use for it.
    subject: String,
    /// What more there is to say of this event.
    detail: Value,
}

impl RecordBody {
    fn new(record: Record) -> Self {
        let known = |id: Option<OwnerId>| id.filter(|id| id.0 > 0);
        Self {
            id: record.id,
            at: record.at,
            actor: Named { id: known(record.actor_id), name: record.actor_name },
            credential: record.credential,
            token_id: record.token_id,
            address: record.address,
            event: record.event,
            owner: record.owner_name.map(|name| Named { id: known(record.owner_id), name }),
            subject: record.subject,
            detail: record.detail,
        }
    }

    fn line(record: Record) -> Result<Vec<u8>> {
        let mut line = serde_json::to_vec(&Self::new(record)).map_err(Error::internal)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// The query of [`list`].
#[derive(Deserialize, IntoParams)]
pub struct Wanted {
    /// What this user did, also under an earlier name.
    #[serde(default)]
    #[param(schema_with = or_empty::<OwnerName>)]
    actor: String,
    /// What was done to things of this user or organization.
    #[serde(default)]
    #[param(schema_with = or_empty::<OwnerName>)]
    owner: String,
    /// One event, such as `user.create`, or all that begin alike: `user.`.
    #[serde(default)]
    #[param(pattern = "^([a-z_]+([.][a-z_]+)*[.]?)?$", max_length = 100)]
    event: String,
    /// From this moment on (RFC 3339).
    #[serde(default)]
    #[param(schema_with = or_empty::<Timestamp>)]
    since: String,
    /// Up to this moment, itself excluded (RFC 3339).
    #[serde(default)]
    #[param(schema_with = or_empty::<Timestamp>)]
    before: String,
    /// Where to go on, before `page`: a page has records older than the one with this id, lines have newer ones.
    #[serde(default)]
    #[param(schema_with = or_empty::<i64>)]
    after: String,
    /// `json` (without it), or `ndjson`, as `Accept: application/x-ndjson`: every record, the oldest first, a line each.
    #[serde(default)]
    #[param(pattern = "^(json|ndjson)?$")]
    format: String,
}

/// A parameter that may be missing or empty.
fn given<T: FromStr<Err: Display>>(field: &'static str, text: &str) -> Result<Option<T>> {
    let wrong = |error: T::Err| Error::invalid(field, format!("{field}: {error}"));
    (!text.is_empty()).then(|| text.parse().map_err(wrong)).transpose()
}

fn moment(field: &'static str, text: &str) -> Result<Option<Timestamp>> {
    let wrong =
        |_| Error::invalid(field, format!("{field}: a moment as RFC 3339 has it, such as 2026-01-02T03:04:05Z"));
    (!text.is_empty()).then(|| Timestamp::try_from(text.to_owned()).map_err(wrong)).transpose()
}

/// What is asked for.
struct Asked {
    filter: Filter,
    after: Option<i64>,
    lines: bool,
}

impl Wanted {
    fn read(&self, req: &HttpRequest) -> Result<Asked> {
        let lines = match &*self.format {
            "" => accepts_lines(req),
            "json" => false,
            "ndjson" => true,
            _ => return Err(Error::invalid("format", "format: json or ndjson")),
        };
        let filter = Filter {
            actor: given::<OwnerName>("actor", &self.actor)?,
            owner: given::<OwnerName>("owner", &self.owner)?,
            event: (!self.event.is_empty()).then(|| self.event.parse()).transpose()?,
            since: moment("since", &self.since)?,
            before: moment("before", &self.before)?,
        };
        Ok(Asked { filter, after: given("after", &self.after)?, lines })
    }
}

fn accepts_lines(req: &HttpRequest) -> bool {
    let values = req.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    let mut types = values.flat_map(|value| value.split(',')).filter_map(|one| one.split(';').next());
    types.any(|one| one.trim().eq_ignore_ascii_case(LINES))
}

/// A page of the record, or the whole of it as it is read.
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
        let about = "How many records the whole list has, up to 1,000; lines come without it.";
        description.may_have("X-Total-Count", about, integer(0));
    }
}

/// `GET /admin/audit`.
pub async fn list(call: Call, query: Query<Wanted>, pages: Pages) -> Result<Records> {
    let asked = query.read().and_then(|wanted| wanted.read(&call.req));
    // A caller without the right is told so, whatever he asked for.
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => {
            call.admit(move |_, caller| can_audit(caller).and(Err(error.again()))).await?;
            return Err(Error::invalid("query", "the query does not fit"));
        }
    };
    if asked.lines {
        return export(call, asked).await.map(Records::Lines);
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

/// Where an export stands.
struct Export {
    call: Call,
    filter: Filter,
    behind: i64,
    last: i64,
}

impl Export {
    /// The next lines; none at the end. Each batch asks again whether the caller may: a right that he loses ends his
    /// export.
    async fn batch(&mut self) -> Result<Option<Bytes>> {
        let (filter, behind, last) = (self.filter.clone(), self.behind, self.last);
        let records = self
            .call
            .reading(move |conn, caller| {
                let right = can_audit(caller)?;
                Log::open(conn, &right, &filter)?.batch(conn, behind, last, BATCH)
            })
            .await?;
        let Some(newest) = records.last() else { return Ok(None) };
        self.behind = newest.id;
        let lines = records.into_iter().map(RecordBody::line).collect::<Result<Vec<_>>>()?;
        Ok(Some(lines.concat().into()))
    }
}

/// All records that are there now, the oldest first; only a batch of them is ever held. What goes wrong on the way cuts
/// the connection, so that a part is never taken for the whole.
async fn export(call: Call, asked: Asked) -> Result<HttpResponse> {
    let last = call.reading(|conn, caller| can_audit(caller).and_then(|_| log::newest(conn))).await?;
    let head_only = call.req.method() == Method::HEAD;
    let export = Export { call, filter: asked.filter, behind: asked.after.unwrap_or(0), last };
    let lines = stream::try_unfold(export, async |mut export| match export.batch().await {
        Ok(lines) => Ok(lines.map(|lines| (lines, export))),
        Err(error) => {
            tracing::warn!(error = %error.explained(), "an export of the audit records ends before its end");
            Err(actix_web::error::ErrorInternalServerError("the export was cut"))
        }
    });
    let mut response = HttpResponse::Ok();
    response.content_type(LINES).insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(if head_only { response.finish() } else { response.streaming(lines) })
}
