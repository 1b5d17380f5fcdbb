//! Index pages of a package, a version and a directory, for browsers and for programs that follow links, such as
//! `wget -r`: plain pages in the form that web servers give their directories.

use super::redirects::{from_selector, has_slash};
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::ids::VersionId;
use crate::domain::names::FileName;
use crate::domain::path::{PackagePath, VersionPath, escape};
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::http::accept::{HTML, JSON, TEXT, preferred};
use crate::listing::{self, Layout, Listing};
use crate::registry::access::can_read;
use crate::registry::packages::directories::{self, Entry, EntryKey};
use crate::registry::packages::{selection, versions};
use crate::registry::pages::{ByAge, Slice};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

/// What browsers may do on an index page: follow its links.
const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The width of the column of names. Longer names push the other columns aside.
const NAMES: usize = 50;

/// The form in which a request wants a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Lines or JSON.
    List,
    /// A page with links, whose addresses are relative: they start from an address that ends in a slash.
    Index,
    /// The same, but the address has no slash at its end.
    IndexElsewhere,
}

impl Format {
    /// `Accept` decides. A slash at the end asks for the page too, unless `Accept` names another type: `wget`, `lftp` and
    /// `rclone` send `*/*` or nothing, like `curl`, but all of them end the address of a directory in a slash.
    pub(super) fn asked(req: &HttpRequest) -> Self {
        let (headers, slash) = (req.headers(), has_slash(req));
        let preferred = match slash {
            true => preferred(headers, HTML, &[TEXT, JSON]),
            false => preferred(headers, TEXT, &[JSON, HTML]),
        };
        match preferred == HTML {
            false => Self::List,
            true if slash => Self::Index,
            true => Self::IndexElsewhere,
        }
    }
}

/// The versions of a package, the oldest first.
pub(super) async fn versions(call: Call, path: PackagePath) -> Result<HttpResponse> {
    let of = path.clone();
    let list = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &of.owner, Some(&of.package))?;
            let ids = versions::ids(conn, &right, &of.package, ByAge::OldestFirst, Slice::WHOLE)?;
            Listing::open(ids, Some(What::Package), |ids| versions::dated(conn, &right, ids))
        })
        .await?;
    let layout = layout(&format!("{}/{}/", path.owner, path.package));
    let more = move |conn: &mut _, caller: &_, ids: &[VersionId]| {
        let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
        versions::dated(conn, &right, ids)
    };
    listing::send(call, head(), layout, list, more, async |(version, created_at): (Version, Timestamp)| {
        Ok(line(version.as_str(), created_at, None))
    })
    .await
}

/// The entries of a directory, or the version that a selector stands for.
enum Found {
    Entries(Listing<EntryKey, Entry>),
    Selected(VersionPath),
}

/// What is directly in a version, or in a directory of it.
pub(super) async fn entries(call: Call, path: VersionPath, directory: Option<FileName>) -> Result<HttpResponse> {
    let (of, within) = (path.clone(), directory.clone());
    let found = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &of.owner, Some(&of.package))?;
            match directories::entries(conn, &right, &of, within.as_ref()) {
                Err(Error::NotFound(What::Version)) => match selection::select(conn, &right, &of)? {
                    Some(version) => Ok(Found::Selected(VersionPath { version, ..of.clone() })),
                    None => Err(Error::NotFound(What::Version)),
                },
                keys => {
                    let what = if within.is_some() { What::File } else { What::Version };
                    let load = |keys: &[EntryKey]| directories::load(conn, within.as_ref(), keys);
                    Listing::open(keys?, Some(what), load).map(Found::Entries)
                }
            }
        })
        .await?;
    let list = match found {
        Found::Entries(list) => list,
        Found::Selected(path) => return Ok(from_selector(&call, &address::generic_version(&path))),
    };
    let below = directory.as_ref().map(|directory| format!("{directory}/")).unwrap_or_default();
    let layout = layout(&format!("{path}/{below}"));
    let more = move |conn: &mut _, caller: &_, keys: &[EntryKey]| {
        can_read(conn, caller, &path.owner, Some(&path.package))?;
        directories::load(conn, directory.as_ref(), keys)
    };
    listing::send(call, head(), layout, list, more, async |entry: Entry| {
        Ok(line(&entry.name, entry.changed_at, entry.size))
    })
    .await
}

fn head() -> HttpResponseBuilder {
    let mut builder = HttpResponse::Ok();
    builder
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::VARY, "Accept"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::REFERRER_POLICY, "same-origin"));
    builder
}

fn layout(path: &str) -> Layout {
    let path = escape_html(path);
    Layout {
        content_type: "text/html; charset=utf-8",
        start: format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Index of {path}</title></head>\n\
             <body>\n<h1>Index of {path}</h1>\n<pre><a href=\"../\">../</a>\n"
        ),
        between: "",
        after: "\n",
        end: "</pre>\n</body>\n</html>\n",
    }
}

/// A line of the page: a link, a date, and the size of a file in bytes. A directory has none.
fn line(name: &str, at: Timestamp, size: Option<i64>) -> Vec<u8> {
    let slash = if size.is_none() { "/" } else { "" };
    let width = NAMES.saturating_sub(name.chars().count() + slash.len());
    let size = size.map_or_else(|| "-".to_owned(), |size| size.to_string());
    let (href, name, at) = (escape(name), escape_html(name), at.in_index());
    format!("<a href=\"{href}{slash}\">{name}{slash}</a>{:width$}  {at}  {size:>12}", "").into_bytes()
}

fn escape_html(text: &str) -> String {
    let escaped = |c: char| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&#39;"),
        _ => None,
    };
    let mut page = String::with_capacity(text.len());
    for c in text.chars() {
        match escaped(c) {
            Some(entity) => page.push_str(entity),
            None => page.push(c),
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_page_is_for_clients_that_name_it_or_end_the_address_in_a_slash() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (path, accept, format) in [
            ("/p", None, Format::List),
            ("/p", Some("*/*"), Format::List),
            ("/p", Some("text/plain"), Format::List),
            ("/p", Some("application/json, text/html;q=0.9"), Format::List),
            ("/p", Some(browser), Format::IndexElsewhere),
            ("/p/", Some(browser), Format::Index),
            ("/p/", None, Format::Index),
            ("/p/", Some("*/*"), Format::Index),
            ("/p/", Some("text/plain"), Format::List),
            ("/p/", Some("application/json, text/plain, */*"), Format::List),
            ("/p/", Some("text/html;q=0, */*"), Format::List),
        ] {
            let request = TestRequest::with_uri(path);
            let request =
                accept.map_or(request, |accept| TestRequest::with_uri(path).insert_header(("accept", accept)));
            assert_eq!(Format::asked(&request.to_http_request()), format, "{path} {accept:?}");
        }
    }

    #[test]
    fn a_line_has_a_link_a_date_and_a_size() {
        let text = |line: Vec<u8>| String::from_utf8(line).unwrap();
        let at = Timestamp::from_unix(1_795_723_680);
        let gap = " ".repeat(47);
        assert_eq!(
            text(line("a&b", at, Some(7))),
            format!("<a href=\"a%26b\">a&amp;b</a>{gap}  26-Nov-2026 20:08             7")
        );
        assert_eq!(
            text(line("1/<b>", at, None)),
            format!("<a href=\"1%2F%3Cb%3E/\">1/&lt;b&gt;/</a>{}  26-Nov-2026 20:08             -", &gap[3..])
        );
        assert!(text(line(&"x".repeat(60), at, Some(0))).contains("x</a>  26-Nov"), "long names");
    }
}
