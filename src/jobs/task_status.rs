//! What the background work of this server is doing, and what of it an administrator has asked for.

use crate::domain::clock::Timestamp;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How many lines of a task's outcome are kept.
const MOST_LINES: usize = 200;

/// A piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Sweep,
    Check,
    DeepCheck,
    Scrub,
    Digests,
    Counts,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Sweep, Self::Check, Self::DeepCheck, Self::Scrub, Self::Digests, Self::Counts];

    /// Its word, in addresses and in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Check => "check",
            Self::DeepCheck => "deep-check",
            Self::Scrub => "scrub",
            Self::Digests => "digests",
            Self::Counts => "counts",
        }
    }

    /// Of its word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.as_str() == word)
    }

    /// Whether somebody may ask for it; the others are always under way.
    pub fn can_be_asked_for(self) -> bool {
        matches!(self, Self::Sweep | Self::Check | Self::DeepCheck | Self::Scrub)
    }

    fn index(self) -> usize {
        Self::ALL.iter().position(|task| *task == self).unwrap_or(0)
    }
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub began: Timestamp,
    pub at: Timestamp,
    /// False: it failed, or found something wrong.
    pub is_good: bool,
    /// In one line.
    pub outcome: String,
    /// What it found, a line each, up to some hundreds.
    pub lines: Vec<String>,
}

/// How a task stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskStatus {
    /// Somebody asked for it, and it has not begun.
    pub is_wanted: bool,
    /// Since when it runs.
    pub running: Option<Timestamp>,
    pub last: Option<Ended>,
}

/// The tasks of this server.
#[derive(Debug, Default)]
pub struct TaskStatuses {
    statuses: Mutex<[TaskStatus; Task::ALL.len()]>,
    asked: Notify,
}

impl TaskStatuses {
    fn statuses(&self) -> MutexGuard<'_, [TaskStatus; Task::ALL.len()]> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T: Default>(&self, task: Task, change: impl FnOnce(&mut TaskStatus) -> T) -> T {
        self.statuses().get_mut(task.index()).map(change).unwrap_or_default()
    }

    /// Asks for a task; false: it is asked for or runs already.
    pub fn ask(&self, task: Task) -> bool {
        let free = self.with(task, |status| {
            let free = !status.is_wanted && status.running.is_none();
            status.is_wanted |= free;
            free
        });
        if free {
            self.asked.notify_one();
        }
        free
    }

    /// Waits until somebody asks for a task.
    pub async fn next(&self) -> Task {
        loop {
            let wanted = Task::ALL.into_iter().find(|task| self.status(*task).is_wanted);
            match wanted {
                Some(task) => return task,
                None => self.asked.notified().await,
            }
        }
    }

    /// A task begins.
    pub fn begin(&self, task: Task, now: Timestamp) {
        self.with(task, |status| {
            status.is_wanted = false;
            status.running = Some(now);
        });
    }

    /// A task has ended.
    pub fn end(&self, task: Task, now: Timestamp, is_good: bool, outcome: String, mut lines: Vec<String>) {
        if lines.len() > MOST_LINES {
            let more = lines.len() - MOST_LINES;
            lines.truncate(MOST_LINES);
            lines.push(format!("and {more} more: run `packhouse check` to see all of them"));
        }
        self.with(task, |status| {
            let began = status.running.take().unwrap_or(now);
            status.last = Some(Ended { began, at: now, is_good, outcome, lines });
        });
    }

    /// How a task stands.
    pub fn status(&self, task: Task) -> TaskStatus {
        self.with(task, |status| status.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_requested_task_runs_once_and_stores_its_outcome() {
        let (tasks, now) = (TaskStatuses::default(), Timestamp::from_unix(1));
        assert!(tasks.ask(Task::Check));
        assert!(!tasks.ask(Task::Check), "once");
        assert_eq!(tasks.next().await, Task::Check);
        tasks.begin(Task::Check, now);
        assert!(!tasks.ask(Task::Check), "it runs");
        tasks.end(Task::Check, Timestamp::from_unix(3), true, "all is well".to_owned(), Vec::new());
        let last = tasks.status(Task::Check).last.unwrap();
        assert_eq!((last.began, last.outcome.as_str()), (now, "all is well"));
        assert!(tasks.ask(Task::Check));
    }
}
