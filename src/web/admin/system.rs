//! The System page: jobs, health, database, storage and settings.

use crate::auth::call::Call;
use crate::blocking::spawn_blocking;
use crate::config::Setting;
use crate::domain::damage::Damage;
use crate::error::{Error, Result, What};
use crate::jobs::scrub::in_words;
use crate::jobs::task_status::{Task, TaskStatus};
use crate::registry::operations::servers::{self, ServerEntry};
use crate::registry::operations::{damage, scrub, stats, tasks};
use crate::state::App;
use crate::state::health::Check;
use crate::storage::StorePlace;
use crate::web::format::{Bytes, Count, When};
use crate::web::forms::Protected;
use crate::web::login::Nothing;
use crate::web::page::{Frame, Reply, frame};
use askama::Template;

/// The maximum number of damaged blobs on the page.
const DAMAGED_SHOWN: i64 = 100;

/// A row in the list of jobs.
pub(super) struct TaskRow {
    pub word: &'static str,
    pub label: &'static str,
    about: String,
    can_start: bool,
    pub status: TaskStatus,
    pub running: Option<When>,
    ended: Option<When>,
    seconds: u64,
    /// The progress of the current run, if the job knows it.
    pub progress: Option<JobProgress>,
}

/// The progress of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobProgress {
    pub done: Bytes,
    pub total: Bytes,
}

impl JobProgress {
    /// The progress of scrubbing, if a pass is running.
    fn of_scrub(progress: &scrub::Progress, total: i64) -> Option<Self> {
        let runs = progress.began_at.is_some() && progress.finished_at.is_none();
        // Files that were uploaded or removed since change the total.
        let done = i64::try_from(progress.bytes).unwrap_or(i64::MAX).min(total);
        runs.then_some(Self { done: Bytes(done), total: Bytes(total) })
    }

    /// In percent.
    pub(super) fn percent(&self) -> i64 {
        i64::try_from(i128::from(self.done.0) * 100 / i128::from(self.total.0.max(1))).unwrap_or(100)
    }
}

/// The name and description of a job.
pub(super) fn words(task: Task) -> (&'static str, &'static str) {
    match task {
        Task::Sweep => ("Garbage collection", "Removes blobs that no file uses, after a grace period."),
        Task::Check => ("Consistency check", "Compares the database with the storage, without reading files."),
        Task::DeepCheck => (
            "Full verification",
            "Compares the database with the storage and reads all files. Takes about 5 seconds of CPU time per GiB.",
        ),
        Task::Scrub => ("Scrubbing", "Slowly reads all stored files to find damage."),
        Task::Retention => {
            ("Retention", "Moves versions to the trash because they expired or because a retention rule deletes them.")
        }
        Task::Digests => ("Checksums", "Computes SHA-512, SHA-1 and MD5 of large files after their upload."),
        Task::Counts => ("Counters", "Saves download counts and when tokens and sessions were last used."),
    }
}

/// The description of a job, with the settings of this server.
fn about(task: Task, scrub_every_days: u64) -> String {
    let (_, about) = words(task);
    match (task, scrub_every_days) {
        (Task::Scrub, 0) => format!("{about} Runs only when you start it, because jobs.scrub_every_days is 0."),
        (Task::Scrub, 1) => format!("{about} Reads each file once a day (jobs.scrub_every_days)."),
        (Task::Scrub, days) => format!("{about} Reads each file once in {days} days (jobs.scrub_every_days)."),
        _ => about.to_owned(),
    }
}

/// All jobs. The progress of scrubbing is compared with the bytes of all blobs.
pub(super) fn task_rows(app: &App, scrub: &scrub::Progress, blob_bytes: i64) -> Vec<TaskRow> {
    let now = app.clock.now();
    let row = |task: Task| {
        let ((label, _), status) = (words(task), app.tasks.status(task));
        let running = status.running.map(|at| When { at, now });
        TaskRow {
            word: task.as_str(),
            label,
            about: about(task, app.config.jobs.scrub_every_days),
            can_start: task.can_be_asked_for(),
            progress: running.filter(|_| task == Task::Scrub).and_then(|_| JobProgress::of_scrub(scrub, blob_bytes)),
            running,
            ended: status.last.as_ref().map(|last| When { at: last.at, now }),
            seconds: status.last.as_ref().map_or(0, |last| last.at.since(last.began).as_secs()),
            status,
        }
    };
    Task::ALL.into_iter().map(row).collect()
}

