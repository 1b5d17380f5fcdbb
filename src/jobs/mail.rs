//! Sends mail: takes it from the outbox, writes its text, and gives it to the SMTP server.

mod letter;

pub use letter::{Letter, test_letter, write};

use super::run_span;
use crate::db::Db;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::secret::MasterKey;
use crate::error::{Error, Result};
use crate::mailer::{Failure, Mailer, Outgoing};
use crate::registry::accounts::{email_links, password_reset};
use crate::registry::mail::queue::{self, LeasedMail, Outcome};
use crate::registry::mail::{alerts, log};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::Instrument;

/// How many mails are sent at once.
const SLOTS: usize = 4;
/// How long to wait when the SMTP server takes no mail at all.
const AWAY: Duration = Duration::from_secs(30);

/// Everything that is needed to send.
#[derive(Clone)]
pub struct MailSender {
    pub db: Db,
    pub mailer: Arc<Mailer>,
    pub clock: Clock,
    pub key: MasterKey,
    /// The site's own address, for links.
    pub root: String,
}

impl Letter {
    /// The letter as a message.
    pub fn to_message(&self, to: &str, id: String, at: Timestamp) -> Outgoing {
        Outgoing { to: to.to_owned(), subject: self.subject.clone(), text: self.text(), html: self.html(), id, at }
    }
}

impl MailSender {
    /// Answers the requests to reset a password.
    async fn resolve(&self) -> Result<()> {
        loop {
            let (key, now) = (self.key.clone(), self.clock.now());
            if !self.db.write(move |conn| password_reset::resolve(conn, &key, now)).await? {
                return Ok(());
            }
        }
    }

    async fn take(&self) -> Result<Option<LeasedMail>> {
        let (key, server, now) = (self.key.clone(), self.db.server_id(), self.clock.now());
        self.db.write(move |conn| queue::take(conn, (&key, server), now)).await
    }

    /// Sends everything that is due now. False if the server or the database is away: trying at once would not help.
    pub async fn run(&self) -> bool {
        let done = self.run_once().instrument(run_span("mail")).await;
        done.unwrap_or_else(|error| {
            let error = format!("{:#}", error.explained());
            tracing::warn!(error, "could not take mail from the outbox; trying again later");
            false
        })
    }

    async fn run_once(&self) -> Result<bool> {
        let now = self.clock.now();
        if !self.db.read(move |conn| queue::is_busy(conn, now)).await? {
            return Ok(true);
        }
        self.resolve().await?;
        self.db.write(move |conn| queue::give_up_late(conn, now)).await?;
        let (mut under_way, mut is_away) = (JoinSet::new(), false);
        loop {
            while under_way.len() < SLOTS && !is_away {
                let Some(leased) = self.take().await? else { break };
                let sender = self.clone();
                under_way.spawn(async move { sender.deliver(leased).await }.in_current_span());
            }
            match under_way.join_next().await {
                Some(works) => is_away |= !works.unwrap_or(false),
                None => return Ok(!is_away),
            }
        }
    }

    /// Sends forever, each time the period is over. Canceling it may cut a message, which another server or the next
    /// start sends again.
    pub async fn serve(&self, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.run().await {
                tokio::time::sleep(AWAY).await;
            }
        }
    }

    /// Sends a mail and records the result. False if the server takes no mail.
    async fn deliver(&self, leased: LeasedMail) -> bool {
        let (outcome, works) = match self.send(&leased).await {
            Ok(Ok(_)) => (Outcome::Sent, true),
            Ok(Err(failure)) if failure.is_final => (Outcome::Never(failure.to_string()), true),
            Ok(Err(failure)) => (Outcome::Later(failure.to_string()), !failure.is_server),
            Err(error) => {
                tracing::error!(?error, mail = leased.id.0, "could not read a mail of the outbox");
                (Outcome::Never("this server cannot read the mail: is the secret key another one?".to_owned()), true)
            }
        };
        if let Outcome::Later(problem) | Outcome::Never(problem) = &outcome {
            tracing::warn!(mail = leased.id.0, problem, "could not send a mail");
        }
        let (clock, id, is_sent) = (self.clock.clone(), leased.id, outcome == Outcome::Sent);
        let settled = self.db.write(move |conn| queue::settle(conn, &leased, &outcome, clock.now())).await;
        let kind = match settled {
            _ if is_sent => "sent",
            Ok(true) => "failed",
            _ => "retried",
        };
        metrics::counter!("packhouse_mail_attempts_total", "outcome" => kind).increment(1);
        if let Err(error) = settled {
            // The lease ends by itself, and the mail is sent once more under the same Message-ID.
            tracing::warn!(%error, mail = id.0, "could not record whether a mail was sent");
        }
        works
    }

    async fn send(&self, leased: &LeasedMail) -> Result<std::result::Result<String, Failure>> {
        let (facts, code) = leased.content.as_ref().map_err(|error| Error::internal(anyhow::anyhow!("{error:?}")))?;
        let code = code.as_ref().map(|code| code.reveal());
        let letter = write(facts, &leased.user, code, (&self.root, leased.created_at));
        let id = format!("packhouse-{}-{}", leased.id, leased.created_at.micros());
        Ok(self.mailer.send(&letter.to_message(&leased.recipient, id, leased.created_at)).await)
    }
}

/// Writes the notices about tokens that expire soon.
///
/// # Errors
/// Database errors.
pub async fn announce_expiring(db: &Db, clock: &Clock) -> Result<usize> {
    let now = clock.now();
    db.write(move |conn| alerts::announce_expiring(conn, now)).await
}

/// Deletes old links, and mail that was given up long ago.
///
/// # Errors
/// Database errors.
pub async fn forget(db: &Db, clock: &Clock) -> Result<()> {
    let now = clock.now();
    db.write(move |conn| {
        queue::forget_old(conn, now)?;
        email_links::forget_old(conn, now).map(drop)
    })
    .await
}

/// How much mail was not sent yet, for metrics.
///
/// # Errors
/// Database errors.
pub async fn count(db: &Db) -> Result<log::Queued> {
    db.read(log::count).await
}
