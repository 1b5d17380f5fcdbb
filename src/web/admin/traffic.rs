//! The requests that this server answered recently, in words.

use crate::domain::clock::Timestamp;
use crate::http::recent::{Failure, Took, Traffic};
use crate::web::format::{Count, When};

/// The requests of the last hour.
pub(super) struct TrafficFigures {
    pub requests: Count,
    pub errors: Count,
    /// In percent, with a digit after the point.
    pub error_rate: String,
    /// How long half of the requests took, and 95% of them; empty if there was none.
    pub half: String,
    pub most: String,
}

fn count(number: u64) -> Count {
    Count(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A duration in words.
fn in_words(took: Option<Took>) -> String {
    let unit = |ms: u64| if ms < 1_000 { format!("{ms} ms") } else { format!("{} s", ms / 1_000) };
    match took {
        Some(Took::Within(ms)) => unit(ms),
        Some(Took::Beyond(ms)) => format!("more than {}", unit(ms)),
        None => String::new(),
    }
}

impl TrafficFigures {
    pub(super) fn new(traffic: Traffic) -> Self {
        let tenths = traffic.errors.saturating_mul(1_000).checked_div(traffic.requests).unwrap_or(0);
        Self {
            requests: count(traffic.requests),
            errors: count(traffic.errors),
            error_rate: format!("{}.{}%", tenths / 10, tenths % 10),
            half: in_words(traffic.half),
            most: in_words(traffic.most),
        }
    }
}

/// A row in the list of server errors.
pub(super) struct FailureRow {
    pub failure: Failure,
    pub when: When,
}

impl FailureRow {
    pub(super) fn new(failure: Failure, now: Timestamp) -> Self {
        Self { when: When { at: failure.at, now }, failure }
    }

    /// The error, or what its status says.
    pub(super) fn cause(&self) -> &str {
        let status = match self.failure.status {
            503 => "temporarily unavailable",
            507 => "no space left",
            _ => "no reason was recorded",
        };
        self.failure.cause.as_deref().unwrap_or(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_durations_are_shown_in_words() {
        let traffic =
            Traffic { requests: 1_500, errors: 8, half: Some(Took::Within(5)), most: Some(Took::Beyond(30_000)) };
        let figures = TrafficFigures::new(traffic);
        assert_eq!((figures.requests.to_string(), figures.error_rate), ("1,500".to_owned(), "0.5%".to_owned()));
        assert_eq!((figures.half, figures.most), ("5 ms".to_owned(), "more than 30 s".to_owned()));
        let none = TrafficFigures::new(Traffic::default());
        assert_eq!((none.error_rate, none.half), ("0.0%".to_owned(), String::new()));
    }
}
