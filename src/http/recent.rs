//! What this server answered recently, for the administration: how many requests there were in the last hour, how many
//! of them failed, how fast they were, and the last answers with a server error. It is kept in memory and bounded.

use crate::domain::clock::{Clock, Timestamp};
use crate::domain::request_id::RequestId;
use actix_web::http::{Method, StatusCode};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most failures that are kept: a database that is away for a minute must not fill the memory.
const FAILURES: usize = 100;
/// How long failures are shown.
const DAY: Duration = Duration::from_secs(86_400);
/// The span of the figures, in minutes.
const HOUR: i64 = 60;
/// The most minutes that are kept.
const MINUTES: usize = 120;
/// The most bytes of a path or a cause that are kept.
const MOST_BYTES: usize = 500;
/// Upper bounds of the durations that are told apart, in milliseconds.
const BOUNDS: [u64; 14] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000];

/// An answer with a server error.
#[derive(Debug, Clone)]
pub struct Failure {
    pub at: Timestamp,
    pub id: RequestId,
    pub status: u16,
    pub method: Method,
    /// Without the query, which may contain a secret.
    pub path: String,
    /// The user who sent the request.
    pub actor: Option<String>,
    /// The error with its causes, as in the log.
    pub cause: Option<String>,
}

/// An answer, and the request it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    pub id: &'a RequestId,
    pub status: StatusCode,
    pub method: &'a Method,
    pub path: &'a str,
    pub actor: Option<&'a str>,
    pub cause: Option<&'a str>,
}

/// How long requests took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// At most this many milliseconds.
    Within(u64),
    /// More than this many milliseconds.
    Beyond(u64),
}

/// The requests of the last hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    pub requests: u64,
    /// Those that were answered with a server error.
    pub errors: u64,
    /// How long half of the requests took, from the headers to the end of the answer.
    pub half: Option<Took>,
    /// How long 95% of the requests took.
    pub most: Option<Took>,
}

/// The requests of one minute.
#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    number: i64,
    requests: u64,
    errors: u64,
    /// The requests by their duration; the last place is for those beyond all bounds.
    durations: [u64; BOUNDS.len() + 1],
}

#[derive(Debug, Default)]
struct Kept {
    minutes: VecDeque<Minute>,
    failures: VecDeque<Failure>,
}

/// What the server answered recently.
#[derive(Debug)]
pub struct RecentRequests {
    clock: Clock,
    kept: Mutex<Kept>,
}

fn minute_of(time: Timestamp) -> i64 {
    time.unix().div_euclid(60)
}

