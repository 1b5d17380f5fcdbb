//! What every page has: the frame around its content, and the security headers.

use super::notice::Notice;
use super::{assets, forms};
use crate::auth::call::Call;
use crate::auth::confirm::{FreshSignIn, instead_of_password, takes_passkey};
use crate::auth::origin::field;
use crate::auth::session;
use crate::db::Connection;
use crate::domain::digest::to_hex;
use crate::domain::public_url::BasePath;
use crate::domain::text::visible;
use crate::error::{Error, Result};
use crate::http::blob::INERT;
use crate::http::conditional::has_tag;
use crate::registry::caller::{Caller, SignedIn};
use crate::state::App;
use actix_web::cookie::Cookie;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use askama::Template;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The content security policy: only the site's own style sheets, scripts and images; nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The color theme the reader chose; by default their system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    System,
    Light,
    Dark,
}

impl Theme {
    const COOKIE: &'static str = "theme";

    /// The theme's name in the cookie and in the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Parses a name; anything unknown means the system's theme.
    pub fn of(word: &str) -> Self {
        match word {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::System,
        }
    }

    fn read(req: &HttpRequest, app: &App) -> Self {
        session::cookie_value(req, app, Self::COOKIE).map_or(Self::System, |word| Self::of(&word))
    }

    /// The cookie that stores the choice for a year.
    pub fn cookie(self, app: &App) -> Cookie<'static> {
        let mut cookie = session::cookie(app, Self::COOKIE, self.as_str().to_owned());
        cookie.set_max_age(actix_web::cookie::time::Duration::days(365));
        cookie
    }
}

/// The cookie of the notice shown once, on the page after a change.
const NOTICE: &str = "packhouse-notice";

/// The frame of a page: the reader and the address.
pub struct Frame {
    pub user: Option<SignedIn>,
    pub theme: Theme,
    /// The CSRF token for every form.
    pub csrf: String,
    /// The path and query of this page within the site, to come back to.
    pub here: String,
    /// The notice about what was just done.
    pub notice: Option<Notice>,
    /// The address of the site, for the commands to copy.
    pub root: String,
    /// Whether the instance sends mail: no page mentions it otherwise.
    pub sends_mail: bool,
    /// What forms ask for instead of the reader's password, if they have none that counts.
    pub fresh: Option<FreshSignIn>,
    /// Whether forms let the reader confirm with a passkey.
    pub takes_passkey: bool,
    /// The path in front of every link.
    base: BasePath,
}

/// The page of this site that led here, if the browser tells.
pub(super) fn referrer(req: &HttpRequest, app: &App) -> Option<String> {
    let root = site_root(req, app);
    let path = field(req, header::REFERER.as_str())?.strip_prefix(root.as_str())?;
    path.starts_with('/').then(|| within_site(path))
}

/// The page that a request shows: for a form that is shown again, the page that it was sent from.
fn here(req: &HttpRequest, app: &App) -> String {
    let reads = matches!(*req.method(), Method::GET | Method::HEAD);
    let sent_from = if reads { None } else { referrer(req, app) };
    sent_from.unwrap_or_else(|| req.uri().path_and_query().map_or_else(String::new, ToString::to_string))
}

impl Frame {
    /// For a request of this user.
    pub fn new(req: &HttpRequest, app: &App, user: Option<SignedIn>) -> Self {
        let notice = session::cookie_value(req, app, NOTICE).and_then(|value| Notice::of_cookie(&value));
        Self {
            user,
            theme: Theme::read(req, app),
            csrf: forms::token(req, app).unwrap_or_default(),
            here: here(req, app),
            notice,
            root: site_root(req, app),
            sends_mail: app.sends_mail(),
            fresh: None,
            takes_passkey: false,
            base: app.config.base_path().clone(),
        }
    }

    /// The address to write into the page for a path within the site. Templates pass every link, form and picture
    /// through it.
    pub fn link(&self, path: impl AsRef<str>) -> String {
        self.base.link(path)
    }

    /// Whether the reader is a site administrator.
    pub fn is_admin(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.is_admin)
    }

    /// Whether this is the reader's own name.
    pub fn is_me(&self, name: &crate::domain::names::OwnerName) -> bool {
        self.user.as_ref().is_some_and(|user| user.name.lower() == name.lower())
    }

    /// The words in the search box of the header, if the page shows the results of a search.
    pub fn searched(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Words {
            #[serde(default)]
            q: String,
        }
        let Some(("/explore/packages", query)) = self.here.split_once('?') else { return String::new() };
        serde_html_form::from_str::<Words>(query).map(|words| words.q).unwrap_or_default()
    }

    /// Whether the page is at or below a path, to mark it in the navigation.
    pub fn is_at(&self, path: &str) -> bool {
        let here = self.here.split('?').next().unwrap_or_default();
        here == path || here.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The address of an asset.
    pub fn asset(&self, name: &str) -> String {
        self.link(assets::url(name))
    }

    /// The address of an icon.
    pub fn icon(&self, name: &str) -> String {
        format!("{}#{name}", self.asset("icons.svg"))
    }
}

