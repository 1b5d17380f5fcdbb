//! What needs an administrator's attention, the worst first.

use super::{mail as mail_page, system};
use crate::auth::call::Call;
use crate::db::{Connection, SchemaState, schema_state};
use crate::domain::address::{HookPages, admin_user};
use crate::domain::clock::Timestamp;
use crate::domain::role::OwnerKind;
use crate::error::Result;
use crate::http::recent::Failure;
use crate::jobs::task_status::Task;
use crate::registry::accounts::expiring_tokens::{self, ExpiringToken};
use crate::registry::accounts::passkeys::use_of;
use crate::registry::caller::Caller;
use crate::registry::mail;
use crate::registry::operations::backups::{self, LastBackup};
use crate::registry::operations::damage;
use crate::registry::webhooks::failing::{self, FailingHooks};
use crate::state::health::Check;
use crate::web::format::{Bytes, Count, When};
use crate::web::problems::sentence;
use std::time::Duration;

/// The most owners with failing webhooks that are named.
const FAILING_SHOWN: i64 = 5;
/// The most expiring tokens that are named.
const EXPIRING_SHOWN: i64 = 5;
/// A disk that lasts fewer days than this needs attention, and soon.
const FEW_DAYS: i64 = 30;
const VERY_FEW_DAYS: i64 = 7;
/// How long administrators are told of a passkey that may have been copied.
const COPIES_SHOWN_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Something that needs attention.
#[derive(Debug, Clone, Default)]
pub(super) struct Concern {
    /// The kind, for the class of the entry.
    pub kind: &'static str,
    /// Whether something is broken already.
    pub is_bad: bool,
    pub icon: &'static str,
    /// What it is. This is a link if there is an address.
    pub text: String,
    pub href: String,
    /// What to do, or the reason.
    pub advice: String,
    /// The single things it is about.
    pub lines: Vec<String>,
}

impl Concern {
    /// The id of the entry, for kinds that occur once.
    pub(super) fn id(&self) -> Option<&'static str> {
        let may_repeat = matches!(self.kind, "failed-job" | "failing-hooks" | "unhealthy");
        (!may_repeat).then_some(self.kind)
    }
}

/// Facts of the database that may need attention.
pub(super) struct Facts {
    damaged: i64,
    failing: Vec<FailingHooks>,
    expiring: Vec<ExpiringToken>,
    pub backup: Option<LastBackup>,
    schema: SchemaState,
    failed_mail: i64,
    /// How often a passkey was refused recently because it may have been copied.
    copied_passkeys: i64,
}

impl Facts {
    pub(super) fn read(conn: &mut Connection, caller: &Caller, now: Timestamp) -> Result<Self> {
        Ok(Self {
            damaged: damage::count(conn)?,
            failing: failing::list(conn, caller, FAILING_SHOWN)?,
            expiring: expiring_tokens::list(conn, caller, now, EXPIRING_SHOWN)?,
            backup: backups::last(conn)?,
            schema: schema_state(conn)?,
            failed_mail: mail::log::count(conn)?.failed,
            copied_passkeys: use_of::copies_since(conn, now.minus(COPIES_SHOWN_FOR))?,
        })
    }
}

/// Facts from elsewhere that may need attention.
pub(super) struct Surroundings<'a> {
    pub health: &'a [Check],
    pub failures: &'a [Failure],
    /// Accounts that wait for approval.
    pub inactive: i64,
    /// Whether anything is stored that a backup would keep.
    pub has_files: bool,
    pub free: Option<Bytes>,
    pub days_left: Option<i64>,
}