#[derive(Template)]
#[template(path = "admin_system.html")]
struct SystemPage {
    frame: Frame,
    tasks: Vec<TaskRow>,
    health: [Check; 3],
    database: stats::Database,
    database_size: Bytes,
    is_private: bool,
    store: String,
    store_id: String,
    free: Option<Bytes>,
    blobs: Count,
    blob_bytes: Bytes,
    servers: Vec<ServerRow>,
    damaged: Vec<DamagedFiles>,
    /// How many there are, if the list doesn't have all of them.
    damaged_total: Option<Count>,
    settings: Vec<Setting>,
}

/// A row in the list of servers.
struct ServerRow {
    server: ServerEntry,
    is_this: bool,
    started: When,
    seen: When,
}

/// A row in the list of damaged blobs.
struct DamagedFiles {
    files: String,
    damage: Damage,
    found: When,
}

/// `GET /-/admin/system`.
pub async fn page(call: Call) -> Result<Reply> {
    let (frame, (database, servers, damaged, damaged_total, scrub)) = frame(&call, |conn, caller| {
        let (database, servers) = (stats::database(conn, caller)?, servers::list(conn, caller)?);
        Ok((database, servers, damage::list(conn, DAMAGED_SHOWN)?, damage::count(conn)?, scrub::progress(conn)?))
    })
    .await?;
    let (app, now) = (&call.app, call.app.clock.now());
    let store = app.store.clone();
    let free = spawn_blocking(move || store.free_space()).await;
    let totals = app.blob_totals().await;
    let damaged = damaged.into_iter().map(|blob| DamagedFiles {
        files: in_words(&blob.files, blob.file_count),
        damage: blob.damage,
        found: When { at: blob.found_at, now },
    });
    let this = app.db.server_id();
    let servers = servers.into_iter().map(|server| ServerRow {
        is_this: server.id == this,
        started: When { at: server.started_at, now },
        seen: When { at: server.seen_at, now },
        server,
    });
    Reply::page(&SystemPage {
        frame,
        servers: servers.collect(),
        damaged_total: (damaged_total > DAMAGED_SHOWN).then_some(Count(damaged_total)),
        damaged: damaged.collect(),
        tasks: task_rows(app, &scrub, totals.map_or(0, |totals| totals.bytes)),
        health: app.health().await,
        database_size: Bytes(database.bytes),
        database,
        is_private: app.config.database.url.is_empty(),
        store: StorePlace::of(&app.config).to_string(),
        store_id: app.store.id().to_string(),
        free: free
            .ok()
            .and_then(Result::ok)
            .flatten()
            .map(|space| Bytes(i64::try_from(space.available).unwrap_or(i64::MAX))),
        blobs: Count(totals.map_or(0, |totals| totals.blobs)),
        blob_bytes: Bytes(totals.map_or(0, |totals| totals.bytes)),
        settings: app.config.settings.clone(),
    })
}

/// `POST /-/admin/system/tasks/{task}`.
pub async fn start(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    form.read(&call).await?;
    let word: String = call.part("task", What::Page).await?;
    let task = Task::of(&word).filter(|task| task.can_be_asked_for()).ok_or(Error::NotFound(What::Page))?;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| tasks::start(conn, caller, task.as_str(), now)).await?;
    let (label, _) = words(task);
    let notice = match call.app.tasks.ask(task) {
        true => format!("{label} started. Reload to see the progress."),
        false => format!("{label} is already running."),
    };
    Ok(Reply::to("/-/admin/system").notice(&call.app, &notice))
}
