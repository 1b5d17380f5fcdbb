//! `packhouse serve`.

use super::terminal::say;
use crate::config::{AdminConfig, Config};
use crate::data_dir::DataDir;
use crate::domain::clock::Clock;
use crate::domain::names::Email;
use crate::domain::role::Visibility;
use crate::domain::secret::Password;
use crate::instance::{Instance, explain};
use crate::registry::accounts::users::{self, NewUser};
use crate::registry::caller::Caller;
use crate::server::{self, Listeners, Server};
use crate::state::App;
use crate::telemetry;
use anyhow::{Context, Result};
use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs the server until it is told to stop.
///
/// # Errors
/// The error says why the server cannot start.
pub(super) fn run(config: Config, file: Option<PathBuf>) -> Result<ExitCode> {
    actix_web::rt::System::new().block_on(serve(config, file))
}

/// The signals that stop the server, or make it read its configuration again.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// The configuration file.
    file: Option<PathBuf>,
}

impl Signals {
    fn new(file: Option<PathBuf>) -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            file,
        })
    }

    /// Waits for the next signal to stop.
    async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    // Closing the terminal of a server in the foreground stops it.
                    if std::io::stderr().is_terminal() {
                        return;
                    }
                    self.read_again();
                }
            }
        }
    }

    /// Reads the configuration again and applies what can be applied to a running server.
    fn read_again(&self) {
        match Config::load(self.file.as_deref()) {
            Ok(config) => {
                telemetry::set_log_level(&config.log.level);
                tracing::info!(
                    level = config.log.level,
                    "SIGHUP: read log.level again; the other settings need a restart"
                );
            }
            Err(error) => tracing::warn!(%error, "SIGHUP: the configuration is invalid now, so nothing was changed"),
        }
    }
}

async fn serve(config: Config, file: Option<PathBuf>) -> Result<ExitCode> {
    // Handle signals before anything else: one that arrives during the start must also stop the server cleanly.
    let mut signals = Signals::new(file)?;
    // An address in use is an error before anything is created. Until the database answers, so does a small server: a
    // probe must be able to tell a server that waits from one that is dead.
    let listeners = Listeners::bind(&config.listen)?;
    let address = listeners.shown().clone();
    let waiting = server::starting::serve(&listeners, config.public_url.as_ref())?;
    let (lame_duck, opening) =
        (Duration::from_secs(config.limits.lame_duck_seconds), Instance::open(config, true, Clock::system()));
    let mut instance = tokio::select! {
        opened = opening => opened?,
        () = signals.stop() => return Ok(ExitCode::SUCCESS),
    };
    if let Some(app) = Arc::get_mut(&mut instance.app) {
        app.metrics = telemetry::metrics();
        app.lost_log_lines = telemetry::lost_log_lines;
    }
    let app = Arc::clone(&instance.app);
    app.passwords.warm().map_err(explain)?;
    first_administrator(&app, &instance.database.data_dir).await?;
    let server = Server::new(&app, listeners)?;
    // New connections wait in the kernel until the real server accepts them.
    waiting.stop(true).await;
    // Nobody may be reading this; the server runs all the same.
    let _ = say(&format!("Packhouse {} listens on http://{address}", env!("CARGO_PKG_VERSION")));
    let handle = server.handle();
    let draining = Arc::clone(&app);
    actix_web::rt::spawn(async move {
        signals.stop().await;
        draining.start_draining();
        if !lame_duck.is_zero() {
            tracing::info!(seconds = lame_duck.as_secs(), "stopping soon: not ready, but still accepting connections");
            tokio::select! { () = tokio::time::sleep(lame_duck) => {}, () = signals.stop() => {} }
        }
        tracing::info!("stopping: running transfers may finish; a second signal cuts them off");
        let stopped = handle.stop(true);
        tokio::select! {
            () = stopped => {}
            () = signals.stop() => handle.stop(false).await,
        }
    });
    let ended = server.run(app).await;
    let Instance { app, database } = instance;
    drop(app);
    tokio::task::spawn_blocking(move || database.close()).await?;
    ended.map(|()| ExitCode::SUCCESS)
}

/// Creates the first administrator if there is no user at all.
async fn first_administrator(app: &Arc<App>, data_dir: &DataDir) -> Result<()> {
    if app.db.read(users::any).await.map_err(explain)? {
        return Ok(());
    }
    let AdminConfig { user, password } = &app.config.admin;
    let given = !password.is_empty();
    let password = if given { Password::new(password.reveal()) } else { Password::generate() };
    let name = user.parse().with_context(|| format!("admin.user: {user:?} is not a valid user name"))?;
    let email: Email = format!("{user}@localhost.localdomain").parse()?;
    password.check_new(&[user]).context("admin.password")?;
    let file = data_dir.initial_admin_password();
    if !given {
        // Write the file before the user: after a crash in between, the password belongs to nobody, and the next start
        // writes another.
        keep(&file, &password).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let new = NewUser {
        name,
        full_name: String::new(),
        email,
        password_hash: Some(app.passwords.hash(password.clone()).await.map_err(explain)?),
        visibility: Visibility::Public,
        is_admin: true,
        must_change_password: false,
    };
    let now = app.clock.now();
    let made = app.db.write(move |conn| {
        users::lock_first(conn)?;
        if users::any(conn)? {
            return Ok(false);
        }
        users::create(conn, &Caller::command_line(), &new, now).map(|_| true)
    });
    if !made.await.map_err(explain)? {
        // Another server of this database was faster; its administrator has its password.
        if !given {
            std::fs::remove_file(&file)?;
        }
        return Ok(());
    }
    if !given {
        // The file has it too, if nobody reads this.
        let _ = say(&format!(
            "\n  First start: the administrator is {user} with the password\n\n      {}\n\n  The password is stored in \
             {} until you delete that file.\n",
            password.reveal(),
            file.display()
        ));
    }
    Ok(())
}

fn keep(file: &Path, password: &Password) -> std::io::Result<()> {
    if let Err(error) = std::fs::remove_file(file)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{}", password.reveal())?;
    file.sync_all()
}
