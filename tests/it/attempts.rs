//! Guessing passwords: how often one may, by account and by address (robustness, "Accounts").

use crate::credentials::{private, private_with};
use crate::program::{self, Home, PASSWORD, Server};
use crate::support::{Client, path};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;

fn file() -> String {
    path(&["ada", "tool", "1", "f"])
}

/// Signs in with a wrong password until it is refused to try again; returns how often it could.
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
async fn guessing_an_account_s_password_is_429_after_ten_attempts_and_over_after_five_minutes() {
    // The peer is a proxy that tells where each guess comes from, so that no address fills its own bucket.
    let site = private_with(&[("PACKHOUSE_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let from = |at: usize| format!("203.0.113.{at}");
    for at in 0..10 {
        let guess = site.anon().basic("ada", &format!("guess number {at}")).get(&file());
        guess.header("x-forwarded-for", from(at)).await.is(401);
    }
    let guess = site.ada().get(&file()).header("x-forwarded-for", from(20)).await.is(429);
    let wait: u64 = guess.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=301).contains(&wait), "{wait}");
    // Another account is not affected, nor a token of this one.
    site.user("stranger").get(&file()).header("x-forwarded-for", from(21)).await.is(404);
    site.reader().get(&file()).await.is(200);
    site.pass(Duration::from_secs(wait));
    site.ada().get(&file()).header("x-forwarded-for", from(22)).await.is(200);
}

#[tokio::test]
async fn guessing_from_one_address_is_429_after_ten_attempts_whatever_the_account() {
    let site = private().await;
    for at in 0..10 {
        site.anon().basic(&format!("user-{at}"), "wrong password").get(&file()).await.is(401);
    }
    let answer = site.user("stranger").get(&file()).await.is(429);
    assert!(answer.header("retry-after").is_some());
    site.reader().get(&file()).await.is(200);
    // Nobody who is not a trusted proxy says where he comes from.
    site.user("stranger").get(&file()).header("x-forwarded-for", "203.0.113.9").await.is(429);
    site.pass(Duration::from_secs(301));
    site.user("stranger").get(&file()).await.is(404);
}

#[tokio::test]
async fn who_knows_his_password_is_never_locked_out_by_using_it() {
    let site = private().await;
    for _ in 0..15 {
        site.pass(Duration::from_secs(1));
        // Forgotten each time, so that each is a sign-in.
        site.db_execute("UPDATE users SET auth_epoch = auth_epoch + 1");
        site.ada().get(&file()).await.is(200);
    }
    let (tried, _) = exhaust(&site.anon().basic("ada", "wrong password")).await;
    assert_eq!(tried, 10);
    // A login that is remembered from before would go on; this one is not.
    site.db_execute("UPDATE users SET auth_epoch = auth_epoch + 1");
    site.ada().get(&file()).await.is(429);
}

#[tokio::test]
async fn of_many_guesses_at_once_no_more_than_ten_are_looked_at() {
    let site = private().await;
    let guesses = (0..30).map(|at| site.anon().basic("ada", &format!("guess {at}")).get(&file()).into_future());
    let answers = futures_util::future::join_all(guesses).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(401), count(429)), (10, 20));
}

/// Memory in use, in bytes.
fn resident(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[test]
fn many_sign_ins_leave_no_memory_behind() {
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
    // Each round is several threads' work.
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
