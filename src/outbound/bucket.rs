//! The HTTP client of an object store. The configuration names the store's address, so it may be anywhere, and
//! connections are kept for the next request.

use super::{CONNECT, Checked, Lookup, is_local, system_lookup, tls};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientOptions, Result};
use reqwest::{Method, redirect};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The slowest rate at which a store may take a body, in bytes per second.
const LEAST_BYTES_PER_SECOND: u64 = 128 << 10;
/// How long completing a multipart upload may take: many stores first put all parts together.
pub const COMPLETION: Duration = Duration::from_secs(600);
/// How long an unused connection is kept. AWS closes its connections after 20 s.
const KEEP_IDLE: Duration = Duration::from_secs(15);

/// The client, which makes an [`HttpClient`] for the crate `object_store`.
#[derive(Debug, Clone)]
pub struct BucketClient {
    client: reqwest::Client,
    patience: Duration,
}

impl BucketClient {
    /// A client that waits so long for an answer to begin, plus the time that the body of the request needs.
    ///
    /// # Errors
    /// When the library supports no safe TLS version.
    pub fn new(patience: Duration, uses_tls: bool) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(uses_tls)?)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("packhouse/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT.min(patience))
            .pool_idle_timeout(KEEP_IDLE)
            .dns_resolver(Arc::new(Checked { allowed: None, lookup: lookup() }))
            .build()?;
        Ok(Self { client, patience })
    }

    /// The client in the form that `object_store` takes.
    pub fn http(&self) -> HttpClient {
        HttpClient::new(self.clone())
    }
}

/// The machine's own name lookup, with names below `localhost` as this machine (RFC 6761 section 6.3), which many machines
/// don't know: a store on the same machine may have its buckets there.
fn lookup() -> Lookup {
    let system = system_lookup();
    Arc::new(move |name| match is_local(&name) {
        true => Box::pin(async { Ok(vec![IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)]) }),
        false => system(name),
    })
}

impl HttpConnector for BucketClient {
    fn connect(&self, _: &ClientOptions) -> Result<HttpClient> {
        Ok(self.http())
    }
}

type Answering<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for BucketClient {
    fn call<'life0, 'async_trait>(&'life0 self, request: HttpRequest) -> Answering<'async_trait>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        let seconds = request.body().content_length() as u64 / LEAST_BYTES_PER_SECOND;
        let mut limit = self.patience.saturating_add(Duration::from_secs(seconds));
        if request.method() == Method::POST && request.uri().query().is_some_and(|query| query.contains("uploadId=")) {
            limit = COMPLETION.max(limit);
        }
        Box::pin(async move {
            let answer = tokio::time::timeout(limit, self.client.call(request));
            answer.await.unwrap_or_else(|late| Err(HttpError::new(HttpErrorKind::Timeout, late)))
        })
    }
}
