//! Guessing passwords: the limits per account and per address.

use crate::credentials::{private, private_with};
use crate::program::{self, Home, PASSWORD, Server};
use crate::support::people::db_user;
use crate::support::{Client, Site, eventually, path};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use packhouse::domain::role::Visibility;
use std::time::Duration;

fn file() -> String {
    path(&["ada", "tool", "1", "f"])
}

/// Signs in with wrong passwords until the answer is 429, and returns how many attempts were allowed.
async fn exhaust(client: &Client) -> (u32, crate::support::Answer) {
    for tried in 0..50 {
        let answer = client.get(&file()).await;
        if answer.status == 429 {
            return (tried, answer);
        }
        answer.is(401);
    }
    panic!("there is no limit");
}

#[tokio::test]
async fn ten_wrong_passwords_for_an_account_give_429_for_five_minutes() {
    // The peer is a proxy and names another client for each guess, so that no address reaches its own limit.
    let site = private_with(&[("PACKHOUSE_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let from = |at: usize| format!("203.0.113.{at}");
    for at in 0..10 {
        let guess = site.anon().basic("ada", &format!("guess number {at}")).get(&file());
        guess.header("x-forwarded-for", from(at)).await.is(401);
    }
    let guess = site.ada().get(&file()).header("x-forwarded-for", from(20)).await.is(429);
    let wait: u64 = guess.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=301).contains(&wait), "{wait}");
    // Other accounts and this account's tokens aren't affected.
    site.user("stranger").get(&file()).header("x-forwarded-for", from(21)).await.is(404);
    site.reader().get(&file()).await.is(200);
    site.pass(Duration::from_secs(wait));
    site.ada().get(&file()).header("x-forwarded-for", from(22)).await.is(200);
}

#[tokio::test]
async fn ten_wrong_passwords_from_an_address_give_429_for_any_account() {
    let site = private().await;
    for at in 0..10 {
        site.anon().basic(&format!("user-{at}"), "wrong password").get(&file()).await.is(401);
    }
    let answer = site.user("stranger").get(&file()).await.is(429);
    assert!(answer.header("retry-after").is_some());
    site.reader().get(&file()).await.is(200);
    // Only trusted proxies may name another client address.
    site.user("stranger").get(&file()).header("x-forwarded-for", "203.0.113.9").await.is(429);
    site.pass(Duration::from_secs(301));
    site.user("stranger").get(&file()).await.is(404);
}

#[tokio::test]
async fn correct_passwords_never_count_as_attempts() {
    let site = private().await;
    for _ in 0..15 {
        site.pass(Duration::from_secs(1));
        // The remembered login is forgotten each time, so that every request hashes the password.
        site.db_execute("UPDATE users SET auth_epoch = auth_epoch + 1");
        site.ada().get(&file()).await.is(200);
    }
    let (tried, _) = exhaust(&site.anon().basic("ada", "wrong password")).await;
    assert_eq!(tried, 10);
    // A login remembered from before would still work. This one isn't remembered, though the address is.
    site.db_execute("UPDATE users SET auth_epoch = auth_epoch + 1");
    site.db_execute("UPDATE known_addresses SET auth_epoch = auth_epoch + 1");
    site.ada().get(&file()).await.is(429);
}

#[tokio::test]
async fn only_ten_of_many_concurrent_guesses_are_checked() {
    let site = private().await;
    let guesses = (0..30).map(|at| site.anon().basic("ada", &format!("guess {at}")).get(&file()).into_future());
    let answers = futures_util::future::join_all(guesses).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(401), count(429)), (10, 20));
}

/// The sum of all counted attempts.
fn counted(site: &Site) -> i64 {
    site.db_number("SELECT coalesce(sum(count), 0)::bigint AS n FROM attempts")
}

#[tokio::test]
async fn concurrent_requests_with_the_correct_password_all_succeed() {
    let site = private().await;
    // Also more than may wait for the password hasher.
    for requests in [24, 60] {
        site.db_execute("UPDATE users SET auth_epoch = auth_epoch + 1");
        let answers = (0..requests).map(|_| site.ada().get(&file()).into_future());
        for answer in futures_util::future::join_all(answers).await {
            answer.is(200);
        }
        assert_eq!(counted(&site), 0);
    }
}

#[tokio::test]
async fn a_password_without_its_two_factor_code_is_hashed_once() {
    let site = private().await;
    let seed = site.db_second_factor("ada");
    let answers = (0..24).map(|_| site.ada().get(&file()).into_future());
    for answer in futures_util::future::join_all(answers).await {
        answer.is(401).says("X-Gitea-OTP");
    }
    let code = seed.code_at(site.now()).unwrap();
    site.ada().get(&file()).header("x-gitea-otp", code).await.is(200);
    assert_eq!(counted(&site), 0);
}

/// Lets this many users sign in at the same time, and returns the statuses they get.
async fn crowd(site: &Site, size: usize) -> Vec<u16> {
    let names: Vec<_> = (0..size).map(|at| format!("user-{at}")).collect();
    site.db(|conn| names.iter().try_for_each(|name| db_user(conn, name, Visibility::Public, false)));
    let answers = names.iter().map(|name| site.user(name).get(&path(&["admin", "none"])).into_future());
    futures_util::future::join_all(answers).await.iter().map(|answer| answer.status).collect()
}

