//! The state that all handlers and jobs share, created once at the start.

pub mod download_cache;
pub mod health;
mod issuer_keys;
pub mod largest;

use crate::config::Config;
use crate::counters::Counters;
use crate::db::Db;
use crate::domain::clock::Clock;
use crate::domain::quota::Quota;
use crate::domain::secret::MasterKey;
use crate::domain::sign_in::PasswordSignIn;
use crate::error::{Error, Result, What};
use crate::http::body::Pace;
use crate::http::recent::RecentRequests;
use crate::jobs::digests::Turns;
use crate::jobs::mail::MailSender;
use crate::jobs::mail_alerts::AlertPlan;
use crate::jobs::retention::RetentionPlan;
use crate::jobs::scrub::ScrubPlan;
use crate::jobs::sweep::SweepPlan;
use crate::jobs::task_status::TaskStatuses;
use crate::jobs::webhooks::WebhookSender;
use crate::mailer::Mailer;
use crate::oidc::Providers;
use crate::outbound::{Allowed, Outbound};
use crate::password::Passwords;
use crate::registry::accounts::passkeys::relying_party::RelyingParty;
use crate::registry::accounts::ways_in::OpenWays;
use crate::registry::operations::integrity::BlobTotals;
use crate::registry::operations::largest::Largest;
use crate::registry::packages::publish::UploadLimits;
use crate::storage::BlobStore;
use download_cache::DownloadCache;
use issuer_keys::IssuerKeys;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Notify};

/// The server's state, behind an `Arc`.
pub struct App {
    pub config: Config,
    pub db: Db,
    pub store: BlobStore,
    pub clock: Clock,
    pub key: MasterKey,
    pub passwords: Passwords,
    pub counters: Counters,
    /// The client for requests to other servers.
    pub outbound: Arc<Outbound>,
    /// The client of the SMTP server, if one is configured.
    pub mailer: Option<Arc<Mailer>>,
    /// The keys of the issuers that trusted publishers name.
    pub issuers: IssuerKeys,
    /// The OpenID Connect providers that people sign in with.
    pub oidc: Providers,
    pub metrics: Option<PrometheusHandle>,
    /// How many lines of the log were lost.
    pub lost_log_lines: fn() -> u64,
    /// Notified after the upload of a large file, whose other three digests are still to be computed.
    pub digests_wanted: Notify,
    /// Limits how many such digests are computed at once.
    pub digesting: Turns,
    /// The status of the background tasks.
    pub tasks: TaskStatuses,
    /// Downloads that were resolved before.
    pub downloads: DownloadCache,
    /// What this server answered recently.
    pub recent: Arc<RecentRequests>,
    /// The last blob count and its time: counting takes a scan.
    known_blobs: Mutex<Option<(Instant, BlobTotals)>>,
    /// The last figures that take a scan of all files, and their time.
    known_largest: Mutex<Option<(Instant, Largest)>>,
    draining: AtomicBool,
}

/// The limits of a sweep, from the settings.
pub fn sweep_plan(config: &Config) -> SweepPlan {
    SweepPlan {
        grace: config.sweep_grace(),
        stop_files: config.jobs.sweep_stop_files,
        stop_percent: config.jobs.sweep_stop_percent,
        confirmed: false,
    }
}

/// Why something that needs mail is refused.
pub const NO_MAIL: &str = "this server sends no mail (mail.smtp_url is not set)";

/// The id of a command, in leases.
static PROCESS: LazyLock<u64> = LazyLock::new(rand::random);

/// When to tell administrators by mail, from the settings.
pub fn alert_plan(config: &Config) -> AlertPlan {
    AlertPlan { backup_patience: config.backup_patience(), reserve_bytes: config.store.reserve_bytes }
}

impl App {
    pub fn new(config: Config, db: Db, store: BlobStore, clock: Clock, key: MasterKey) -> Self {
        let webhooks = &config.webhooks;
        let (networks, hosts) = (webhooks.allowed_networks.clone(), webhooks.allowed_hosts.clone());
        let allowed = Allowed { networks, hosts, origins: Vec::new() };
        let (issuers, patience) =
            (&config.trusted_publishing.allowed_issuers, config.trusted_publishing.timeout_seconds);
        let issuers = IssuerKeys::new(allowed.clone(), issuers.clone(), Duration::from_secs(patience));
        let oidc = Providers::new(&config.auth.oidc, &allowed);
        let outbound = Arc::new(Outbound::new(allowed, Duration::from_secs(webhooks.timeout_seconds)));
        Self {
            downloads: DownloadCache::new(config.limits.cache_bytes),
            config,
            db,
            store,
            recent: Arc::new(RecentRequests::new(clock.clone())),
            clock,
            key,
            passwords: Passwords::default(),
            counters: Counters::default(),
            outbound,
            mailer: None,
            issuers,
            oidc,
            metrics: None,
            lost_log_lines: || 0,
            digests_wanted: Notify::new(),
            digesting: Turns::default(),
            tasks: TaskStatuses::default(),
            known_blobs: Mutex::default(),
            known_largest: Mutex::default(),
            draining: AtomicBool::new(false),
        }
    }

