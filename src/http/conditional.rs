//! Conditional requests (RFC 9110 §13) for a file with a strong ETag and a modification date in whole seconds.

use std::time::{Duration, SystemTime};

use crate::domain::digest::Sha256;
use crate::domain::overwrite::IfMatch;
use actix_web::http::header::{self, HeaderMap, HeaderName};

/// The values that identify the stored file.
#[derive(Debug, Clone, Copy)]
pub struct Validators<'a> {
    /// The strong entity tag, including its quotes.
    pub etag: &'a str,
    /// When the file was uploaded.
    pub last_modified: SystemTime,
    /// Whether no other content was at this address in the second of `last_modified` (RFC 9110 §8.8.2.2).
    pub date_is_strong: bool,
}

/// The result of the conditions of a GET or HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as if there were no condition.
    Proceed,
    /// 304: the client has the file.
    NotModified,
    /// 412: the client wants another version of the file.
    Failed,
}

/// Evaluates `If-Match`, `If-Unmodified-Since`, `If-None-Match` and `If-Modified-Since` in the order of §13.2.2.
pub fn judge(headers: &HeaderMap, validators: Validators<'_>) -> Verdict {
    if headers.contains_key(header::IF_MATCH) {
        if !list_matches(headers, header::IF_MATCH, validators.etag, false) {
            return Verdict::Failed;
        }
    } else if let Some(date) = date(headers, header::IF_UNMODIFIED_SINCE)
        && whole_seconds(validators.last_modified) > date
    {
        return Verdict::Failed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        if list_matches(headers, header::IF_NONE_MATCH, validators.etag, true) {
            return Verdict::NotModified;
        }
    } else if let Some(date) = date(headers, header::IF_MODIFIED_SINCE)
        && whole_seconds(validators.last_modified) <= date
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether `Range` applies (§13.1.5): there is no `If-Range`, or it equals our tag by strong comparison, or exactly our
/// date, if that is strong. Two files that were uploaded within a second have the same date, and a part of each would
/// make a file that nobody published.
pub fn range_holds(headers: &HeaderMap, validators: Validators<'_>) -> bool {
    if !headers.contains_key(header::IF_RANGE) {
        return true;
    }
    match single(headers, header::IF_RANGE) {
        Some(tag) if tag.starts_with('"') => tag == validators.etag,
        _ => {
            let exact = date(headers, header::IF_RANGE) == Some(whole_seconds(validators.last_modified));
            exact && validators.date_is_strong
        }
    }
}

/// Whether a request for a part of a file names its copy by a date.
pub fn has_dated_range(headers: &HeaderMap) -> bool {
    headers.contains_key(header::RANGE) && date(headers, header::IF_RANGE).is_some()
}

/// Whether `If-None-Match` says that the client has the content with this tag.
pub fn has_tag(headers: &HeaderMap, etag: &str) -> bool {
    list_matches(headers, header::IF_NONE_MATCH, etag, true)
}

/// [`judge`] for an answer that has a tag and no date.
pub fn judge_tag(headers: &HeaderMap, etag: &str) -> Verdict {
    if headers.contains_key(header::IF_MATCH) && !list_matches(headers, header::IF_MATCH, etag, false) {
        return Verdict::Failed;
    }
    if has_tag(headers, etag) { Verdict::NotModified } else { Verdict::Proceed }
}

/// Whether `If-Match` and `If-None-Match` allow a change of what has this tag now; `None` for what does not exist.
pub fn allows_change(headers: &HeaderMap, etag: Option<&str>) -> bool {
    let named = |name: HeaderName, weakly| etag.is_some_and(|etag| list_matches(headers, name, etag, weakly));
    (!headers.contains_key(header::IF_MATCH) || named(header::IF_MATCH, false))
        && !(headers.contains_key(header::IF_NONE_MATCH) && named(header::IF_NONE_MATCH, true))
}

/// The files that `If-Match` of an upload expects; `None` without this header. Weak tags match nothing, and neither do
/// tags that are no digest.
pub fn if_match(headers: &HeaderMap) -> Option<IfMatch> {
    let mut digests = headers.contains_key(header::IF_MATCH).then(Vec::new)?;
    for value in headers.get_all(header::IF_MATCH) {
        let value = String::from_utf8_lossy(value.as_bytes());
        if value.trim_matches([' ', '\t']) == "*" {
            return Some(IfMatch::Any);
        }
        let strong = tags(&value).filter(|(weak, _)| !weak);
        digests.extend(strong.filter_map(|(_, tag)| tag.trim_matches('"').parse::<Sha256>().ok()));
    }
    Some(IfMatch::OneOf(digests))
}

/// A date in HTTP's format; years beyond its four digits become the nearest possible year.
pub fn http_date(time: SystemTime) -> String {
    const YEAR_9999: Duration = Duration::from_secs(253_370_764_800);
    let latest = SystemTime::UNIX_EPOCH.checked_add(YEAR_9999).unwrap_or(time);
    httpdate::fmt_http_date(whole_seconds(time).min(latest))
}

/// A time without its fraction of a second, like HTTP's dates.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since.as_secs())).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The value of a header that occurs exactly once.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.to_str().ok()?.trim_matches([' ', '\t'])),
        _ => None,
    }
}