#[tokio::test]
async fn different_users_behind_one_address_can_sign_in_concurrently() {
    let site = private().await;
    assert_eq!(crowd(&site, 16).await, [404; 16]);
    assert_eq!(counted(&site), 0);
}

#[tokio::test]
async fn a_sign_in_refused_because_of_load_is_not_an_attempt() {
    let site = private().await;
    let told = crowd(&site, 60).await;
    assert!(told.iter().all(|status| [404, 503].contains(status)) && told.contains(&503), "{told:?}");
    assert_eq!(counted(&site), 0);
}

#[tokio::test]
async fn an_attempt_is_returned_if_its_client_disconnects_early() {
    let site = private().await;
    let anonymous = site.anon();
    for round in 0..12 {
        site.db_execute("UPDATE users SET auth_epoch = auth_epoch + 1");
        let request = site.ada().get(&file()).send();
        // Long enough to be counted, but too short for hashing the password.
        let _ = tokio::time::timeout(Duration::from_millis(5 + round * 3), request).await;
    }
    eventually("the attempts are returned", async || counted(&site) == 0).await;
    anonymous.basic("ada", crate::support::PASSWORD).get(&file()).await.is(200);
}

#[tokio::test]
async fn a_wrong_password_counts_even_if_its_client_disconnects() {
    let site = private().await;
    for at in 0..3 {
        let guess = site.anon().basic("ada", &format!("guess {at}")).get(&file()).send();
        let _ = tokio::time::timeout(Duration::from_millis(20), guess).await;
    }
    let (tried, _) = exhaust(&site.anon().basic("ada", "wrong password")).await;
    assert!(tried <= 9, "{tried}");
}

#[tokio::test]
async fn name_and_email_address_count_as_one_account() {
    let site = private_with(&[("PACKHOUSE_TRUSTED_PROXIES", "127.0.0.1")]).await;
    for at in 0..10 {
        let name = if at % 2 == 0 { "Ada" } else { "ada@Example.org" };
        let guess = site.anon().basic(name, &format!("guess {at}")).get(&file());
        guess.header("x-forwarded-for", format!("203.0.113.{at}")).await.is(401);
    }
    for name in ["ada", "ada@example.org"] {
        let guess = site.anon().basic(name, "wrong password").get(&file());
        guess.header("x-forwarded-for", "203.0.113.99").await.is(429);
    }
}

#[tokio::test]
async fn attempted_user_names_are_not_stored() {
    let site = private().await;
    let typed = ["phk_typed-in-the-wrong-field".to_owned(), "x".repeat(7000)];
    for name in &typed {
        site.anon().basic(name, "x").get(&file()).await.is(401);
    }
    let names = site.db_texts("SELECT bucket AS text FROM attempts");
    assert_eq!(names.len(), 4, "{names:?}");
    for name in names {
        assert!(name.len() < 128 && !name.contains("typed"), "{name}");
    }
}

#[tokio::test]
async fn refused_attempts_write_nothing_to_the_database() {
    let site = private().await;
    let client = site.anon().basic("ada", "wrong password");
    exhaust(&client).await;
    // Unlike rows, the value of a sequence survives a rollback.
    site.db_execute("CREATE SEQUENCE writes");
    site.db_execute(
        "CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM nextval('writes'); RETURN NEW; END $$",
    );
    site.db_execute(
        "CREATE TRIGGER note BEFORE INSERT OR UPDATE ON attempts FOR EACH ROW EXECUTE FUNCTION note_write()",
    );
    let writes = || site.db_number("SELECT (CASE WHEN is_called THEN last_value ELSE 0 END) AS n FROM writes");
    for _ in 0..5 {
        client.get(&file()).await.is(429);
    }
    assert_eq!(writes(), 0);
    site.pass(Duration::from_secs(301));
    client.get(&file()).await.is(401);
    assert_ne!(writes(), 0, "the trigger works");
}

/// The memory of this process, in bytes.
fn resident(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[test]
fn many_sign_ins_do_not_leak_memory() {
    let mut home = Home::new();
    home.make_user("ada");
    home.set("PACKHOUSE_TRUSTED_PROXIES", "127.0.0.1");
    let server = Server::start(&home);
    let sign_in = |at: usize, name: &str, password: &str| {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
        let from = format!("203.0.113.{at}");
        let headers = [("Authorization", &*authorization), ("X-Forwarded-For", &*from)];
        program::http(&server.address, "GET", "/api/v1/user", &headers, b"").0
    };
    assert_eq!(sign_in(200, "ada", PASSWORD), 200);
    let before = resident(&server);
    // Each round uses several threads.
    for round in 0..12 {
        std::thread::scope(|scope| {
            for at in 0..8 {
                let at = round * 8 + at;
                let sign_in = &sign_in;
                scope.spawn(move || assert_eq!(sign_in(at, &format!("user-{at}"), "wrong password"), 401));
            }
        });
    }
    let grown = resident(&server).saturating_sub(before);
    assert!(grown < 64 * program::MIB, "{} MiB", grown / program::MIB);
    server.stop();
}
