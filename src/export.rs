//! The whole audit log as newline-delimited JSON, for the API and the pages, or as CSV. Only one batch is in memory at a
//! time.

use crate::auth::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TokenId};
use crate::error::{Error, Result};
use crate::http::streamed::streamed;
use crate::registry::access::can_audit;
use crate::registry::audit::log::{self, Filter, Log, Record};
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Bytes;
use futures_util::stream;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// How many records are read and sent at a time.
const BATCH: i64 = 500;
/// The media type of newline-delimited JSON.
pub const LINES: &str = "application/x-ndjson";

/// An account, with its name at the time of the record.
#[derive(Debug, Serialize, ToSchema)]
pub struct Named {
    /// Null for an actor without an account, such as the command line.
    id: Option<OwnerId>,
    name: String,
}

/// An audit record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditRecord)]
pub struct RecordBody {
    id: i64,
    at: Timestamp,
    /// The user or robot who made the change.
    actor: Named,
    /// The administrator who acted as the user with `Sudo`; null if none did.
    administrator: Option<Named>,
    /// One of token, password, session, command-line and system; none for someone who registers.
    credential: String,
    token_id: Option<TokenId>,
    /// The creator of the token, if it was not its own user: a person, or `command-line`. Otherwise null.
    token_creator: Option<String>,
    /// The address the request came from.
    address: Option<String>,
    event: String,
    /// The owner of the changed thing.
    owner: Option<Named>,
    /// The changed thing, such as `tool/1.0/tool.zip`.
    subject: String,
    /// More details about this event.
    detail: Value,
}

impl RecordBody {
    /// A record as it is sent.
    pub fn new(record: Record) -> Self {
        let known = |id: Option<OwnerId>| id.filter(|id| id.0 > 0);
        Self {
            id: record.id,
            at: record.at,
            actor: Named { id: known(record.actor_id), name: record.actor_name },
            administrator: record.administrator_name.map(|name| Named { id: known(record.administrator_id), name }),
            credential: record.credential,
            token_id: record.token_id,
            token_creator: record.token_creator,
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

    /// The record as a row of [`COLUMNS`].
    fn row(record: Record) -> Vec<u8> {
        let token = record.token_id.map(|id| id.to_string()).unwrap_or_default();
        let fields = [
            record.id.to_string(),
            record.at.to_string(),
            record.event,
            record.actor_name,
            record.administrator_name.unwrap_or_default(),
            record.credential,
            token,
            record.token_creator.unwrap_or_default(),
            record.address.unwrap_or_default(),
            record.owner_name.unwrap_or_default(),
            record.subject,
            record.detail.to_string(),
        ];
        let fields: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
        format!("{}\r\n", fields.join(",")).into_bytes()
    }
}

/// The first line of an export as CSV.
const COLUMNS: &str =
    "id,at,event,actor,administrator,credential,token_id,token_creator,address,owner,subject,detail\r\n";

/// A field of CSV (RFC 4180). Spreadsheets would run a text that begins like a formula, and users choose the names of
/// their files, so such a text gets an apostrophe in front.
fn quoted(field: &str) -> String {
    let guard = if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !field.contains([',', '"', '\n', '\r']) {
        return field.to_owned();
    }
    format!("\"{guard}{}\"", field.replace('"', "\"\""))
}

/// The format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    Lines,
    /// Comma-separated values with a line of column names.
    Csv,
}

impl Format {
    fn media_type(self) -> &'static str {
        match self {
            Self::Lines => LINES,
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
}

/// The position of an export.
struct Export {
    call: Call,
    filter: Filter,
    format: Format,
    /// What comes before the first record.
    head: Option<&'static str>,
    behind: i64,
    last: i64,
}

impl Export {
    /// The next lines; none at the end. Each batch checks the caller's right again: a caller who loses it gets no more
    /// records.
    async fn batch(&mut self) -> Result<Option<Bytes>> {
        if let Some(head) = self.head.take() {
            return Ok(Some(Bytes::from_static(head.as_bytes())));
        }
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
        let line = |record| match self.format {
            Format::Lines => RecordBody::line(record),
            Format::Csv => Ok(RecordBody::row(record)),
        };
        let lines = records.into_iter().map(line).collect::<Result<Vec<_>>>()?;
        Ok(Some(lines.concat().into()))
    }
}

/// All records that exist now and are newer than `after`, the oldest first. An error on the way cuts the connection, so
/// that nobody takes a part for the whole.
///
/// # Errors
/// As [`can_audit`].
pub async fn records(call: Call, filter: Filter, after: Option<i64>, format: Format) -> Result<HttpResponse> {
    let last = call.reading(|conn, caller| can_audit(caller).and_then(|_| log::newest(conn))).await?;
    let req = call.req.clone();
    let head = (format == Format::Csv).then_some(COLUMNS);
    let export = Export { call, filter, format, head, behind: after.unwrap_or(0), last };
    let lines = stream::try_unfold(export, async |mut export| {
        let lines = export.batch().await?;
        Ok(lines.map(|lines| (lines, export)))
    });
    let mut response = HttpResponse::Ok();
    response.content_type(format.media_type()).insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(streamed(&req, &mut response, lines))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn csv_fields_are_quoted_and_no_field_is_a_formula() {
        for (field, text) in [
            ("tool/1/a", "tool/1/a"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"\n", "\"say \"\"hi\"\"\n\""),
            ("=1+1", "\"'=1+1\""),
            ("-x", "\"'-x\""),
        ] {
            assert_eq!(quoted(field), text);
        }
    }
}
