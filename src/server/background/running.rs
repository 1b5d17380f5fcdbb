//! A background task that runs, and the words of its result.

use crate::jobs::task_status::{Task, TaskStatuses};
use crate::state::App;
use crate::web::format::{Bytes, Count};

/// A number of things, in words.
pub(super) fn counted(number: u64, noun: &str) -> String {
    Count(i64::try_from(number).unwrap_or(i64::MAX)).of(noun)
}

/// A number of bytes, in words.
pub(super) fn size(bytes: u64) -> Bytes {
    Bytes(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// A running task. Dropping it early also ends the task.
pub(super) struct Running<'a> {
    app: &'a App,
    task: Task,
    ended: bool,
}

impl<'a> Running<'a> {
    pub(super) fn begin(app: &'a App, task: Task) -> Self {
        app.tasks.begin(task, app.clock.now());
        Self { app, task, ended: false }
    }

    pub(super) fn end(mut self, is_good: bool, outcome: String, lines: Vec<String>) {
        self.ended = true;
        self.app.tasks.end(self.task, self.app.clock.now(), is_good, outcome, lines);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let tasks: &TaskStatuses = &self.app.tasks;
            tasks.end(self.task, self.app.clock.now(), false, "interrupted".to_owned(), Vec::new());
        }
    }
}
