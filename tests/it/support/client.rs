//! An HTTP client that does nothing by itself: no redirects, no cookies, no decoding.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::HeaderMap;
use reqwest::{Body, Method, RequestBuilder};
use std::future::IntoFuture;
use std::pin::Pin;

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Escapes a text as one segment of a path.
pub fn escape(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// The path of a file, version or package. The parts are owner, package, version and file, and are escaped.
pub fn path(parts: &[&str]) -> String {
    let mut path = format!("/api/packages/{}/generic", escape(parts[0]));
    for part in &parts[1..] {
        path.push('/');
        path.push_str(&escape(part));
    }
    path
}

/// A reverse proxy that serves the site below [`BASE`], and other applications elsewhere on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// It passes the path on as it is.
    Keeps,
    /// It removes [`BASE`].
    Strips,
}

/// The path that the proxy gives the site.
pub const BASE: &str = "/packages";

impl Proxy {
    /// The path that the server gets. What is not below the site leads to nothing.
    fn pass(self, path: &str) -> String {
        match path.strip_prefix(BASE).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?'])) {
            None => "/-/another/application".to_owned(),
            Some(_) if self == Self::Keeps => path.to_owned(),
            Some(rest) if rest.starts_with('/') => rest.to_owned(),
            Some(rest) => format!("/{rest}"),
        }
    }
}

/// A sender of requests with a fixed credential.
#[derive(Clone)]
pub struct Client {
    pub(super) http: reqwest::Client,
    pub(super) root: String,
    pub(super) authorization: Option<String>,
    pub(super) proxy: Option<Proxy>,
}

impl Client {
    /// The same client with another `Authorization` header.
    pub fn authorized(&self, value: impl Into<String>) -> Self {
        Self { authorization: Some(value.into()), ..self.clone() }
    }

    /// The same client behind a reverse proxy.
    pub fn behind(&self, proxy: Proxy) -> Self {
        Self { proxy: Some(proxy), ..self.clone() }
    }

    /// The same client with a bearer token.
    pub fn bearer(&self, token: &str) -> Self {
        self.authorized(format!("Bearer {token}"))
    }

    /// The same client with a user name and a password as Basic authentication.
    pub fn basic(&self, name: &str, password: &str) -> Self {
        use base64::Engine;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        self.authorized(format!("Basic {pair}"))
    }

    /// A request of any method.
    pub fn request(&self, method: &str, path: &str) -> Request {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let path = self.proxy.map_or_else(|| path.to_owned(), |proxy| proxy.pass(path));
        let request = self.http.request(method, format!("{}{path}", self.root));
        Request(match &self.authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        })
    }

    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    pub fn head(&self, path: &str) -> Request {
        self.request("HEAD", path)
    }

    pub fn delete(&self, path: &str) -> Request {
        self.request("DELETE", path)
    }

    pub fn put(&self, path: &str, body: impl Into<Body>) -> Request {
        let body = body.into();
        // Unlike other clients, reqwest omits the length of an empty body.
        let empty = body.as_bytes().is_some_and(<[u8]>::is_empty);
        let request = self.request("PUT", path).body(body);
        if empty { request.header("content-length", "0") } else { request }
    }

    pub fn post(&self, path: &str, json: &serde_json::Value) -> Request {
        Request(self.request("POST", path).0.json(json))
    }

    pub fn patch(&self, path: &str, json: &serde_json::Value) -> Request {
        Request(self.request("PATCH", path).0.json(json))
    }

    /// Publishes a file and asserts 201.
    pub async fn publish(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.put(path, body).await.is(201)
    }
}

/// A request, which is sent by awaiting it.
pub struct Request(RequestBuilder);

impl Request {
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        Self(self.0.header(name, value.as_ref()))
    }

    pub fn body(self, body: impl Into<Body>) -> Self {
        Self(self.0.body(body))
    }

    /// Asks for errors and lists as JSON.
    pub fn json(self) -> Self {
        self.header("accept", "application/json")
    }

    /// Sends it. An error means that the connection was refused or closed early.
    pub async fn send(self) -> reqwest::Result<Answer> {
        let response = self.0.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    }
}

impl IntoFuture for Request {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.send().await.unwrap_or_else(|error| panic!("{error:?}")) })
    }
}

/// A response with its whole body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// Asserts the status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?} {}", self.headers, String::from_utf8_lossy(&self.body));
        self
    }

    /// Asserts that the body is a text that contains these words.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.text().contains(words), "{words:?} is not in {:?}", self.text());
        self
    }

    /// The value of a header, which may occur only once.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next();
        assert!(values.next().is_none(), "{name} occurs twice");
        first.map(|value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn lines(&self) -> Vec<&str> {
        self.text().lines().collect()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    /// The ID of the request.
    #[track_caller]
    pub fn request_id(&self) -> &str {
        self.header("x-request-id").expect("every answer says which request it answers")
    }

    /// The body as text, with `…` for the ID of the request, which differs each time.
    fn text_without_id(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        self.header("x-request-id").map_or_else(|| text.to_string(), |id| text.replace(id, "\u{2026}"))
    }

    /// The JSON, for a snapshot; without the ID of the request.
    #[track_caller]
    pub fn pretty(&self) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.text_without_id()).unwrap();
        serde_json::to_string_pretty(&json).unwrap()
    }

    /// Status and head as text, for a snapshot: without the date and the ID of the request, and without whether the
    /// connection is closed, which depends on how much of a refused body was there already.
    pub fn shown(&self) -> String {
        let mut lines: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, _)| !["date", "connection", "x-request-id"].contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        format!("{}\n{}", self.status, lines.join("\n"))
    }

    /// What two answers must have in common to look the same to a stranger: all but the ID of the request.
    pub fn looks(&self) -> (u16, String, String) {
        (self.status, self.shown(), self.text_without_id())
    }
}
