//! The address of the site: its origin, and the path that a shared host gives it.

use super::names::OwnerName;
use serde::{Deserialize, Deserializer};
use std::str::FromStr;
use url::{Host, Url};

/// The path in front of all of the site's own paths: empty at the root of a host, otherwise such as `/packages`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(String);

/// The base path of a site at the root of its host.
pub const ROOT: &BasePath = &BasePath(String::new());

impl BasePath {
    /// The path as it is written into a page, a header or JSON, for a path within the site.
    pub fn link(&self, path: impl AsRef<str>) -> String {
        format!("{}{}", self.0, path.as_ref())
    }

    /// The path within the site of a path with this base, as a proxy that keeps it sends it; `None` for other paths.
    pub fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        match path.strip_prefix(self.0.as_str())? {
            _ if self.is_root() => None,
            "" => Some("/"),
            rest => rest.starts_with('/').then_some(rest),
        }
    }

    /// Whether the site is at the root of its host.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The owner whose page has the same path, if an owner can have that name.
    pub fn as_owner(&self) -> Option<OwnerName> {
        self.0.strip_prefix('/')?.parse().ok()
    }
}

/// The first segments of the site's own paths. A base path begins with none of them: a proxy may remove the base path
/// or keep it, and `/api/…` could mean either.
pub const FIRST_SEGMENTS: [&str; 17] = [
    "-",
    ".well-known",
    "api",
    "assets",
    "docs",
    "explore",
    "favicon.ico",
    "livez",
    "login",
    "logout",
    "metrics",
    "org",
    "readyz",
    "register",
    "robots.txt",
    "swagger.v1.json",
    "user",
];

/// The address that people use to reach the site, in its normal form: a scheme and a host in lower case, the host in
/// ASCII, no default port, and no slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    root: String,
    origin: String,
    host: String,
    port: Option<u16>,
    base: BasePath,
}

impl PublicUrl {
    /// The whole address, without a slash at the end.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Scheme, host and port, as browsers send them in `Origin`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Host and port, as in `Host`.
    pub fn authority(&self) -> &str {
        self.origin.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// The host without the port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, unless it is the default of the scheme.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether the scheme is https.
    pub fn is_secure(&self) -> bool {
        self.origin.starts_with("https://")
    }

    /// The path in front of the site's own paths.
    pub fn base(&self) -> &BasePath {
        &self.base
    }
}

/// Why a text is not the address of a site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPublicUrl {
    #[error("it must look like https://packages.example.org or https://example.org/packages, not {0:?}")]
    Shape(String),
    #[error("its path must have only letters, digits and - . _ ~, such as /packages, not {0:?}")]
    Path(String),
    #[error("its path begins like the server's own addresses below /{0}: choose another path, such as /packages")]
    OwnSegment(String),
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = || InvalidPublicUrl::Shape(text.to_owned());
        // The parser would accept all of these and change their meaning.
        let rest = text.split_once("://").map(|(_, rest)| rest).ok_or_else(shape)?;
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '?' | '#' | '@');
        if rest.starts_with('/') || rest.contains(is_odd) {
            return Err(shape());
        }
        let url = Url::parse(text).map_err(|_| shape())?;
        let host = url.host().filter(|_| matches!(url.scheme(), "http" | "https")).ok_or_else(shape)?;
        if matches!(host, Host::Domain(name) if name.is_empty()) {
            return Err(shape());
        }
        let base = base_path(rest)?;
        let (host, origin) = (host.to_string(), url.origin().ascii_serialization());
        Ok(Self { root: format!("{origin}{}", base.0), origin, host, port: url.port(), base })
    }
}