/// Everything that needs attention, the worst first.
pub(super) fn concerns(call: &Call, facts: &Facts, around: &Surroundings<'_>) -> Vec<Concern> {
    let now = call.app.clock.now();
    let mut all: Vec<Concern> = Vec::new();
    all.extend(around.health.iter().filter_map(unhealthy));
    all.extend(disk(around));
    all.extend(damaged(facts.damaged));
    all.extend(schema(&facts.schema));
    all.extend(Task::ALL.into_iter().filter_map(|task| failed_job(call, task)));
    all.extend(facts.failing.iter().map(failing_hooks));
    all.extend(copied_passkeys(facts.copied_passkeys));
    all.extend(failed_mail(facts.failed_mail));
    all.extend(errors(around.failures));
    all.extend(backup(facts.backup, call.app.config.backup_patience(), around.has_files, now));
    all.extend(expiring(&facts.expiring, now));
    all.extend(waiting(around.inactive));
    all.sort_by_key(|concern| !concern.is_bad);
    all
}

fn unhealthy(check: &Check) -> Option<Concern> {
    let problem = check.problem.as_ref()?;
    let name = match check.name {
        "database" => "The database has a problem",
        "store" => "The storage has a problem",
        _ => "This server accepts no requests",
    };
    let (text, advice) = (name.to_owned(), sentence("", problem));
    Some(Concern { kind: "unhealthy", is_bad: true, icon: "circle-x", text, advice, ..Concern::default() })
}

fn disk(around: &Surroundings<'_>) -> Option<Concern> {
    let days = around.days_left.filter(|days| *days < FEW_DAYS)?;
    let text = match days {
        0 => "The disk will be full within a day".to_owned(),
        days => format!("The disk will be full in about {}", Count(days).of("day")),
    };
    let free = around.free.map(|free| format!("{free} is free. ")).unwrap_or_default();
    let advice = format!("{free}Free some space, or set quotas and retention rules.");
    let is_bad = days < VERY_FEW_DAYS;
    Some(Concern {
        kind: "disk",
        is_bad,
        icon: "hard-drive",
        text,
        href: "#growth".to_owned(),
        advice,
        lines: Vec::new(),
    })
}

fn damaged(blobs: i64) -> Option<Concern> {
    let are = if blobs == 1 { "is" } else { "are" };
    let text = format!("{} {are} damaged", Count(blobs).of("stored file"));
    let href = "/-/admin/system#damaged-files".to_owned();
    let advice = "Upload the original again, or restore it from a backup.".to_owned();
    let concern = Concern { kind: "damaged", is_bad: true, icon: "circle-x", text, href, advice, lines: Vec::new() };
    (blobs > 0).then_some(concern)
}

fn schema(state: &SchemaState) -> Option<Concern> {
    let (text, advice) = if state.unknown > 0 {
        let text = "A newer version of Packhouse has changed the database".to_owned();
        (text, "Update this server to the same version.")
    } else if state.pending > 0 {
        let pending = i64::try_from(state.pending).unwrap_or(i64::MAX);
        (format!("The database lacks {}", Count(pending).of("migration")), "Restart this server to apply them.")
    } else {
        return None;
    };
    let (href, advice) = ("/-/admin/system#parts".to_owned(), advice.to_owned());
    Some(Concern { kind: "schema", is_bad: true, icon: "triangle-alert", text, href, advice, lines: Vec::new() })
}

fn failed_job(call: &Call, task: Task) -> Option<Concern> {
    let last = call.app.tasks.status(task).last.filter(|last| !last.is_good)?;
    let when = When { at: last.at, now: call.app.clock.now() };
    let (text, href) =
        (format!("{} needs attention", system::words(task).0), format!("/-/admin/system#task-{}", task.as_str()));
    let advice = format!("{}: {}", when.relative(), last.outcome);
    Some(Concern { kind: "failed-job", is_bad: true, icon: "circle-x", text, href, advice, lines: Vec::new() })
}

fn failing_hooks(failing: &FailingHooks) -> Concern {
    // An administrator can open the webhooks of an organization, but not those of another user.
    let href = match failing.kind {
        OwnerKind::Organization => HookPages::of(Some(&failing.owner)).list().to_owned(),
        OwnerKind::User => admin_user(&failing.owner),
    };
    let fail = if failing.hooks == 1 { "fails" } else { "fail" };
    let text = format!("{} of {} {fail}", Count(failing.hooks).of("webhook"), failing.owner);
    let advice = "The receiver didn't accept the last delivery.".to_owned();
    Concern { kind: "failing-hooks", is_bad: false, icon: "webhook", text, href, advice, lines: Vec::new() }
}