/// The header's date; an invalid date, or several, is ignored.
fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(single(headers, name)?).ok()
}

/// Whether a list of entity tags, or `*`, contains ours. A list with a syntax error counts up to the error.
fn list_matches(headers: &HeaderMap, name: HeaderName, etag: &str, weakly: bool) -> bool {
    headers.get_all(name).any(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        value.trim_matches([' ', '\t']) == "*" || tags(&value).any(|(weak, tag)| tag == etag && (weakly || !weak))
    })
}

/// The entity tags of a list, each with whether it is weak, including quotes. A tag may contain commas.
fn tags(list: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (weak, tag) = match rest.strip_prefix("W/") {
            Some(tag) => (true, tag),
            None => (false, rest),
        };
        let end = tag.strip_prefix('"')?.find('"')? + 2;
        let (tag, after) = tag.split_at_checked(end)?;
        rest = after;
        Some((weak, tag))
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const TAG: &str = "\"abc\"";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const EXACT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn validators() -> Validators<'static> {
        let last_modified = httpdate::parse_http_date(EXACT).unwrap() + Duration::from_millis(900);
        Validators { etag: TAG, last_modified, date_is_strong: true }
    }

    fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn every_date_can_be_formatted_as_an_http_date() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(http_date(far), "Fri, 01 Jan 9999 00:00:00 GMT");
        assert_eq!(http_date(SystemTime::UNIX_EPOCH - Duration::from_secs(5)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(validators().last_modified), EXACT);
    }

    #[test]
    fn each_conditional_header_works_by_itself() {
        use Verdict::{Failed, NotModified, Proceed};
        use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
        for (name, value, verdict) in [
            (IF_MATCH, "\"abc\"", Proceed),
            (IF_MATCH, "\"x,y\" , \"abc\"", Proceed),
            (IF_MATCH, "*", Proceed),
            (IF_MATCH, "W/\"abc\"", Failed),
            (IF_MATCH, "abc", Failed),
            (IF_MATCH, "", Failed),
            (IF_NONE_MATCH, "\"abc\"", NotModified),
            (IF_NONE_MATCH, "W/\"abc\"", NotModified),
            (IF_NONE_MATCH, ",, \"z\",W/\"abc\"", NotModified),
            (IF_NONE_MATCH, "*", NotModified),
            (IF_NONE_MATCH, "\"abcd\"", Proceed),
            (IF_NONE_MATCH, "\"x \"abc\" y\"", Proceed),
            (IF_NONE_MATCH, "abc", Proceed),
            (IF_MODIFIED_SINCE, BEFORE, Proceed),
            (IF_MODIFIED_SINCE, EXACT, NotModified),
            (IF_MODIFIED_SINCE, AFTER, NotModified),
            (IF_MODIFIED_SINCE, "Sunday, 06-Nov-94 08:49:37 GMT", NotModified),
            (IF_MODIFIED_SINCE, "Sun Nov  6 08:49:37 1994", NotModified),
            (IF_MODIFIED_SINCE, "yesterday", Proceed),
            (IF_UNMODIFIED_SINCE, BEFORE, Failed),
            (IF_UNMODIFIED_SINCE, EXACT, Proceed),
            (IF_UNMODIFIED_SINCE, AFTER, Proceed),
            (IF_UNMODIFIED_SINCE, "0", Proceed),
        ] {
            assert_eq!(judge(&headers(&[(name.clone(), value)]), validators()), verdict, "{name}: {value}");
        }
    }

    #[test]
    fn etags_outrank_dates_and_if_match_outranks_if_none_match() {
        use Verdict::{Failed, NotModified, Proceed};
        use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
        for (fields, verdict) in [
            (vec![(IF_MATCH, TAG), (IF_UNMODIFIED_SINCE, BEFORE)], Proceed),
            (vec![(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, AFTER)], Proceed),
            (vec![(IF_MATCH, "\"x\""), (IF_NONE_MATCH, TAG)], Failed),
            (vec![(IF_MATCH, TAG), (IF_NONE_MATCH, TAG)], NotModified),
            (vec![(IF_UNMODIFIED_SINCE, BEFORE), (IF_NONE_MATCH, TAG)], Failed),
            (vec![(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, TAG)], NotModified),
            (vec![(IF_MODIFIED_SINCE, AFTER), (IF_MODIFIED_SINCE, AFTER)], Proceed),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in &fields {
                map.append(name.clone(), HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(judge(&map, validators()), verdict, "{fields:?}");
        }
    }

    #[test]
    fn if_range_needs_the_strong_etag_or_the_exact_date() {
        assert!(range_holds(&HeaderMap::new(), validators()));
        for (value, holds) in [
            (TAG, true),
            ("W/\"abc\"", false),
            ("\"x\"", false),
            ("*", false),
            (EXACT, true),
            (AFTER, false),
            (BEFORE, false),
            ("", false),
        ] {
            let fields = headers(&[(header::IF_RANGE, value)]);
            assert_eq!(range_holds(&fields, validators()), holds, "{value}");
            let weak = Validators { date_is_strong: false, ..validators() };
            assert_eq!(range_holds(&fields, weak), holds && value != EXACT, "{value}, weak");
        }
    }

    #[test]
    fn a_change_needs_the_tag_of_what_is_there_or_its_absence() {
        use header::{IF_MATCH, IF_NONE_MATCH};
        for (fields, there, absent) in [
            (vec![], true, true),
            (vec![(IF_MATCH, TAG)], true, false),
            (vec![(IF_MATCH, "*")], true, false),
            (vec![(IF_MATCH, "\"x\"")], false, false),
            (vec![(IF_MATCH, "W/\"abc\"")], false, false),
            (vec![(IF_NONE_MATCH, "*")], false, true),
            (vec![(IF_NONE_MATCH, TAG)], false, true),
            (vec![(IF_NONE_MATCH, "\"x\"")], true, true),
        ] {
            let fields = headers(&fields);
            assert_eq!(
                (allows_change(&fields, Some(TAG)), allows_change(&fields, None)),
                (there, absent),
                "{fields:?}"
            );
        }
    }

    #[test]
    fn only_a_range_with_a_date_depends_on_it() {
        let (range, if_range) = ((header::RANGE, "bytes=0-1"), header::IF_RANGE);
        assert!(has_dated_range(&headers(&[range.clone(), (if_range.clone(), EXACT)])));
        for fields in [
            vec![(if_range.clone(), EXACT)],
            vec![range.clone()],
            vec![range.clone(), (if_range.clone(), TAG)],
            vec![range, (if_range, "yesterday")],
        ] {
            assert!(!has_dated_range(&headers(&fields)), "{fields:?}");
        }
    }
}