/// The path of an address, from the part behind `://`. It is not taken from the parsed address, in which `..` is gone.
fn base_path(rest: &str) -> Result<BasePath, InvalidPublicUrl> {
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default().trim_end_matches('/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
    let mut segments = path.split('/').skip(1);
    if segments.clone().any(|segment| matches!(segment, "" | "." | ".." | "-") || !segment.chars().all(is_plain)) {
        return Err(InvalidPublicUrl::Path(path.to_owned()));
    }
    match segments.next() {
        Some(first) if FIRST_SEGMENTS.contains(&first.to_lowercase().as_str()) => {
            Err(InvalidPublicUrl::OwnSegment(first.to_owned()))
        }
        _ => Ok(BasePath(path.to_owned())),
    }
}

/// Reads an address that may be empty.
///
/// # Errors
/// As [`PublicUrl::from_str`], in the words of the format.
pub fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PublicUrl>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(serde::de::Error::custom) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PublicUrl {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_public_url_is_normalized_as_an_origin_and_a_path() {
        for (text, root, authority, port, base) in [
            ("http://h:80", "http://h", "h", None, ""),
            ("http://H", "http://h", "h", None, ""),
            ("https://h:443/", "https://h", "h", None, ""),
            ("https://h:80", "https://h:80", "h:80", Some(80), ""),
            ("HTTPS://H:8443/", "https://h:8443", "h:8443", Some(8443), ""),
            ("https://bücher.example", "https://xn--bcher-kva.example", "xn--bcher-kva.example", None, ""),
            ("https://BÜCHER.example:443", "https://xn--bcher-kva.example", "xn--bcher-kva.example", None, ""),
            ("http://[2001:DB8:0::1]:3000", "http://[2001:db8::1]:3000", "[2001:db8::1]:3000", Some(3000), ""),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000", "127.0.0.1:3000", Some(3000), ""),
            ("https://H:443/packages", "https://h/packages", "h", None, "/packages"),
            ("https://h/packages//", "https://h/packages", "h", None, "/packages"),
            (
                "https://h:8443/Tools/pkg_1.0~x",
                "https://h:8443/Tools/pkg_1.0~x",
                "h:8443",
                Some(8443),
                "/Tools/pkg_1.0~x",
            ),
        ] {
            let url = parse(text);
            let found = (url.root(), url.authority(), url.port(), url.base().as_str());
            assert_eq!(found, (root, authority, port, base), "{text}");
            assert_eq!(url.is_secure(), root.starts_with("https"), "{text}");
        }
        assert_eq!(parse("https://bücher.example:8443/x").host(), "xn--bcher-kva.example");
    }

    #[test]
    fn what_is_no_address_of_a_site_is_refused() {
        for text in [
            "packages.example.org",
            "ftp://h",
            "http:h",
            "http:/h",
            "http:///h",
            "https://",
            "http://:80",
            "http://a b",
            "http://h\\x",
            "http://h?x",
            "http://h#x",
            "http://ada@h",
            "http://ada:pw@h",
            "http://h:99999",
            "http://h\n",
            "http://h/?",
            "http://h\t/x",
            "http://[::1",
            "http://xn--a",
            "javascript://h",
        ] {
            assert!(matches!(text.parse::<PublicUrl>(), Err(InvalidPublicUrl::Shape(_))), "{text}");
        }
        for text in ["http://h/a//b", "http://h/..", "http://h/a/../b", "http://h/a%20b", "http://h/ü", "http://h/a/-"]
        {
            assert!(matches!(text.parse::<PublicUrl>(), Err(InvalidPublicUrl::Path(_))), "{text}");
        }
        for text in ["http://h/api", "http://h/Docs/x", "https://h/user"] {
            assert!(matches!(text.parse::<PublicUrl>(), Err(InvalidPublicUrl::OwnSegment(_))), "{text}");
        }
    }

    #[test]
    fn a_base_path_is_removed_only_at_the_border_of_a_segment() {
        let url = parse("https://h/packages");
        let strip = |path: &'static str| url.base().strip(path);
        assert_eq!(strip("/packages"), Some("/"));
        assert_eq!(strip("/packages/"), Some("/"));
        assert_eq!(strip("/packages/ada/-/packages"), Some("/ada/-/packages"));
        assert_eq!(strip("/packages/packages"), Some("/packages"));
        for path in ["/", "/packages2", "/Packages", "/ada/packages", "/api/packages/ada"] {
            assert_eq!(strip(path), None, "{path}");
        }
        assert_eq!((ROOT.strip("/ada"), ROOT.link("/ada")), (None, "/ada".to_owned()));
        assert_eq!(
            (url.base().link("/"), url.base().link("/ada")),
            ("/packages/".to_owned(), "/packages/ada".to_owned())
        );
        assert_eq!(url.base().as_owner().map(String::from).as_deref(), Some("packages"));
        assert_eq!(parse("https://h/a/b").base().as_owner(), None);
    }
}