fn errors(failures: &[Failure]) -> Option<Concern> {
    let count = i64::try_from(failures.len()).unwrap_or(i64::MAX);
    let text = format!("{} ended with a server error in the last day", Count(count).of("request"));
    let (href, icon) = ("#errors".to_owned(), "triangle-alert");
    (count > 0).then(|| Concern { kind: "failures", icon, text, href, ..Concern::default() })
}

fn failed_mail(failed: i64) -> Option<Concern> {
    let text = format!("{} could not be sent", Count(failed).of("mail"));
    let (href, icon) = (mail_page::PAGE.to_owned(), "mail");
    let advice = "The page says why. Run packhouse mail test ADDRESS to check the mail server.".to_owned();
    (failed > 0).then(|| Concern { kind: "failed-mail", icon, text, href, advice, ..Concern::default() })
}

fn copied_passkeys(refused: i64) -> Option<Concern> {
    let text = match refused {
        1 => "A passkey that may have been copied was refused in the last week".to_owned(),
        times => format!("Passkeys that may have been copied were refused {times} times in the last week"),
    };
    let href = "/-/admin/audit?event=user.passkey.refuse".to_owned();
    let advice = "Ask their users to remove them, and look at their recent sign-ins.".to_owned();
    (refused > 0).then(|| Concern {
        kind: "copied-passkeys",
        icon: "key-round",
        text,
        href,
        advice,
        ..Concern::default()
    })
}

fn backup(last: Option<LastBackup>, patience: Option<Duration>, has_files: bool, now: Timestamp) -> Option<Concern> {
    let is_old = |last: LastBackup| patience.is_some_and(|patience| last.at < now.minus(patience));
    let (text, is_bad) = match last {
        Some(last) if last.lost > 0 => {
            let lost = i64::try_from(last.lost).unwrap_or(i64::MAX);
            (format!("The last backup lacks {}", Count(lost).of("blob")), true)
        }
        Some(last) if is_old(last) => {
            (format!("The last backup was made {}", When { at: last.at, now }.relative()), false)
        }
        Some(_) => return None,
        None if has_files && patience.is_some() => ("No backup was ever made".to_owned(), false),
        None => return None,
    };
    let advice = if is_bad {
        "The storage has lost them. Run packhouse check --digests to see the files."
    } else {
        "Run packhouse backup. Packhouse doesn't know of backups that other programs make."
    };
    let (href, advice) = ("/docs/operations/backup/".to_owned(), advice.to_owned());
    Some(Concern { kind: "backup", is_bad, icon: "history", text, href, advice, lines: Vec::new() })
}

fn expiring(tokens: &[ExpiringToken], now: Timestamp) -> Option<Concern> {
    let total = tokens.first()?.total;
    let expire = if total == 1 { "expires" } else { "expire" };
    let text = format!("{} {expire} within two weeks", Count(total).of("access token"));
    let line = |token: &ExpiringToken| {
        let used = token.last_used_at.map(|at| When { at, now }.relative());
        let used = used.map_or_else(|| "never used".to_owned(), |used| format!("last used {used}"));
        format!("{} of {} expires {}, {used}", token.name, token.user, When { at: token.expires_at, now }.relative())
    };
    let mut lines: Vec<String> = tokens.iter().map(line).collect();
    let more = total - i64::try_from(tokens.len()).unwrap_or(total);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let advice = "Their users must create new ones.".to_owned();
    Some(Concern { kind: "expiring-tokens", icon: "key-round", text, advice, lines, ..Concern::default() })
}

fn waiting(inactive: i64) -> Option<Concern> {
    let text = format!("{} pending approval", Count(inactive).of("account"));
    let href = "/-/admin/users?standing=inactive".to_owned();
    (inactive > 0).then(|| Concern { kind: "waiting", icon: "user", text, href, ..Concern::default() })
}