/// The address of the site: as configured, or else as the request says. The latter is safe because only its own sender
/// sees it.
pub(super) fn site_root(req: &HttpRequest, app: &App) -> String {
    if let Some(root) = app.config.public_root() {
        return root.to_owned();
    }
    let host = req.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("localhost");
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if host.chars().all(fits) { format!("http://{host}") } else { "http://localhost".to_owned() }
}

/// Reads the content of a page together with its frame.
///
/// # Errors
/// Those of `work`.
pub async fn frame<T: Send + 'static>(
    call: &Call,
    mut work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
) -> Result<(Frame, T)> {
    let app = Arc::clone(&call.app);
    let read = move |conn: &mut Connection, caller: &Caller| {
        let fresh = instead_of_password(conn, &app, caller)?;
        let takes_passkey = takes_passkey(&app, caller);
        Ok((caller.user().cloned(), (fresh, takes_passkey), work(conn, caller)?))
    };
    let (user, (fresh, takes_passkey), found) = call.reading(read).await?;
    Ok((Frame { fresh, takes_passkey, ..Frame::new(&call.req, &call.app, user) }, found))
}

/// A response of the web pages.
pub struct Reply {
    builder: HttpResponseBuilder,
    body: String,
    /// The path within the site that it redirects to.
    target: Option<String>,
    /// The address of another site that it redirects to.
    away: Option<HeaderValue>,
    cookies: Vec<Cookie<'static>>,
    revalidated: bool,
    /// The request's headers that the page depends on, besides the cookie.
    varies: &'static str,
    /// A response that is not a page and was built elsewhere.
    made: Option<HttpResponse>,
}

impl Reply {
    fn new(builder: HttpResponseBuilder, body: String) -> Self {
        Self {
            builder,
            body,
            target: None,
            away: None,
            cookies: Vec::new(),
            revalidated: false,
            varies: "",
            made: None,
        }
    }

    /// A page.
    ///
    /// # Errors
    /// [`Error::Internal`] if the template fails.
    pub fn page(template: &impl Template) -> Result<Self> {
        Self::page_with(StatusCode::OK, template)
    }

    /// A page with a status other than 200.
    ///
    /// # Errors
    /// [`Error::Internal`] if the template fails.
    pub fn page_with(status: StatusCode, template: &impl Template) -> Result<Self> {
        let mut builder = HttpResponse::build(status);
        builder.content_type("text/html; charset=utf-8");
        let html = template.render().map_err(Error::internal)?;
        // A page may show what others wrote, and HTML allows no such character anywhere.
        Ok(Self::new(builder, visible(&html).into_owned()))
    }