    /// Marks the server as stopping.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// How this server scrubs, from the settings.
    pub fn scrub_plan(&self) -> ScrubPlan {
        let jobs = &self.config.jobs;
        ScrubPlan {
            every: Duration::from_secs(jobs.scrub_every_days.saturating_mul(24 * 3600)),
            bytes_per_second: jobs.scrub_bytes_per_second,
            now_please: false,
            server: self.server(),
        }
    }

    /// When this server applies expiry and retention rules, from the settings.
    pub fn retention_plan(&self) -> RetentionPlan {
        let every = Duration::from_secs(self.config.jobs.retention_every_seconds);
        RetentionPlan { every, now_please: false, keep: self.config.trash_kept(), server: self.server() }
    }

    /// The id of this server in leases: the same as in the list of servers.
    fn server(&self) -> u64 {
        u64::try_from(self.db.server_id()).ok().filter(|id| *id > 0).unwrap_or(*PROCESS)
    }

    /// The instance's upload limits, from the settings.
    pub fn upload_limits(&self) -> UploadLimits {
        let quota = &self.config.quota;
        UploadLimits {
            file_bytes: self.config.file_limit(),
            quota: Quota::from_settings(quota.versions, quota.bytes, quota.file_bytes),
            trash_kept: self.config.trash_kept(),
        }
    }

    /// How fast a request's body must arrive.
    pub fn pace(&self) -> Pace {
        let limits = &self.config.limits;
        let stall = Duration::from_secs(limits.upload_stall_seconds);
        Pace { stall, least_rate: limits.upload_least_bytes_per_second }
    }

    /// The site as browsers' passkeys know it; `None` where they have none.
    pub fn relying_party(&self) -> Option<RelyingParty> {
        self.config.public_url.as_ref().and_then(RelyingParty::of)
    }

    /// The ways to sign in that the settings leave open.
    pub fn open_ways(&self) -> OpenWays {
        OpenWays {
            passwords: self.config.auth.password_sign_in,
            issuers: self.config.auth.oidc.iter().map(|provider| provider.issuer.clone()).collect(),
            passkeys: self.relying_party().is_some(),
        }
    }

    /// The sender of webhook deliveries.
    pub fn webhook_sender(&self) -> WebhookSender {
        WebhookSender {
            db: self.db.clone(),
            outbound: Arc::clone(&self.outbound),
            clock: self.clock.clone(),
            key: self.key.clone(),
            root: self.url(""),
        }
    }

    /// Whether Packhouse sends mail.
    pub fn sends_mail(&self) -> bool {
        self.config.sends_mail()
    }

    /// Checks that Packhouse sends mail.
    ///
    /// # Errors
    /// [`Error::NotFound`]: no page and no address is about mail otherwise.
    pub fn demand_mail(&self) -> Result<()> {
        if self.sends_mail() { Ok(()) } else { Err(Error::NotFound(What::Page)) }
    }

    /// Whether people choose a password with a link from their mail: only where a password lets everybody in. Otherwise
    /// the link would be a way in beside the providers.
    pub fn offers_password_links(&self) -> bool {
        self.sends_mail() && self.config.auth.password_sign_in == PasswordSignIn::Everybody
    }

    /// Checks that Packhouse [offers links](Self::offers_password_links) to choose a password.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn demand_password_links(&self) -> Result<()> {
        if self.offers_password_links() { Ok(()) } else { Err(Error::NotFound(What::Page)) }
    }

    /// Checks that Packhouse sends mail, for the API.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the setting.
    pub fn allow_mail(&self) -> Result<()> {
        if self.sends_mail() { Ok(()) } else { Err(Error::Forbidden(NO_MAIL.to_owned())) }
    }

    /// The sender of mail, if an SMTP server is configured.
    pub fn mail_sender(&self) -> Option<MailSender> {
        let mailer = Arc::clone(self.mailer.as_ref()?);
        let (db, clock, key) = (self.db.clone(), self.clock.clone(), self.key.clone());
        Some(MailSender { db, mailer, clock, key, root: self.url("") })
    }

    /// Checks that webhooks are enabled on this instance.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the setting.
    pub fn demand_webhooks(&self) -> Result<()> {
        if self.config.webhooks.enabled {
            return Ok(());
        }
        Err(Error::Forbidden("webhooks are turned off on this server (webhooks.enabled)".to_owned()))
    }

    /// An address within the site, with the site's own address in front if it is set.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.config.public_root().unwrap_or_default())
    }

    /// An address within the site as a path of its host: with the base path of the site in front.
    pub fn link(&self, path: impl AsRef<str>) -> String {
        self.config.base_path().link(path)
    }
}
