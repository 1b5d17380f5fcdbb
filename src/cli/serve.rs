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
use crate::server::Server;
use crate::state::App;
use crate::telemetry;
use anyhow::{Context, Result};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the server until it is told to stop.
///
/// # Errors
/// The error says why the server cannot start.
pub(super) fn run(config: Config) -> Result<ExitCode> {
    actix_web::rt::System::new().block_on(serve(config))
}

async fn serve(config: Config) -> Result<ExitCode> {
    // Handle signals before anything else: one that arrives during the start must also stop the server cleanly.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Closing the terminal stops the server as cleanly as the other signals.
    let mut hangup = signal(SignalKind::hangup())?;
    let opening = Instance::open(config, true, Clock::system());
    let mut instance = tokio::select! {
        opened = opening => opened?,
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
        _ = hangup.recv() => return Ok(ExitCode::SUCCESS),
    };
    if let Some(app) = Arc::get_mut(&mut instance.app) {
        app.metrics = telemetry::metrics();
    }
    let app = Arc::clone(&instance.app);
    app.passwords.warm().map_err(explain)?;
    first_administrator(&app, &instance.database.data_dir).await?;
    let server = Server::bind(&app)?;
    say(&format!("Packhouse {} listens on http://{}", env!("CARGO_PKG_VERSION"), server.address()))?;
    let handle = server.handle();
    let draining = Arc::clone(&app);
    actix_web::rt::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {}, _ = hangup.recv() => {} }
        tracing::info!("stopping: running transfers may finish; a second signal cuts them off");
        draining.start_draining();
        let stopped = handle.stop(true);
        tokio::select! {
            () = stopped => {}
            _ = terminate.recv() => handle.stop(false).await,
            _ = interrupt.recv() => handle.stop(false).await,
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
        say(&format!(
            "\n  First start: the administrator is {user} with the password\n\n      {}\n\n  The password is stored in \
             {} until you delete that file.\n",
            password.reveal(),
            file.display()
        ))?;
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
