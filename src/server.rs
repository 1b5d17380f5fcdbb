//! The HTTP server: its routes, its limits and its shutdown.

mod background;
mod listen;
pub mod starting;

use crate::db::coherence::ServerIdentity;
use crate::http::accept::prefers_page;
use crate::http::connections::Connections;
use crate::http::gate::{Gate, one_at_a_time};
use crate::http::middleware::{Guard, guard};
use crate::jobs::flush_counts;
use crate::routes;
use crate::serve::hot::HotDownloads;
use crate::state::App;
use crate::web::{assets, error as web_error};
use actix_http::HttpService;
use actix_http::error::DispatchError;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use anyhow::{Context, Result};
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

pub use listen::Listeners;

/// A request whose headers take longer than this gets 408.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// How long the rest of a refused upload is read and discarded, so that the client sees the answer.
const LINGER: Duration = Duration::from_secs(5);
/// How long an idle connection is kept: longer than the one minute that proxies keep theirs.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Threads per worker for file access. The database has its own threads.
const FILE_THREADS: usize = 32;

/// A listening server.
pub struct Server {
    inner: actix_web::dev::Server,
    address: SocketAddr,
}

impl Server {
    /// A server on its listeners; nothing is answered until [`Server::run`].
    ///
    /// # Errors
    /// When its files cannot be unpacked.
    pub fn new(app: &Arc<App>, listeners: Listeners) -> Result<Self> {
        let config = &app.config;
        let listeners: Vec<_> = listeners.into_iter().collect();
        let address = listeners.first().context("there is no address to listen on")?.local_addr()?;
        let limits = &config.limits;
        let connections = Connections::new(
            limits.connections,
            limits.connections_per_address,
            config.trusted_proxies.clone(),
            Duration::from_secs(limits.download_stall_seconds),
            HEAD_DEADLINE,
        );
        let shared = web::Data::new(Arc::clone(app));
        let counted = web::Data::from(Arc::clone(&connections));
        let recent = web::Data::from(Arc::clone(&app.recent));
        let drained = Arc::clone(app);
        let guarded = web::Data::new(Guard {
            connections: Arc::clone(&connections),
            draining: Arc::new(move || drained.is_draining()),
            root: config.public_root().unwrap_or_default().into(),
            base: config.base_path().clone(),
        });
        let assets_dir = assets::unpack(&config.data_dir)?;
        let shortcut = HotDownloads::shortcut(app, routes::DOWNLOAD);
        let document = web::Data::new(routes::document(config.public_url.as_ref()));
        let mut server = actix_server::Server::build()
            .worker_max_blocking_threads(FILE_THREADS)
            .shutdown_timeout(limits.drain_seconds)
            .disable_signals();
        if config.workers > 0 {
            server = server.workers(config.workers);
        }
        let draining = server.graceful_shutdown_signal();
        let factory = move || {
            let app = actix_web::App::new()
                .app_data(shared.clone())
                .app_data(counted.clone())
                .app_data(guarded.clone())
                .app_data(recent.clone())
                .wrap(from_fn(guard))
                .app_data(document.clone())
                .configure(|config| routes::configure(config, &assets_dir))
                .default_service(web::to(unknown));
            let handlers = map_config(one_at_a_time(app.into_factory()), |()| AppConfig::default());
            let draining = draining.clone();
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let draining = draining.clone();
                    async move { draining.notified().await }
                })
                .keep_alive(KEEP_ALIVE)
                // The gate has a deadline for every header section.
                .client_request_timeout(Duration::ZERO)
                .client_disconnect_timeout(LINGER)
                .on_connect_ext(|gate: &Gate<TcpStream>, data| {
                    data.insert(gate.exchange());
                })
                .h1(handlers);
            let (connections, shortcut) = (Arc::clone(&connections), shortcut.clone());
            fn_service(move |stream: TcpStream| {
                let gate =
                    stream.peer_addr().map(|peer| (connections.open_gate(stream, peer.ip(), &shortcut), Some(peer)));
                ready(gate.map_err(DispatchError::Io))
            })
            .and_then(http)
        };
        for listener in listeners {
            server = server.listen("packhouse", listener, factory.clone())?;
        }
        Ok(Self { inner: server.run(), address })
    }

    /// The first address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A handle that stops the server from elsewhere.
    pub fn handle(&self) -> actix_web::dev::ServerHandle {
        self.inner.handle()
    }

    /// Serves until the server is stopped, and runs its background work.
    ///
    /// # Errors
    /// Listener errors.
    pub async fn run(self, app: Arc<App>) -> Result<()> {
        let identity = ServerIdentity {
            id: i64::from(rand::random::<u32>()),
            address: address_for_others(self.address),
            remembers: app.downloads.is_on(),
        };
        app.db.join_servers(identity)?;
        let jobs = background::start(&app);
        let ended = self.inner.await;
        for job in jobs {
            job.abort();
        }
        if let Err(error) = flush_counts::run(&app.db, &app.counters, &app.clock).await {
            tracing::warn!(%error, "could not write the last counters to the database");
        }
        app.db.leave_servers().await;
        Ok(ended?)
    }
}

/// The address of a server for the list of servers. All machines have the same unspecified address.
fn address_for_others(address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return address.to_string();
    }
    let system = rustix::system::uname();
    format!("{}:{}", system.nodename().to_string_lossy(), address.port())
}

/// Nothing is at this address; the answer uses the client's error format.
async fn unknown(req: HttpRequest, app: web::Data<Arc<App>>) -> HttpResponse {
    if prefers_page(req.headers()) && !req.path().starts_with("/api/") {
        return web_error::unknown(&req, &app).await;
    }
    routes::nothing(&req)
}
