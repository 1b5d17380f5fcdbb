//! The segments of a path: each is percent-decoded exactly once, after routing, and then parsed. The last of a route may
//! stand for several, with slashes between them.

use crate::domain::names::{InvalidName, OwnerName};
use crate::domain::path::escape;
use crate::error::{Error, Result};
use actix_web::HttpRequest;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

/// A segment of a request's path.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    /// The text as it was sent. It comes from the raw path instead of actix's decoded copy, in which bytes that are not
    /// UTF-8 are replaced with U+FFFD: two different names would become equal.
    raw: &'a str,
    /// Its position in the path, from 0.
    index: usize,
    /// Whether it is the rest of the path: one or more segments.
    is_rest: bool,
}

/// What follows the name of a route's last segment that stands for the rest of the path.
pub const REST: &str = "*";

/// The route of a request, for the log and the metrics.
pub fn route(req: &HttpRequest) -> String {
    let pattern = req.match_pattern();
    pattern.map_or_else(|| "none".to_owned(), |pattern| pattern.strip_suffix(REST).unwrap_or(&pattern).to_owned())
}

/// The segment for the `{name}` of a route.
///
/// # Errors
/// [`Error::Internal`] if the route has no such segment.
pub fn segment_of_route<'a>(req: &'a HttpRequest, name: &str) -> Result<Segment<'a>> {
    let pattern = req.match_pattern().unwrap_or_default();
    let index = index_of(&pattern, |segment| segment == name);
    let index = index.ok_or_else(|| Error::internal(anyhow::anyhow!("no {name} in {pattern}")))?;
    let is_rest = pattern.ends_with(&format!("{{{name}}}{REST}"));
    Ok(Segment { raw: if is_rest { rest_at(req, index) } else { segment_at(req, index) }, index, is_rest })
}

/// The first segment of a route's pattern whose name matches.
fn index_of(pattern: &str, fits: impl Fn(&str) -> bool) -> Option<usize> {
    let mut segments = pattern.trim_start_matches('/').split('/');
    segments.position(|segment| {
        let segment = segment.strip_suffix(REST).unwrap_or(segment);
        let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        name.is_some_and(&fits)
    })
}

fn segment_at(req: &HttpRequest, index: usize) -> &str {
    req.uri().path().trim_start_matches('/').split('/').nth(index).unwrap_or_default()
}

fn rest_at(req: &HttpRequest, index: usize) -> &str {
    req.uri().path().trim_start_matches('/').splitn(index + 1, '/').nth(index).unwrap_or_default()
}

fn decode(raw: &str) -> Result<Cow<'_, str>, InvalidName> {
    percent_decode_str(raw).decode_utf8().map_err(|_| InvalidName::Encoding)
}

/// Decodes each of several segments. A slash that was escaped never separates two.
fn decode_each(raw: &str) -> Result<Cow<'_, str>, InvalidName> {
    let segments = raw.split('/').map(|raw| match decode(raw)? {
        segment if segment.contains('/') => Err(InvalidName::EscapedSlash),
        segment => Ok(segment),
    });
    segments.collect::<Result<Vec<_>, _>>().map(|segments| segments.join("/").into())
}

impl Segment<'_> {
    /// Parses the segment.
    ///
    /// # Errors
    /// [`Error::Invalid`] with a text that begins with `invalid` and the field.
    pub fn parse<T: FromStr<Err: Display>>(&self, field: &'static str) -> Result<T> {
        let wrong = |why: &dyn Display| format!("invalid {field}: {why}");
        let text = if self.is_rest { decode_each(self.raw) } else { decode(self.raw) };
        let parsed = match text {
            Ok(text) => text.parse().map_err(|why| wrong(&why)),
            Err(why) => Err(wrong(&why)),
        };
        parsed.map_err(|problem| Error::Invalid { field, problem })
    }

    /// The owner that the path names before this segment, if there is one.
    pub fn owner_before(&self, req: &HttpRequest) -> Option<OwnerName> {
        let pattern = req.match_pattern()?;
        let owner = index_of(&pattern, |name| matches!(name, "owner" | "org" | "user"))?;
        let segment = Segment { raw: segment_at(req, owner), index: owner, is_rest: false };
        (owner < self.index).then(|| segment.parse("owner").ok()).flatten()
    }
}

/// The path and query of a request with an owner's new name instead of the old one; `None` if the path has no owner.
pub fn renamed(req: &HttpRequest, from: &OwnerName, to: &OwnerName) -> Option<String> {
    let pattern = req.match_pattern()?;
    let (mut names, mut found) = (pattern.split('/'), false);
    let segments = req.uri().path().split('/').map(|raw| {
        let is_name = names.next().is_some_and(|name| name.starts_with('{'));
        let is_it = || percent_decode_str(raw).decode_utf8().is_ok_and(|text| text.to_lowercase() == from.lower());
        if !found && is_name && is_it() {
            found = true;
            return escape(to.as_str()).to_string();
        }
        raw.to_owned()
    });
    let path = segments.collect::<Vec<_>>().join("/");
    found.then(|| with_query(path, req))
}

/// An address with the query of a request, for a redirect.
pub fn with_query(mut url: String, req: &HttpRequest) -> String {
    if let Some(query) = req.uri().query().filter(|query| !query.is_empty()) {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(query);
    }
    url
}
