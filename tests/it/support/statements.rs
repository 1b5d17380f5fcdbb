//! The statements that a server sends to its database.

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// The statements on each database that is watched, by the beginning of its URL.
static SEEN: Mutex<Option<HashMap<String, Vec<String>>>> = Mutex::new(None);

fn seen() -> MutexGuard<'static, Option<HashMap<String, Vec<String>>>> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The statements that some connection has prepared.
static PREPARED: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// The URL without the parameters that the program adds.
fn database_of(url: &str) -> String {
    url.split('?').next().unwrap_or_default().to_owned()
}

/// Records the statements of one connection.
#[derive(Default)]
struct Recorder {
    database: String,
}

impl Instrumentation for Recorder {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => self.database = database_of(url),
            InstrumentationEvent::StartQuery { query, .. } => {
                if let Some(statements) = seen().as_mut().and_then(|seen| seen.get_mut(&self.database)) {
                    statements.push(query.to_string());
                }
            }
            InstrumentationEvent::CacheQuery { sql, .. } => {
                let mut prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
                prepared.get_or_insert_default().insert(sql.to_owned());
            }
            _ => {}
        }
    }
}

/// What a statement does, and to which table.
fn shortened(statement: &str) -> String {
    let words: Vec<&str> = statement.split_whitespace().collect();
    let is_before_table = |word: &str| ["INTO", "UPDATE", "FROM"].contains(&word);
    // Diesel quotes the names of tables, but not those in SQL that is written by hand.
    let table = words.windows(2).find(|pair| is_before_table(pair[0]) && pair[1].contains('"'));
    let object = match table {
        Some(pair) => pair[1].split('"').nth(1),
        None => words.get(1).and_then(|word| word.split('(').next()),
    };
    let verb = words.first().copied().unwrap_or_default();
    [Some(verb), object].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Records the statements of connections that are opened from now on.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        fn recorder() -> Option<Box<dyn Instrumentation>> {
            Some(Box::new(Recorder::default()))
        }
        set_default_instrumentation(recorder).unwrap();
    });
}

/// Whether Postgres keeps the plan of a statement that was sent.
pub fn is_prepared(statement: &str) -> bool {
    let prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
    prepared.as_ref().is_some_and(|prepared| prepared.iter().any(|sql| statement.starts_with(sql)))
}

/// Runs some work, and returns what the statements do that were sent to a database meanwhile, in their order.
pub async fn of<T>(url: &str, work: impl Future<Output = T>) -> Vec<String> {
    texts(url, work).await.iter().map(|statement| shortened(statement)).collect()
}

/// The same with the texts of the statements. What servers say about themselves is left out: it has its own times.
pub async fn texts<T>(url: &str, work: impl Future<Output = T>) -> Vec<String> {
    let database = database_of(url);
    seen().get_or_insert_default().insert(database.clone(), Vec::new());
    work.await;
    let statements = seen().as_mut().and_then(|seen| seen.remove(&database)).unwrap_or_default();
    let is_own = |statement: &String| {
        !["servers", "pg_stat_activity", "pg_notify", "LISTEN"].iter().any(|word| statement.contains(word))
    };
    statements.into_iter().filter(is_own).collect()
}
