//! The HTTP client for requests to other servers. It reaches only the public Internet unless settings allow more, only
//! addresses that were checked, and it limits everything.
//!
//! A server that the configuration itself names, such as an issuer of identity tokens, may be anywhere: its origin is
//! in [`Allowed::origins`], and only requests to exactly this scheme, host and port skip the check of addresses.
//!
//! A name is looked up once for each request. All its addresses must be allowed, and the connection goes to one of
//! them, so a name that resolves differently a moment later gains nothing. The client follows no redirect, uses no
//! proxy from the environment, and keeps no cookie and no connection.

mod bucket;

pub use bucket::{BucketClient, COMPLETION};

use crate::domain::network::{Network, special};
use anyhow::{Context, anyhow};
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, redirect};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, oneshot};

/// How long connecting may take, including name lookup and TLS.
const CONNECT: Duration = Duration::from_secs(5);
/// The most bytes that are read of the body of an answer to [`Outbound::post`].
pub const MAX_BODY: usize = 16 << 10;
/// The most bytes of a JSON document that another server publishes, such as its keys.
pub const MAX_DOCUMENT: usize = 512 << 10;
/// The most bytes of an answer's headers that are kept.
pub const MAX_HEAD: usize = 8 << 10;
/// The most headers of an answer.
const MAX_FIELDS: usize = 100;

/// The destinations that are allowed besides the public Internet.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// Addresses, whatever name leads to them.
    pub networks: Vec<Network>,
    /// Names, whatever they resolve to; `*.example.org` matches everything below that name.
    pub hosts: Vec<String>,
    /// Servers that the configuration names with scheme, host and port ([`origin`]), wherever they are.
    pub origins: Vec<String>,
}

/// The scheme, host and port of an address, in the one way in which origins are compared.
pub fn origin(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    (url.has_host() && matches!(url.scheme(), "http" | "https")).then(|| url.origin().ascii_serialization())
}

impl Allowed {
    /// Whether the configuration names the server of this address.
    fn origin(&self, url: &reqwest::Url) -> bool {
        self.origins.contains(&url.origin().ascii_serialization())
    }

    fn host(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.hosts.iter().any(|allowed| {
            let allowed = allowed.to_ascii_lowercase();
            match allowed.strip_prefix("*.") {
                Some(above) => name.strip_suffix(above).is_some_and(|below| below.ends_with('.')),
                None => name == allowed,
            }
        })
    }

    /// Why an address may not be reached.
    fn refusal(&self, address: IpAddr) -> Option<String> {
        let kind = special(address)?;
        let allowed = self.networks.iter().any(|network| network.contains(address));
        (!allowed).then(|| {
            format!(
                "{address} is {kind}, and this server isn't allowed to connect to it. An administrator can allow it \
                 with webhooks.allowed_networks"
            )
        })
    }
}

/// Finds the addresses of a name.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The machine's own name lookup. It runs on a separate thread that nothing waits for at shutdown, because the C
/// library cannot cancel a lookup.
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let (done, found) = oneshot::channel();
            let look = move || {
                let addresses = (name.as_str(), 0).to_socket_addrs();
                // The receiver may be gone.
                let _ = done.send(addresses.map(|all| all.map(|address| address.ip()).collect()));
            };
            std::thread::Builder::new().name("name lookup".to_owned()).spawn(look)?;
            found.await.unwrap_or_else(|_| Err(std::io::Error::other("the lookup ended without an answer")))
        })
    })
}

/// The answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// The headers that are kept.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body.
    pub body: Vec<u8>,
    /// Why the body is incomplete, if it is.
    pub cut: Option<String>,
}

impl Answer {
    /// The value of a header, by its name in lowercase.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of the whole JSON body of a successful answer.
    ///
    /// # Errors
    /// [`Failure`] for another status than 2xx, an incomplete body, or a body that is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if !(200..300).contains(&self.status) {
            return Err(Failure(format!("it answered with status {}", self.status)));
        }
        if let Some(cut) = &self.cut {
            return Err(Failure(format!("its answer is incomplete: {cut}")));
        }
        serde_json::from_slice(&self.body).map_err(|error| Failure(format!("its answer is not as expected: {error}")))
    }

    /// How long the answer may be kept, as its `Cache-Control` says (RFC 9111 §5.2.2), less its `Age`. `None` if it says
    /// nothing; zero if it forbids keeping.
    pub fn fresh_for(&self) -> Option<Duration> {
        let directives = self.header("cache-control")?.split(',').map(|part| part.trim().to_ascii_lowercase());
        let mut fresh = None;
        for directive in directives {
            if matches!(directive.as_str(), "no-store" | "no-cache") {
                return Some(Duration::ZERO);
            }
            if let Some(seconds) = directive.strip_prefix("max-age=") {
                fresh = seconds.trim_matches('"').parse().ok().map(Duration::from_secs);
            }
        }
        let age = self.header("age").and_then(|age| age.parse().ok()).map_or(Duration::ZERO, Duration::from_secs);
        fresh.map(|fresh: Duration| fresh.saturating_sub(age))
    }
}

