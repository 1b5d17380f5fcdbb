//! Writes the counters in memory to the database.

use crate::counters::Counters;
use crate::db::Db;
use crate::domain::clock::Clock;
use crate::error::Result;
use crate::registry::accounts::tokens::TokenUse;
use crate::registry::accounts::{sessions, tokens};
use crate::registry::packages::downloads::{self, DownloadsOfFile};
use crate::registry::packages::quotas;

/// How many files are counted in one transaction, which must end before the limit of its connection.
const BATCH: usize = 5_000;

/// Writes downloads and uses of tokens and sessions, and folds the changes of owners' usage into their counts. Counts
/// that could not be written stay in memory for the next run.
///
/// # Errors
/// Database errors.
pub async fn run(db: &Db, counters: &Counters, clock: &Clock) -> Result<()> {
    let counts = counters.take_downloads();
    let mut rest = &counts[..];
    while !rest.is_empty() {
        let (batch, more) = rest.split_at(rest.len().min(BATCH));
        let written: Vec<DownloadsOfFile> = batch.iter().map(|(file, all)| (*file, all.count, all.last)).collect();
        let now = clock.now();
        let done = db.write(move |conn| downloads::add(conn, &written, now)).await;
        if let Err(error) = done {
            // After an unknown outcome the counts may already be stored: losing one batch is better than counting it
            // twice.
            let lost = matches!(error, crate::error::Error::OutcomeUnknown);
            counters.put_back_downloads(if lost { more } else { rest });
            return Err(error);
        }
        rest = more;
    }
    let uses: Vec<TokenUse> = counters
        .take_token_uses()
        .into_iter()
        .map(|(token, at, from)| TokenUse { token, at, from: from.map(|ip| ip.to_string()).unwrap_or_default() })
        .collect();
    if !uses.is_empty() {
        db.write(move |conn| tokens::note_uses(conn, &uses)).await?;
    }
    let uses = counters.take_session_uses();
    if !uses.is_empty() {
        db.write(move |conn| sessions::note_uses(conn, &uses)).await?;
    }
    db.write(|conn| quotas::fold(conn).map(drop)).await
}
