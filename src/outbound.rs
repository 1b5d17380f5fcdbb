//! Requests that this server makes to others, by one client: to the public Internet alone unless settings open more, to
//! the very addresses that were checked, and with an end to everything.
//!
//! A name is looked up once for each request. All addresses it has must be allowed, and the connection goes to one of
//! them: a name that means something else a moment later gains nothing. No redirect is followed, no proxy of the
//! environment is used, no cookie and no connection is kept.

use crate::domain::network::{Network, special};
use anyhow::{Context, anyhow};
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, oneshot};

/// How long a connection may take, name and TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// Most bytes that are read of an answer's body.
pub const MAX_BODY: usize = 16 << 10;
/// Most bytes of an answer's head that are kept.
pub const MAX_HEAD: usize = 8 << 10;
/// Most fields in an answer's head.
const MAX_FIELDS: usize = 100;

/// Where requests may go beside the public Internet.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// Addresses, whatever name leads to them.
    pub networks: Vec<Network>,
    /// Names, whatever they lead to; `*.example.org` stands for all below that one.
    pub hosts: Vec<String>,
}

impl Allowed {
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
        (!allowed)
            .then(|| format!("{address} is {kind}, which this server may not reach: see webhooks.allowed_networks"))
    }
}

/// Finds the addresses of a name.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The machine's own way to look names up. On a thread of its own, which nobody waits for at the end: the C library
/// gives no way to stop it.
fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let (done, found) = oneshot::channel();
            let look = move || {
                let addresses = (name.as_str(), 0).to_socket_addrs();
                // Whoever asked may have gone.
                let _ = done.send(addresses.map(|all| all.map(|address| address.ip()).collect()));
            };
            std::thread::Builder::new().name("name lookup".to_owned()).spawn(look)?;
            found.await.unwrap_or_else(|_| Err(std::io::Error::other("the lookup ended without an answer")))
        })
    })
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Names and values of the head, as far as they are kept.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body.
    pub body: Vec<u8>,
    /// Why the body is not whole, if it is not.
    pub cut: Option<String>,
}

/// Why nothing came back, in words for who asked for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

/// The client.
pub struct Outbound {
    allowed: Arc<Allowed>,
    lookup: Lookup,
    total: Duration,
    client: OnceCell<reqwest::Client>,
}

impl Outbound {
    /// One that waits so long for a whole answer.
    pub fn new(allowed: Allowed, total: Duration) -> Self {
        Self::with_lookup(allowed, total, system_lookup())
    }

    /// The same with another way to look names up.
    pub fn with_lookup(allowed: Allowed, total: Duration, lookup: Lookup) -> Self {
        Self { allowed: Arc::new(allowed), lookup, total, client: OnceCell::new() }
    }

    /// Judges an address before anything is sent there, as far as that can be told without looking its name up.
    ///
    /// # Errors
    /// [`Failure`] with the reason.
    pub fn check(&self, url: &str) -> Result<(), Failure> {
        self.parse(url).map(drop)
    }

    fn parse(&self, url: &str) -> Result<reqwest::Url, Failure> {
        let url = reqwest::Url::parse(url).map_err(|error| Failure(format!("the address cannot be read: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Failure("only http and https addresses are called".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Failure("an address with a user or a password in it is not called".to_owned()));
        }
        // However it was written, an address of numbers has become one here.
        let host = url.host_str().unwrap_or_default();
        let number = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        match number {
            Some(address) => self.allowed.refusal(address).map_or(Ok(url), |why| Err(Failure(why))),
            // Never asked of anybody: it is this machine (RFC 6761).
            None if is_local(host) && !self.allowed.host(host) && self.allowed.networks.is_empty() => {
                Err(Failure(format!("{host} is this server itself, which it may not call: see webhooks.allowed_hosts")))
            }
            None if host.is_empty() => Err(Failure("the address has no host".to_owned())),
            None => Ok(url),
        }
    }

    /// Posts a body and reads what comes back.
    ///
    /// # Errors
    /// [`Failure`] when the address is refused, or no answer came in time.
    pub async fn post(&self, url: &str, headers: &[(String, String)], body: Vec<u8>) -> Result<Answer, Failure> {
        let url = self.parse(url)?;
        let client = self.client.get_or_try_init(async || self.build()).await;
        let client = client.map_err(|error| Failure(format!("this server cannot call others: {error:#}")))?;
        let mut fields = HeaderMap::new();
        for (name, value) in headers {
            let field = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let (name, value) = field.ok_or_else(|| Failure(format!("the field {name} cannot be sent")))?;
            fields.append(name, value);
        }
        let sent = client.post(url).headers(fields).body(body).timeout(self.total).send();
        let response = sent.await.map_err(|error| self.explain(&error))?;
        Ok(self.read(response).await)
    }

    async fn read(&self, mut response: reqwest::Response) -> Answer {
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
                    let room = MAX_BODY - answer.body.len();
                    answer.body.extend(chunk.iter().take(room));
                    if chunk.len() > room {
                        answer.cut = Some(format!("only the first {MAX_BODY} bytes were read"));
                        return answer;
                    }
                }
                Ok(None) => return answer,
                Err(error) => {
                    answer.cut = Some(format!("the body did not come to its end: {}", self.explain(&error)));
                    return answer;
                }
            }
        }
    }

    /// What went wrong, without the address, which may hold a secret.
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

    fn build(&self) -> anyhow::Result<reqwest::Client> {
        let resolver = Checked { allowed: Arc::clone(&self.allowed), lookup: Arc::clone(&self.lookup) };
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
            .context("the client cannot be made")
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

/// TLS as this program speaks it, with the authorities that the machine trusts, or with none.
///
/// # Errors
/// When the library knows no safe version of it.
pub fn tls(trusting: bool) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if trusting {
        let found = rustls_native_certs::load_native_certs();
        let (known, _) = roots.add_parsable_certificates(found.certs);
        if known == 0 {
            tracing::warn!(
                "this machine trusts no certificate authority: no https address can be called; install ca-certificates"
            );
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Looks names up and lets through only those all of whose addresses are allowed.
struct Checked {
    allowed: Arc<Allowed>,
    lookup: Lookup,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let allowed = Arc::clone(&self.allowed);
        let looking = (self.lookup)(name.clone());
        Box::pin(async move {
            let found = looking.await.map_err(|error| anyhow!("the name {name} cannot be looked up: {error}"))?;
            if found.is_empty() {
                return Err(anyhow!("the name {name} has no address").into());
            }
            if !allowed.host(&name)
                && let Some(why) = found.iter().find_map(|address| allowed.refusal(*address))
            {
                return Err(anyhow!("{name} leads to {why}").into());
            }
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