/// The beginning of a text that may be long.
fn shortened(text: &str) -> String {
    let mut end = text.len().min(MOST_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let start = text.get(..end).unwrap_or_default();
    if end < text.len() { format!("{start}…") } else { start.to_owned() }
}

impl RecentRequests {
    /// Nothing was answered yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, is_error: bool, took: Duration) {
        let number = minute_of(self.clock.now());
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mut kept = self.kept();
        // A clock that was put back continues the minute it is in.
        if kept.minutes.back().is_none_or(|last| last.number != number) {
            kept.minutes.push_back(Minute { number, ..Minute::default() });
            kept.minutes.retain(|minute| minute.number > number - HOUR && minute.number <= number);
        }
        // A clock that jumps back and forth must not fill the memory.
        if kept.minutes.len() > MINUTES {
            kept.minutes.pop_front();
        }
        let Some(minute) = kept.minutes.back_mut() else { return };
        minute.requests += 1;
        minute.errors += u64::from(is_error);
        // A request of 5.4 ms took 5 whole ones and is not within 5.
        let place = BOUNDS.iter().position(|bound| ms < *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = minute.durations.get_mut(place) {
            *count += 1;
        }
    }

    /// Counts an answer, and keeps it if it is a server error.
    pub fn note(&self, answer: &Answer<'_>, took: Duration) {
        let is_error = answer.status.is_server_error();
        self.count(is_error, took);
        if !is_error {
            return;
        }
        let failure = Failure {
            at: self.clock.now(),
            id: answer.id.clone(),
            status: answer.status.as_u16(),
            method: answer.method.clone(),
            path: shortened(answer.path),
            actor: answer.actor.map(str::to_owned),
            cause: answer.cause.map(shortened),
        };
        let mut kept = self.kept();
        if kept.failures.len() >= FAILURES {
            kept.failures.pop_front();
        }
        kept.failures.push_back(failure);
    }

    /// The failures of the last day that are still kept, the newest first.
    pub fn failures(&self) -> Vec<Failure> {
        let since = self.clock.now().minus(DAY);
        self.kept().failures.iter().rev().filter(|failure| failure.at > since).cloned().collect()
    }

    /// The requests of the last hour.
    pub fn traffic(&self) -> Traffic {
        let now = minute_of(self.clock.now());
        let kept = self.kept();
        let last = kept.minutes.iter().filter(|minute| minute.number > now - HOUR && minute.number <= now);
        let mut all = Minute::default();
        for minute in last {
            all.requests += minute.requests;
            all.errors += minute.errors;
            for (sum, more) in all.durations.iter_mut().zip(minute.durations) {
                *sum += more;
            }
        }
        let (half, most) = (all.took(50), all.took(95));
        Traffic { requests: all.requests, errors: all.errors, half, most }
    }
}

impl Minute {
    /// How long this part of the requests took, in percent.
    fn took(&self, percent: u64) -> Option<Took> {
        if self.requests == 0 {
            return None;
        }
        let wanted = (self.requests * percent).div_ceil(100);
        let mut seen = 0;
        for (bound, count) in BOUNDS.iter().zip(self.durations) {
            seen += count;
            if seen >= wanted {
                return Some(Took::Within(*bound));
            }
        }
        BOUNDS.last().map(|last| Took::Beyond(*last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    fn recent() -> (RecentRequests, Arc<AtomicI64>) {
        let seconds = Arc::new(AtomicI64::new(1_800_000_000));
        let now = Arc::clone(&seconds);
        (RecentRequests::new(Clock::from_fn(move || Timestamp::from_unix(now.load(Ordering::SeqCst)))), seconds)
    }

    #[test]
    fn traffic_covers_the_last_hour_with_half_and_most_durations() {
        let (recent, seconds) = recent();
        assert_eq!(recent.traffic(), Traffic::default());
        for ms in [0, 0, 0, 1, 3, 3, 7, 15, 40, 60_000] {
            recent.count(ms > 10, Duration::from_millis(ms));
        }
        let Traffic { requests, errors, half, most } = recent.traffic();
        assert_eq!((requests, errors), (10, 3));
        assert_eq!((half, most), (Some(Took::Within(5)), Some(Took::Beyond(30_000))));
        seconds.fetch_add(59 * 60, Ordering::SeqCst);
        recent.count(false, Duration::ZERO);
        assert_eq!(recent.traffic().requests, 11);
        seconds.fetch_add(60, Ordering::SeqCst);
        assert_eq!(recent.traffic().requests, 1);
        seconds.fetch_sub(3600, Ordering::SeqCst);
        recent.count(false, Duration::ZERO);
        assert_eq!(recent.traffic().requests, 11, "a clock that was put back goes on in its minute");
    }

    #[test]
    fn failures_are_kept_for_a_day_and_only_a_hundred_of_them() {
        let (recent, seconds) = recent();
        let path = "é".repeat(400);
        for number in 0..130 {
            let id = RequestId::new(number);
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            let answer = Answer { id: &id, status, method: &Method::GET, path: &path, actor: None, cause: None };
            recent.note(&answer, Duration::ZERO);
        }
        let kept = recent.failures();
        assert_eq!((kept.len(), kept[0].id.as_str()), (100, "0000000000000081"));
        assert_eq!(kept[0].path.chars().count(), 251);
        seconds.fetch_add(86_400, Ordering::SeqCst);
        assert!(recent.failures().is_empty());
    }
}
