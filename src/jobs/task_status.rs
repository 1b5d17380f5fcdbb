//! The state of this server's background tasks, and the tasks an administrator has requested.

use crate::domain::clock::Timestamp;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How many lines of a task's result are kept.
const MOST_LINES: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Sweep,
    Check,
    DeepCheck,
    Scrub,
    Retention,
    Digests,
    Counts,
}

impl Task {
    pub const ALL: [Self; 7] =
        [Self::Sweep, Self::Check, Self::DeepCheck, Self::Scrub, Self::Retention, Self::Digests, Self::Counts];

    /// The task's word in addresses and in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Check => "check",
            Self::DeepCheck => "deep-check",
            Self::Scrub => "scrub",
            Self::Retention => "retention",
            Self::Digests => "digests",
            Self::Counts => "counts",
        }
    }

    /// The task with this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.as_str() == word)
    }

    /// Whether an administrator may start it; the others run all the time.
    pub fn can_be_asked_for(self) -> bool {
        matches!(self, Self::Sweep | Self::Check | Self::DeepCheck | Self::Scrub | Self::Retention)
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
    /// False when it failed or found problems.
    pub is_good: bool,
    /// The result in one line.
    pub outcome: String,
    /// The findings, one per line, up to some hundreds.
    pub lines: Vec<String>,
}

/// The state of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskStatus {
    /// Requested and not started yet.
    pub is_wanted: bool,
    /// When the current run started.
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

    /// Requests a task; false when it is requested or running already.
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

    /// Waits until somebody requests a task.
    pub async fn next(&self) -> Task {
        loop {
            let wanted = Task::ALL.into_iter().find(|task| self.status(*task).is_wanted);
            match wanted {
                Some(task) => return task,
                None => self.asked.notified().await,
            }
        }
    }

    /// Marks a task as running.
    pub fn begin(&self, task: Task, now: Timestamp) {
        self.with(task, |status| {
            status.is_wanted = false;
            status.running = Some(now);
        });
    }

    /// Marks a task as ended.
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