/// Why no answer came, in words for the person who asked for the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

/// The client.
pub struct Outbound {
    allowed: Arc<Allowed>,
    lookup: Lookup,
    total: Duration,
    client: OnceCell<reqwest::Client>,
    /// The client for [`Allowed::origins`], which checks no address.
    trusting: OnceCell<reqwest::Client>,
}

impl Outbound {
    /// A client that waits up to `total` for a whole answer.
    pub fn new(allowed: Allowed, total: Duration) -> Self {
        Self::with_lookup(allowed, total, system_lookup())
    }

    /// A client with another name lookup.
    pub fn with_lookup(allowed: Allowed, total: Duration, lookup: Lookup) -> Self {
        Self { allowed: Arc::new(allowed), lookup, total, client: OnceCell::new(), trusting: OnceCell::new() }
    }

    /// Checks an address before anything is sent there, as far as possible without a name lookup.
    ///
    /// # Errors
    /// [`Failure`] with the reason.
    pub fn check(&self, url: &str) -> Result<(), Failure> {
        self.parse(url).map(drop)
    }

    fn parse(&self, url: &str) -> Result<reqwest::Url, Failure> {
        let url = reqwest::Url::parse(url).map_err(|error| Failure(format!("the address is invalid: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Failure("only http and https addresses are allowed".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Failure("an address with a user name or password is not allowed".to_owned()));
        }
        if self.allowed.origin(&url) {
            return Ok(url);
        }
        // The parser turns every spelling of a numeric address into an IP address.
        let host = url.host_str().unwrap_or_default();
        let number = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        match number {
            Some(address) => self.allowed.refusal(address).map_or(Ok(url), |why| Err(Failure(why))),
            // Never looked up: it is this machine (RFC 6761).
            None if is_local(host) && !self.allowed.host(host) && self.allowed.networks.is_empty() => {
                Err(Failure(format!(
                    "{host} is this server itself, and it isn't allowed to connect to itself. An administrator can \
                     allow it with webhooks.allowed_hosts"
                )))
            }
            None if host.is_empty() => Err(Failure("the address has no host".to_owned())),
            None => Ok(url),
        }
    }

    /// Posts a body and reads up to [`MAX_BODY`] of the answer.
    ///
    /// # Errors
    /// [`Failure`] when the address is refused or no answer came in time.
    pub async fn post(&self, url: &str, headers: &[(String, String)], body: Vec<u8>) -> Result<Answer, Failure> {
        self.ask(Method::POST, url, headers, body, MAX_BODY).await
    }

    /// Posts the fields of a form, for example to a token endpoint (RFC 6749 §4.1.3), and reads up to `most` bytes of
    /// the answer.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub async fn post_form(
        &self,
        url: &str,
        headers: &[(String, String)],
        fields: &[(&str, &str)],
        most: usize,
    ) -> Result<Answer, Failure> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut headers = headers.to_vec();
        headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        self.ask(Method::POST, url, &headers, body.into_bytes(), most).await
    }

