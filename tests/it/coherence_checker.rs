//! Clients of two servers delete, revoke, lock, narrow and publish, and a checker looks for one answer that contradicts a
//! change that was answered before.

use crate::coherence::{beside, file, real_time};
use crate::support::{Answer, Site, path};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What a checker knows of something that one file and one credential depend on.
#[derive(Debug, Clone)]
enum Step {
    /// A change that adds was sent.
    Adding,
    /// It was answered. Downloads give this content, with this credential.
    Added { content: String, authorization: Option<String> },
    /// A change that takes away was sent.
    Taking,
    /// It was answered.
    Taken,
}

/// What a writer changes back and forth.
#[derive(Debug, Clone, Copy)]
enum Subject {
    /// The file itself.
    File(u32),
    /// An access token.
    Token,
    /// The account of the credential's user.
    Account,
    /// The visibility of the package.
    Visibility,
}

const SUBJECTS: [Subject; 7] = [
    Subject::File(0),
    Subject::File(1),
    Subject::File(2),
    Subject::File(3),
    Subject::Token,
    Subject::Account,
    Subject::Visibility,
];
const ROUNDS: u32 = 10;

/// The steps of each subject, and when they happened.
type History = Mutex<Vec<(Instant, Step)>>;

impl Subject {
    fn file(self) -> String {
        match self {
            Self::File(number) => file("1.0", &format!("f{number}")),
            Self::Token | Self::Account => file("1.0", "public"),
            Self::Visibility => path(&["ada", "vault", "1.0", "file"]),
        }
    }

    /// Adds what the subject is about, at one server.
    async fn add(self, site: &Site, round: u32) -> Step {
        let mut added = ("content".to_owned(), None);
        match self {
            Self::File(_) => {
                added.0 = format!("round {round}");
                site.ci().publish(&self.file(), added.0.clone()).await;
            }
            Self::Token => {
                let body = json!({"name": format!("round {round}"), "scopes": ["read:package"]});
                let made = site.ada().post("/api/v1/users/ada/tokens", &body).await.is(201).json();
                added.1 = Some(format!("Bearer {}", made["sha1"].as_str().unwrap()));
            }
            Self::Account => {
                lock(site, false).await;
                added.1 = Some(format!("Bearer {}", site.stranger_token()));
            }
            Self::Visibility => show(site, "public").await,
        }
        Step::Added { content: added.0, authorization: added.1 }
    }

    /// Takes it away, at one server.
    async fn take(self, site: &Site, round: u32) {
        match self {
            Self::File(_) => drop(site.ci().delete(&self.file()).await.is(204)),
            Self::Token => {
                drop(site.ada().delete(&format!("/api/v1/users/ada/tokens/round%20{round}")).await.is(204));
            }
            Self::Account => lock(site, true).await,
            Self::Visibility => show(site, "private").await,
        }
    }
}

async fn lock(site: &Site, is_locked: bool) {
    let body = json!({"prohibit_login": is_locked});
    let answer = site.admin().patch("/api/v1/admin/users/stranger", &body).await;
    assert!(answer.status < 300, "{}", answer.shown());
}

async fn show(site: &Site, visibility: &str) {
    let answer = site.ada().patch("/api/v1/packages/ada/generic/vault", &json!({"visibility": visibility})).await;
    assert!(answer.status < 300, "{}", answer.shown());
}

/// Whether an answer contradicts a change that was answered before its request was sent.
fn check(subject: Subject, history: &[(Instant, Step)], asked: Instant, answer: &Answer) {
    let (before, since): (Vec<_>, Vec<_>) = history.iter().partition(|(at, _)| *at < asked);
    match before.last().map(|(_, step)| step) {
        Some(Step::Taken) if !since.iter().any(|(_, step)| matches!(step, Step::Adding)) => {
            assert_ne!(answer.status, 200, "{subject:?} was taken away, and then: {}", answer.shown());
        }
        Some(Step::Added { content, .. }) if !since.iter().any(|(_, step)| matches!(step, Step::Taking)) => {
            assert_eq!((answer.status, answer.text()), (200, &**content), "{subject:?}: {}", answer.shown());
        }
        _ => {}
    }
}

#[tokio::test]
async fn no_answer_of_two_servers_contradicts_an_acknowledged_change() {
    let first = Arc::new(real_time());
    let second = Arc::new(beside(&first));
    first.ci().publish(&Subject::Token.file(), "content").await;
    first.ci().publish(&Subject::Visibility.file(), "content").await;
    let histories: Arc<Vec<History>> = Arc::new(SUBJECTS.iter().map(|_| Mutex::default()).collect());
    let note = |histories: &[History], at: usize, step| histories[at].lock().unwrap().push((Instant::now(), step));
    let writers = SUBJECTS.into_iter().enumerate().map(|(at, subject)| {
        let (first, second, histories) = (Arc::clone(&first), Arc::clone(&second), Arc::clone(&histories));
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let (one, other) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
                note(&histories, at, Step::Adding);
                let added = subject.add(one, round).await;
                note(&histories, at, added);
                // So that there is something to remember.
                for site in [one, other, one, other] {
                    site.anon().get(&subject.file()).await;
                }
                note(&histories, at, Step::Taking);
                subject.take(other, round).await;
                note(&histories, at, Step::Taken);
                one.anon().get(&subject.file()).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let is_over = Arc::new(AtomicBool::new(false));
    let readers = (0..17_usize).map(|reader| {
        let (first, second, histories) = (Arc::clone(&first), Arc::clone(&second), Arc::clone(&histories));
        let is_over = Arc::clone(&is_over);
        tokio::spawn(async move {
            let (mut at, mut found) = (reader, 0);
            while !is_over.load(Ordering::Relaxed) {
                at = (at + 1) % SUBJECTS.len();
                let subject = SUBJECTS[at];
                let known = histories[at].lock().unwrap().clone();
                let last = known.iter().rev().find_map(|(_, step)| match step {
                    Step::Added { authorization, .. } => Some(authorization.clone()),
                    _ => None,
                });
                let site = if reader % 2 == 0 { &first } else { &second };
                let client = match last.flatten() {
                    Some(authorization) => site.anon().authorized(authorization),
                    None if reader % 3 == 0 && matches!(subject, Subject::File(_)) => site.reader(),
                    None => site.anon(),
                };
                let asked = Instant::now();
                let answer = client.get(&subject.file()).await;
                found += usize::from(answer.status == 200);
                // With a credential, what happened before it was read counts: it may be an older one.
                let history = histories[at].lock().unwrap().clone();
                if history.len() == known.len() || matches!(subject, Subject::File(_) | Subject::Visibility) {
                    check(subject, &history, asked, &answer);
                }
            }
            found
        })
    });
    let readers: Vec<_> = readers.collect();
    for writer in writers {
        writer.await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    let mut found = 0;
    for reader in readers {
        found += reader.await.unwrap();
    }
    assert!(found > 50, "only {found} downloads succeeded, so nothing was checked");
    let hits = first.app.downloads.usage().hits + second.app.downloads.usage().hits;
    assert!(hits > 50, "only {hits} answers came from memory");
}