    /// A JSON response for our own scripts.
    ///
    /// # Errors
    /// [`Error::Internal`] if the value cannot be serialized.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Result<Self> {
        let mut builder = HttpResponse::build(status);
        builder.content_type("application/json");
        Ok(Self::new(builder, serde_json::to_string(value).map_err(Error::internal)?))
    }

    /// A response that is not a page, such as a file.
    pub fn raw(response: HttpResponse) -> Self {
        Self { made: Some(response), ..Self::new(HttpResponse::Ok(), String::new()) }
    }

    /// Redirects the browser to a path of this site with GET.
    pub fn to(path: &str) -> Self {
        Self { target: Some(within_site(path)), ..Self::new(HttpResponse::SeeOther(), String::new()) }
    }

    /// Redirects the browser to the address of another site, which is never one that the request names.
    ///
    /// # Errors
    /// [`Error::Internal`] for an address that is none.
    pub fn away(url: &str) -> Result<Self> {
        let away = HeaderValue::from_str(url).map_err(Error::internal)?;
        Ok(Self { away: Some(away), ..Self::new(HttpResponse::SeeOther(), String::new()) })
    }

    /// Redirects the browser permanently.
    pub fn moved(path: &str) -> Self {
        Self { target: Some(within_site(path)), ..Self::new(HttpResponse::PermanentRedirect(), String::new()) }
    }

    /// Sets a cookie.
    pub fn cookie(mut self, cookie: Cookie<'static>) -> Self {
        self.cookies.push(cookie);
        self
    }

    /// Shows a notice on the next page.
    pub fn notice(self, app: &App, text: &str) -> Self {
        self.tell(app, &Notice::good(text))
    }

    /// Shows a notice on the next page that says more than that something worked.
    pub fn tell(self, app: &App, notice: &Notice) -> Self {
        let mut cookie = session::cookie(app, NOTICE, notice.to_cookie());
        cookie.set_max_age(actix_web::cookie::time::Duration::minutes(1));
        self.cookie(cookie)
    }

    /// Sets a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.builder.insert_header((name, value));
        self
    }

    /// Sets the field `Retry-After`, in seconds, if waiting helps.
    pub fn retry_after(self, seconds: Option<u64>) -> Self {
        match seconds {
            Some(seconds) => self.header(header::RETRY_AFTER, seconds.into()),
            None => self,
        }
    }

    /// Lets a browser store the page and revalidate it each time; for pages that say nothing about their reader.
    pub fn revalidated(mut self) -> Self {
        self.revalidated = true;
        self
    }

    /// Names the request's headers that the page depends on, besides the cookie.
    pub fn varying(mut self, names: &'static str) -> Self {
        self.varies = names;
        self
    }

    /// Sets the cache headers. Every page contains the reader's CSRF token, signed in or not, so no shared cache may
    /// store it.
    fn caching(&mut self, req: &HttpRequest, has_notice: bool) {
        let is_unchanged_for_reader = self.revalidated && !has_notice;
        let cached = if is_unchanged_for_reader { "private, no-cache" } else { "no-store" };
        let varies = if self.varies.is_empty() { "Cookie".to_owned() } else { format!("Cookie, {}", self.varies) };
        self.builder.insert_header((header::CACHE_CONTROL, cached)).insert_header((header::VARY, varies));
        if is_unchanged_for_reader {
            let etag = format!("\"{}\"", to_hex(&Sha256::digest(&self.body)));
            if has_tag(req.headers(), &etag) {
                self.builder.status(StatusCode::NOT_MODIFIED);
                self.body.clear();
            }
            self.builder.insert_header((header::ETAG, etag));
        }
    }

    /// Builds the response with the security headers.
    pub fn finish(mut self, req: &HttpRequest, app: &App) -> HttpResponse {
        if let Some(mut response) = self.made {
            let headers = response.headers_mut();
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(INERT));
            return response;
        }
        let has_notice = session::cookie_value(req, app, NOTICE).is_some();
        if has_notice && !self.body.is_empty() {
            self.cookies.push(session::removal(app, NOTICE));
        }
        self.cookies.extend(forms::visit_cookie(req, app));
        for mut cookie in std::mem::take(&mut self.cookies) {
            session::address_cookie(req, app, &mut cookie);
            self.builder.cookie(cookie);
        }
        if let Some(target) = &self.target {
            self.builder.insert_header((header::LOCATION, app.link(target)));
        }
        if let Some(away) = self.away.take() {
            self.builder.insert_header((header::LOCATION, away));
        }
        self.builder
            .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((header::REFERRER_POLICY, "same-origin"))
            .insert_header(("cross-origin-opener-policy", "same-origin"))
            .insert_header(("cross-origin-resource-policy", "same-origin"))
            .insert_header(("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"));
        self.caching(req, has_notice);
        // It holds for the whole host, which may have other sites if this one has only a path of it.
        if session::is_secure(app) && app.config.base_path().is_root() {
            self.builder.insert_header((header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"));
        }
        self.builder.body(self.body)
    }
}

/// A path within the site that a visitor names, with or without the base path of the site.
pub fn within(app: &App, path: &str) -> String {
    let path = within_site(path);
    let (route, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let own = app.config.base_path().strip(route).map(|route| within_site(&format!("{route}{query}")));
    own.unwrap_or(path)
}

/// A path of this site, or `/` for anything that would lead to another site: another scheme or host, `//host`, a
/// backslash (which browsers treat as a slash) or a control character.
pub fn within_site(path: &str) -> String {
    let own = path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n', '\t']);
    if own && !path.chars().any(char::is_control) { path.to_owned() } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::within_site;

    #[test]
    fn redirects_stay_within_the_site() {
        for path in ["/", "/ada", "/ada/-/packages?q=a&page=2", "/a//b"] {
            assert_eq!(within_site(path), path);
        }
        for path in
            ["", "ada", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nSet-Cookie: x", "/\t/x"]
        {
            assert_eq!(within_site(path), "/", "{path:?}");
        }
    }
}