    /// Gets an address and reads up to `most` bytes of the answer.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub async fn get(&self, url: &str, headers: &[(String, String)], most: usize) -> Result<Answer, Failure> {
        self.ask(Method::GET, url, headers, Vec::new(), most).await
    }

    /// Gets a JSON document of up to [`MAX_DOCUMENT`], and the answer whose headers say how long to keep it.
    ///
    /// # Errors
    /// As [`Self::post`], and as [`Answer::json`].
    pub async fn get_json<T: DeserializeOwned>(&self, url: &str) -> Result<(T, Answer), Failure> {
        let accept = ("accept".to_owned(), "application/json".to_owned());
        let answer = self.get(url, &[accept], MAX_DOCUMENT).await?;
        Ok((answer.json()?, answer))
    }

    async fn ask(
        &self,
        method: Method,
        url: &str,
        headers: &[(String, String)],
        body: Vec<u8>,
        most: usize,
    ) -> Result<Answer, Failure> {
        let url = self.parse(url)?;
        let client = match self.allowed.origin(&url) {
            true => self.trusting.get_or_try_init(async || self.build(true)).await,
            false => self.client.get_or_try_init(async || self.build(false)).await,
        };
        let client = client.map_err(|error| Failure(format!("this server cannot call other servers: {error:#}")))?;
        let mut fields = HeaderMap::new();
        for (name, value) in headers {
            let field = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let (name, value) = field.ok_or_else(|| Failure(format!("the header {name} cannot be sent")))?;
            fields.append(name, value);
        }
        let sent = client.request(method, url).headers(fields).body(body).timeout(self.total).send();
        let response = sent.await.map_err(|error| self.explain(&error))?;
        Ok(self.read(response, most).await)
    }

    async fn read(&self, mut response: reqwest::Response, most: usize) -> Answer {
        let (mut headers, mut kept) = (Vec::new(), 0);
        for (name, value) in response.headers() {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            kept += name.as_str().len() + value.len();
            if kept > MAX_HEAD {
                break;
            }
            headers.push((name.as_str().to_owned(), value));
        }
        let mut answer = Answer { status: response.status().as_u16(), headers, body: Vec::new(), cut: None };
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = most - answer.body.len();
                    answer.body.extend(chunk.iter().take(room));
                    if chunk.len() > room {
                        answer.cut = Some(format!("only the first {most} bytes were read"));
                        return answer;
                    }
                }
                Ok(None) => return answer,
                Err(error) => {
                    answer.cut = Some(format!("the body ended early: {}", self.explain(&error)));
                    return answer;
                }
            }
        }
    }

    /// The problem in words, without the address, which may contain a secret.
    fn explain(&self, error: &reqwest::Error) -> Failure {
        if error.is_timeout() {
            let what = if error.is_connect() { "no connection" } else { "no whole answer" };
            return Failure(format!(
                "{what} within {} seconds",
                self.total.min(if error.is_connect() { CONNECT } else { self.total }).as_secs()
            ));
        }
        let mut cause: &dyn StdError = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let cause = if error.source().is_some() { cause.to_string() } else { "the request failed".to_owned() };
        Failure(if error.is_connect() { format!("cannot connect: {cause}") } else { cause })
    }

    fn build(&self, trusting: bool) -> anyhow::Result<reqwest::Client> {
        let allowed = (!trusting).then(|| Arc::clone(&self.allowed));
        let resolver = Checked { allowed, lookup: Arc::clone(&self.lookup) };
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls(true)?)
            .dns_resolver(Arc::new(resolver))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(0)
            .http1_only()
            .http1_max_headers(MAX_FIELDS)
            .build()
            .context("cannot create the HTTP client")
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

fn is_local(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// The TLS configuration, with the authorities that the machine trusts, or with none.
///
/// # Errors
/// When the library supports no safe TLS version.
pub fn tls(trusting: bool) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if trusting {
        let found = rustls_native_certs::load_native_certs();
        let (known, _) = roots.add_parsable_certificates(found.certs);
        if known == 0 {
            tracing::warn!(
                "this machine trusts no certificate authority, so https addresses do not work: install ca-certificates"
            );
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// The error for a name that cannot be called, the same for every reason. The person who entered the name may not know
/// the server's own network: they must not learn from errors which names its DNS knows, and to which addresses these
/// lead. The reason is only logged.
fn unreachable_name(name: &str, why: &dyn std::fmt::Display) -> Box<dyn StdError + Send + Sync> {
    tracing::warn!(name, why = why.to_string(), "a host name cannot be called");
    anyhow!(
        "{name} is unknown, or leads to an address that this server isn't allowed to connect to. An administrator finds \
         the reason in the server's log"
    )
    .into()
}

/// Looks up names and passes only those all of whose addresses are allowed.
struct Checked {
    /// What is allowed, or everything.
    allowed: Option<Arc<Allowed>>,
    lookup: Lookup,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let allowed = self.allowed.clone();
        let looking = (self.lookup)(name.clone());
        Box::pin(async move {
            let found = looking.await.map_err(|error| unreachable_name(&name, &error))?;
            if found.is_empty() {
                return Err(unreachable_name(&name, &"it has no address"));
            }
            if let Some(allowed) = allowed
                && !allowed.host(&name)
                && let Some(why) = found.iter().find_map(|address| allowed.refusal(*address))
            {
                return Err(unreachable_name(&name, &why));
            }
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
