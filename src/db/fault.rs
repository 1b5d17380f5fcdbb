//! What an error of Postgres means for the work that met it: one table from SQLSTATE classes to faults.
//!
//! Diesel tells only some SQLSTATEs apart, so the others are recognized by Postgres's English message (`lc_messages` is
//! C in the private Postgres, and [`super::migrate`] warns of another language). The answer to a request follows from
//! the fault, in [`super::Db`]: 503 for everything that waiting or an operator can cure, 507 for a full disk, and 500
//! for the rest, which is a bug.

use crate::error::Error;
use diesel::result::DatabaseErrorKind as Kind;

/// The meaning of an error for a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No retry: it would fail again.
    None,
    /// Another transaction won; this one changed nothing.
    LostRace,
    /// The connection is unusable.
    Broken,
    /// The database's disk is full.
    NoSpace,
    /// Postgres canceled the query, because it took too long or an administrator asked for it.
    Ended,
    /// The database accepts no writes: a standby, or a setting. The connection may be stuck to that state.
    ReadOnly,
    /// The database cannot read or write its files, or lacks memory.
    Damaged,
}

/// Words of a message of these SQLSTATEs, and what they mean. The first line that matches counts.
const MESSAGES: [(&str, Fault, &[&str]); 9] = [
    ("53100 disk_full", Fault::NoSpace, &["No space left on device", "Disk quota exceeded"]),
    (
        "40P01 deadlock_detected, 55P03 lock_not_available",
        Fault::LostRace,
        &["deadlock detected", "canceling statement due to lock timeout", "could not obtain lock on"],
    ),
    (
        "40001 serialization_failure on a standby",
        Fault::LostRace,
        &["canceling statement due to conflict with recovery"],
    ),
    ("57014 query_canceled", Fault::Ended, &["canceling statement due to", "canceling authentication due to"]),
    (
        "57P01, 57P02, 57P03, 57P04, 57P05, 25P03, 25P04",
        Fault::Broken,
        &["terminating connection", "the database system is", "this database has been dropped"],
    ),
    (
        "08 connection_exception",
        Fault::Broken,
        &[
            "server closed the connection",
            "no connection to the server",
            "connection to server",
            "could not receive data from server",
            "could not send data to server",
            "SSL connection has been closed",
            "SSL SYSCALL error",
            "SSL error",
        ],
    ),
    ("25006 read_only_sql_transaction", Fault::ReadOnly, &["in a read-only transaction", "during recovery"]),
    (
        "53 insufficient_resources",
        Fault::Damaged,
        &["out of memory", "out of shared memory", "out of file descriptors", "too many clients", "connection slots"],
    ),
    (
        "58 system_error, XX001 data_corrupted, XX002 index_corrupted",
        Fault::Damaged,
        &[
            "Input/output error",
            "Read-only file system",
            "could not read block",
            "could not read file",
            "could not write block",
            "could not write to file",
            "could not open file",
            "could not open relation mapping file",
            "could not create file",
            "could not access file",
            "could not access status of transaction",
            "could not extend file",
            "could not fsync file",
            "could not truncate file",
            "could not seek",
            "could not stat file",
            "unexpected data beyond EOF",
            "invalid page in block",
            "unexpected zero page",
            "missing chunk number",
            "contains corrupted page",
            "is not a btree",
            "could not load library",
        ],
    ),
];

/// Classifies an error of the shared type.
pub(super) fn fault_of(error: &Error) -> Fault {
    match error {
        Error::OutcomeUnknown => Fault::Broken,
        Error::Retry => Fault::LostRace,
        Error::Internal(source) => source.downcast_ref().map_or(Fault::None, fault_of_query),
        _ => Fault::None,
    }
}

/// Classifies an error of Diesel.
pub(super) fn fault_of_query(error: &diesel::result::Error) -> Fault {
    match error {
        diesel::result::Error::BrokenTransactionManager => Fault::Broken,
        diesel::result::Error::DatabaseError(kind, info) => match kind {
            Kind::ClosedConnection | Kind::UnableToSendCommand => Fault::Broken,
            Kind::SerializationFailure => Fault::LostRace,
            Kind::ReadOnlyTransaction => Fault::ReadOnly,
            Kind::UniqueViolation
            | Kind::ForeignKeyViolation
            | Kind::NotNullViolation
            | Kind::CheckViolation
            | Kind::RestrictViolation
            | Kind::ExclusionViolation => Fault::None,
            _ => fault_of_message(info.message()),
        },
        _ => Fault::None,
    }
}

fn fault_of_message(message: &str) -> Fault {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    MESSAGES.iter().find(|(_, _, words)| says(words)).map_or(Fault::None, |(_, fault, _)| *fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of Postgres 15, as its source has them.
    #[test]
    fn every_class_of_sqlstates_has_its_meaning() {
        for (state, message, fault) in [
            ("53100", "could not extend file \"base/16384/2619\": No space left on device", Fault::NoSpace),
            ("53100", "could not write to file \"pg_wal/xlogtemp.1\": Disk quota exceeded", Fault::NoSpace),
            ("40P01", "deadlock detected", Fault::LostRace),
            ("55P03", "canceling statement due to lock timeout", Fault::LostRace),
            ("57014", "canceling statement due to statement timeout", Fault::Ended),
            ("57014", "canceling statement due to user request", Fault::Ended),
            ("40001", "canceling statement due to conflict with recovery", Fault::LostRace),
            ("57P01", "terminating connection due to administrator command", Fault::Broken),
            ("57P02", "terminating connection because of crash of another server process", Fault::Broken),
            ("57P03", "the database system is starting up", Fault::Broken),
            ("25P03", "terminating connection due to idle-in-transaction timeout", Fault::Broken),
            ("08006", "server closed the connection unexpectedly", Fault::Broken),
            ("25006", "cannot execute INSERT in a read-only transaction", Fault::ReadOnly),
            ("25006", "cannot assign TransactionIds during recovery", Fault::ReadOnly),
            ("53200", "out of memory", Fault::Damaged),
            ("53200", "out of shared memory", Fault::Damaged),
            ("53300", "sorry, too many clients already", Fault::Damaged),
            ("58030", "could not read block 3 in file \"base/5/1259\": Input/output error", Fault::Damaged),
            ("58030", "could not fsync file \"base/5/1259\": Input/output error", Fault::Damaged),
            ("58P01", "could not open file \"base/5/1259\": No such file or directory", Fault::Damaged),
            ("42501", "could not open file \"base/5/1259\": Permission denied", Fault::Damaged),
            ("XX001", "invalid page in block 7 of relation base/5/1259", Fault::Damaged),
            ("XX001", "could not read block 0 in file \"base/5/1\": read only 0 of 8192 bytes", Fault::Damaged),
            ("XX002", "index \"files_pkey\" contains corrupted page at block 1", Fault::Damaged),
            // Bugs of ours.
            ("42601", "syntax error at or near \"SELEC\"", Fault::None),
            ("42P01", "relation \"nothing\" does not exist", Fault::None),
            ("22003", "integer out of range", Fault::None),
            ("54000", "target lists can have at most 1664 entries", Fault::None),
        ] {
            assert_eq!(fault_of_message(message), fault, "{state} {message}");
        }
    }
}
